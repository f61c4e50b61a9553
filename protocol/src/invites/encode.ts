/** The bytes of an invite's payload; always sealed before they travel. */
import * as v from 'valibot'
import { decodeAs, encodeCbor, parse } from '../encoding/cbor.ts'
import {
  AddressSchema,
  bytesOf,
  PersonNameSchema,
  RelayUrlSchema,
  ShareNameSchema,
} from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { ChangeIdSchema, DeviceIdSchema, ShareIdSchema, UserIdSchema } from '../ids.ts'
import { MAX_ENVELOPE_BYTES } from '../limits.ts'
import type { InvitePayload } from './payload.ts'

/** Epochs one invite may carry: one is added each time somebody is removed. */
const MAX_EPOCHS = 256
const MAX_DEVICES = 32
/** One encoded payload: what an envelope holds beside the sender's card, signatures and seal. */
const MAX_PAYLOAD_BYTES = MAX_ENVELOPE_BYTES - 4096

const PayloadSchema = v.object({
  share: ShareIdSchema,
  name: ShareNameSchema,
  role: v.picklist(['editor', 'viewer']),
  from: v.object({ id: UserIdSchema, name: PersonNameSchema }),
  seed: bytesOf(32),
  change: ChangeIdSchema,
  root: bytesOf(32),
  epochs: v.pipe(
    v.array(
      v.object({
        epoch: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
        key: bytesOf(32),
        writeSeed: v.optional(bytesOf(32)),
      }),
    ),
    v.maxLength(MAX_EPOCHS),
  ),
  relays: v.pipe(v.array(RelayUrlSchema), v.maxLength(8)),
  devices: v.pipe(
    v.array(v.object({ id: DeviceIdSchema, addresses: v.pipe(v.array(AddressSchema), v.maxLength(16)) })),
    v.maxLength(MAX_DEVICES),
  ),
})

/**
 * Devices are hints where to look for the share: as many go in as there is room for, in their order.
 * @throws ProtocolError `malformed` when the recipient would refuse it, `too-large`
 */
export function encodeInvitePayload(payload: InvitePayload): Uint8Array {
  const epochs = [...payload.epochs].map(([epoch, keys]) => ({ epoch, ...keys }))
  for (let devices = Math.min(payload.devices.length, MAX_DEVICES); devices >= 0; devices--) {
    const fields = { ...payload, epochs, devices: payload.devices.slice(0, devices) }
    const bytes = encodeCbor(parse(PayloadSchema, fields))
    if (bytes.length <= MAX_PAYLOAD_BYTES) return bytes
  }
  throw new ProtocolError('too-large', 'the invite is too large to send')
}

/** Inverse of `encodeInvitePayload`. @throws ProtocolError `malformed` or `too-large` */
export function decodeInvitePayload(bytes: Uint8Array): InvitePayload {
  const { epochs, ...payload } = decodeAs(PayloadSchema, bytes, MAX_PAYLOAD_BYTES)
  return {
    ...payload,
    epochs: new Map(
      epochs.map(({ epoch, key, writeSeed }) => [
        epoch,
        writeSeed === undefined ? { key } : { key, writeSeed },
      ]),
    ),
  }
}
