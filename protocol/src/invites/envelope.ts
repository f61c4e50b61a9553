/** Mailbox envelopes: sealed to the recipient, signed by the sender, unreadable to the relay that keeps them. */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { concatBytes, fromBase64url, utf8 } from '../bytes.ts'
import { openSealed, sealTo } from '../crypto/box.ts'
import { decodeAs, encodeCbor } from '../encoding/cbor.ts'
import { bytesOf, bytesUpTo, MillisSchema } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { type ContactCard, verifyCard } from '../identity/card.ts'
import { type Identity, userAgreement } from '../identity/identity.ts'
import { type InviteId, InviteIdSchema, type ShareId, ShareIdSchema, UserIdSchema } from '../ids.ts'
import { MAX_ENVELOPE_BYTES } from '../limits.ts'
import { decodeInvitePayload, encodeInvitePayload } from './encode.ts'
import type { InvitePayload } from './payload.ts'

const SEAL_CONTEXT = 'cofolder envelope'
const SIGN_CONTEXT = utf8('cofolder envelope\0')

/** What one person tells another through a mailbox. */
export type Letter =
  | { readonly type: 'invite'; readonly payload: InvitePayload }
  | { readonly type: 'declined'; readonly share: ShareId; readonly invite: InviteId }

/** A letter with its proven sender. `at` is the sender's clock, milliseconds since the epoch. */
export interface OpenedEnvelope {
  readonly from: ContactCard
  readonly at: number
  readonly letter: Letter
}

const SignedSchema = v.object({ body: bytesUpTo(MAX_ENVELOPE_BYTES), signature: bytesOf(64) })
const BodySchema = v.variant('type', [
  v.object({
    type: v.literal('invite'),
    from: bytesUpTo(MAX_ENVELOPE_BYTES),
    to: UserIdSchema,
    at: MillisSchema,
    payload: bytesUpTo(MAX_ENVELOPE_BYTES),
  }),
  v.object({
    type: v.literal('declined'),
    from: bytesUpTo(MAX_ENVELOPE_BYTES),
    to: UserIdSchema,
    at: MillisSchema,
    share: ShareIdSchema,
    invite: InviteIdSchema,
  }),
])

/** Seals a letter to whoever the card names. `card` are the signed bytes of the sender's own card. */
export function sealEnvelope(
  identity: Identity,
  card: Uint8Array,
  recipient: Pick<ContactCard, 'user' | 'agreementKey'>,
  letter: Letter,
  at: number,
): Uint8Array {
  const common = { from: card, to: recipient.user, at }
  const body = encodeCbor(
    letter.type === 'invite'
      ? { ...common, type: letter.type, payload: encodeInvitePayload(letter.payload) }
      : { ...common, ...letter },
  )
  const signature = crypto.ed25519Sign(identity.user.seed, concatBytes(SIGN_CONTEXT, body))
  const sealed = sealTo(recipient.agreementKey, encodeCbor({ body, signature }), SEAL_CONTEXT)
  if (sealed.length > MAX_ENVELOPE_BYTES)
    throw new ProtocolError('too-large', 'the invite is too large to send')
  return sealed
}

/** Opens an envelope sealed to me. @throws ProtocolError `wrong-key`, `malformed`, `bad-signature` */
export function openEnvelope(identity: Identity, sealed: Uint8Array): OpenedEnvelope {
  if (sealed.length > MAX_ENVELOPE_BYTES) throw new ProtocolError('too-large', 'the envelope is too large')
  const opened = openSealed(userAgreement(identity.user).secret, sealed, SEAL_CONTEXT)
  if (!opened) throw new ProtocolError('wrong-key', 'the envelope is sealed for somebody else')
  const { body, signature } = decodeAs(SignedSchema, opened, MAX_ENVELOPE_BYTES)
  const content = decodeAs(BodySchema, body, MAX_ENVELOPE_BYTES)
  const from = verifyCard(content.from)
  if (!crypto.ed25519Verify(fromBase64url(from.user), concatBytes(SIGN_CONTEXT, body), signature)) {
    throw new ProtocolError('bad-signature', 'the envelope is not signed by its sender')
  }
  if (content.to !== identity.userId)
    throw new ProtocolError('wrong-key', 'the envelope is for somebody else')
  if (content.type === 'declined') {
    return {
      from,
      at: content.at,
      letter: { type: 'declined', share: content.share, invite: content.invite },
    }
  }
  const payload = decodeInvitePayload(content.payload)
  if (payload.from.id !== from.user)
    throw new ProtocolError('bad-signature', 'the invite names another sender')
  return { from, at: content.at, letter: { type: 'invite', payload } }
}
