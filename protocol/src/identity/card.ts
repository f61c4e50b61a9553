/** A contact card: all that somebody needs in order to invite a person. Text, small enough for a QR code. */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { concatBytes, fromBase64url, toBase64url, utf8 } from '../bytes.ts'
import { isAgreementKey } from '../crypto/box.ts'
import { decodeAs, encodeCbor, parse } from '../encoding/cbor.ts'
import { AddressSchema, bytesOf, bytesUpTo, PersonNameSchema, RelayUrlSchema } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { type DeviceId, DeviceIdSchema, type UserId, UserIdSchema } from '../ids.ts'
import { type Identity, userAgreement } from './identity.ts'

const PREFIX = 'cofolder:card:'
const CARD_CONTEXT = utf8('cofolder card\0')
/** What a QR code of version 40 holds, with room to spare. */
const MAX_CARD_BYTES = 2048
const MAX_RELAYS = 4
const MAX_DEVICES = 8
const MAX_ADDRESSES = 8

export interface ContactCard {
  readonly user: UserId
  /** X25519 public key that envelopes are sealed to. */
  readonly agreementKey: Uint8Array
  readonly name: string
  /** Relays whose mailbox the person reads. */
  readonly relays: readonly string[]
  readonly devices: readonly { readonly id: DeviceId; readonly addresses: readonly string[] }[]
}

const CardSchema = v.object({
  user: UserIdSchema,
  agreementKey: bytesOf(32),
  name: PersonNameSchema,
  relays: v.pipe(v.array(RelayUrlSchema), v.maxLength(MAX_RELAYS)),
  devices: v.pipe(
    v.array(
      v.object({ id: DeviceIdSchema, addresses: v.pipe(v.array(AddressSchema), v.maxLength(MAX_ADDRESSES)) }),
    ),
    v.maxLength(MAX_DEVICES),
  ),
})
const SignedCardSchema = v.object({ card: bytesUpTo(MAX_CARD_BYTES), signature: bytesOf(64) })

/**
 * The signed bytes of my card. `addresses` are multiaddrs of this device. Of relays and addresses, most wanted
 * first, as many go on it as a card holds.
 * @throws ProtocolError `malformed` when one of them is none
 */
export function signCard(
  identity: Identity,
  where: { relays: readonly string[]; addresses: readonly string[] },
): Uint8Array {
  const relays = where.relays.slice(0, MAX_RELAYS)
  for (let count = Math.min(where.addresses.length, MAX_ADDRESSES); ; count--) {
    const signed = signCardOf(identity, relays, where.addresses.slice(0, Math.max(count, 0)))
    if (signed.length <= MAX_CARD_BYTES) return signed
    if (count <= 0) throw new ProtocolError('too-large', 'the names of your relays are too long for a card')
  }
}

function signCardOf(identity: Identity, relays: string[], addresses: string[]): Uint8Array {
  const { userId: user, deviceId: id, name } = identity
  const { publicKey: agreementKey } = userAgreement(identity.user)
  const card = encodeCbor(
    parse(CardSchema, { user, agreementKey, name, relays, devices: [{ id, addresses }] }),
  )
  const signature = crypto.ed25519Sign(identity.user.seed, concatBytes(CARD_CONTEXT, card))
  return encodeCbor({ card, signature })
}

/** Checks a signed card. @throws ProtocolError */
export function verifyCard(bytes: Uint8Array): ContactCard {
  const signed = decodeAs(SignedCardSchema, bytes, MAX_CARD_BYTES)
  const card = decodeAs(CardSchema, signed.card, MAX_CARD_BYTES)
  if (
    !crypto.ed25519Verify(fromBase64url(card.user), concatBytes(CARD_CONTEXT, signed.card), signed.signature)
  ) {
    throw new ProtocolError('bad-signature', 'the card was altered: ask for it again')
  }
  if (!isAgreementKey(card.agreementKey)) {
    throw new ProtocolError('malformed', 'the card has no usable key: ask for another')
  }
  return card
}

/** My card as text: `cofolder:card:…`. */
export function encodeCard(
  identity: Identity,
  where: { relays: readonly string[]; addresses: readonly string[] },
): string {
  return PREFIX + toBase64url(signCard(identity, where))
}

export const isCard = (text: string): boolean => text.trim().startsWith(PREFIX)

/** Reads a card that somebody pasted; white space around and within is forgiven. @throws ProtocolError */
export function decodeCard(text: string): ContactCard {
  const compact = text.replace(/\s/g, '')
  if (!compact.startsWith(PREFIX)) {
    throw new ProtocolError('malformed', `not a contact card: a card begins with "${PREFIX}"`)
  }
  let bytes: Uint8Array
  try {
    bytes = fromBase64url(compact.slice(PREFIX.length))
  } catch (error) {
    throw new ProtocolError('malformed', 'the card is incomplete: copy all of it', { cause: error })
  }
  return verifyCard(bytes)
}

const CODE_GROUPS = 6
const CODE_DIGITS = 5

/** Six groups of digits that two people read to each other to be sure of their keys; the same for both. */
export function safetyCode(a: UserId, b: UserId): string {
  const [first, second] = [a, b].sort()
  const digest = crypto.sha256(utf8(`cofolder safety code\0${first}\0${second}`))
  const view = new DataView(digest.buffer, digest.byteOffset)
  const groups: string[] = []
  for (let group = 0; group < CODE_GROUPS; group++) {
    groups.push(String(view.getUint32(group * 4) % 10 ** CODE_DIGITS).padStart(CODE_DIGITS, '0'))
  }
  return groups.join(' ')
}
