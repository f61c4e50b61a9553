/** A contact card: all that somebody needs in order to invite a person. Text, small enough for a QR code. */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { concatBytes, fromBase64url, toBase64url, utf8 } from '../bytes.ts'
import { decodeAs, encodeCbor } from '../encoding/cbor.ts'
import { AddressSchema, bytesOf, PersonNameSchema, RelayUrlSchema } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { type DeviceId, DeviceIdSchema, type UserId, UserIdSchema } from '../ids.ts'
import { type Identity, userAgreement } from './identity.ts'

const PREFIX = 'cofolder:card:'
const CARD_CONTEXT = utf8('cofolder card\0')
/** What a QR code of version 40 holds, with room to spare. */
const MAX_CARD_BYTES = 2048

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
  relays: v.pipe(v.array(RelayUrlSchema), v.maxLength(4)),
  devices: v.pipe(
    v.array(v.object({ id: DeviceIdSchema, addresses: v.pipe(v.array(AddressSchema), v.maxLength(8)) })),
    v.maxLength(8),
  ),
})
const SignedCardSchema = v.object({ card: bytesOfCard(), signature: bytesOf(64) })

function bytesOfCard() {
  return v.custom<Uint8Array>((x) => x instanceof Uint8Array && x.length <= MAX_CARD_BYTES, 'expected a card')
}

/** The signed bytes of my card. `addresses` are multiaddrs of this device. */
export function signCard(
  identity: Identity,
  where: { relays: readonly string[]; addresses: readonly string[] },
): Uint8Array {
  const card = encodeCbor({
    user: identity.userId,
    agreementKey: userAgreement(identity.user).publicKey,
    name: identity.name,
    relays: where.relays,
    devices: [{ id: identity.deviceId, addresses: where.addresses }],
  })
  return encodeCbor({
    card,
    signature: crypto.ed25519Sign(identity.user.seed, concatBytes(CARD_CONTEXT, card)),
  })
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
