/** Contact cards and contacts. */
import {
  type ContactCard,
  decodeCard,
  encodeCard,
  isCard,
  ProtocolError,
  safetyCode,
} from '@cofolder/protocol'
import type { Network } from '../network/network.ts'
import { choose } from './choose.ts'
import { RequestError } from './errors.ts'
import type { Contact } from './records.ts'
import type { ShareContext } from './service.ts'

/** Addresses on one card: few, so that its QR code stays easy to read. */
const MAX_CARD_ADDRESSES = 3

/** My card as text. */
export function myCard(context: ShareContext, network: Network): string {
  const addresses = network
    .addresses()
    .filter((address) => !address.includes('p2p-circuit') && !address.endsWith('/ws'))
    .slice(0, MAX_CARD_ADDRESSES)
  return encodeCard(context.profile.identity, { relays: context.relays().slice(0, 2), addresses })
}

function readCard(text: string): ContactCard {
  try {
    return decodeCard(text)
  } catch (error) {
    if (error instanceof ProtocolError) throw new RequestError('invalid', error.message, { cause: error })
    throw error
  }
}

/** Keeps a card under the name on it or one of my choosing. @throws RequestError */
export async function addContact(context: ShareContext, text: string, name?: string): Promise<Contact> {
  const card = readCard(text)
  if (card.user === context.profile.identity.userId) {
    throw new RequestError('invalid', 'this is your own card: add the other person’s')
  }
  const contact = { user: card.user, name: name ?? card.name, card: text.replace(/\s/g, '') }
  await context.records.contacts.put(card.user, contact)
  return contact
}

export async function listContacts(context: ShareContext): Promise<(Contact & { code: string })[]> {
  const contacts = await context.records.contacts.all()
  return contacts.map((contact) => ({
    ...contact,
    code: safetyCode(context.profile.identity.userId, contact.user),
  }))
}

/** The card of a person given as card text, contact name or id. @throws RequestError */
export async function findPerson(context: ShareContext, word: string): Promise<ContactCard> {
  if (isCard(word)) {
    await addContact(context, word)
    return readCard(word)
  }
  const contacts = await context.records.contacts.all()
  const contact = choose(
    'contact',
    word,
    contacts,
    ({ user }) => user,
    ({ name }) => name,
  )
  return readCard(contact.card)
}
