/** Presence: what a device tells the other members while it is connected. Sealed, and never in the document. */
import * as v from 'valibot'
import { utf8 } from '../bytes.ts'
import { openWith, sealWith } from '../crypto/box.ts'
import { decodeAs, encodeCbor } from '../encoding/cbor.ts'
import { AddressSchema } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { DeviceIdSchema, type ShareId } from '../ids.ts'

const CONTEXT = 'cofolder presence'
const MAX_PRESENCE_BYTES = 8 * 1024
const NonceSchema = v.pipe(v.string(), v.maxLength(32))

export const PresenceSchema = v.object({
  device: DeviceIdSchema,
  addresses: v.pipe(v.array(AddressSchema), v.maxLength(32)),
  /** The replica's `fingerprint`. */
  fingerprint: v.pipe(v.string(), v.maxLength(64)),
  /** Steps the device has not carried out yet. */
  pending: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** `ask`: please look at your folder and answer; `done`: the asks I have answered. */
  settle: v.optional(
    v.object({
      ask: v.optional(NonceSchema),
      done: v.optional(v.pipe(v.array(NonceSchema), v.maxLength(64))),
    }),
  ),
})
export type Presence = v.InferOutput<typeof PresenceSchema>

export function sealPresence(epochKey: Uint8Array, share: ShareId, presence: Presence): Uint8Array {
  return sealWith(epochKey, encodeCbor(presence), utf8(share), CONTEXT)
}

/** @throws ProtocolError `wrong-key` or `malformed` */
export function openPresence(epochKey: Uint8Array, share: ShareId, sealed: unknown): Presence {
  if (!(sealed instanceof Uint8Array)) throw new ProtocolError('malformed', 'not a presence')
  if (sealed.length > MAX_PRESENCE_BYTES) throw new ProtocolError('too-large', 'the presence is too large')
  const opened = openWith(epochKey, sealed, utf8(share), CONTEXT)
  if (!opened) throw new ProtocolError('wrong-key', 'the presence is sealed under another epoch')
  return decodeAs(PresenceSchema, opened, MAX_PRESENCE_BYTES)
}
