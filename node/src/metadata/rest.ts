/** What rests in the database beside the updates: its shapes, as CBOR. The database is checked like any input. */
import {
  bytesUpTo,
  type DeviceId,
  DeviceIdSchema,
  decodeAs,
  encodeCbor,
  MAX_CHANGE_BYTES,
  type ShareId,
  ShareIdSchema,
} from '@cofolder/protocol'
import * as v from 'valibot'

/** One record: what waits in the outbox is the largest part. */
const MAX_RECORD_BYTES = 64 * MAX_CHANGE_BYTES

/** A device with the multiaddrs it was last reachable at. */
export const KnownDeviceSchema = v.object({ id: DeviceIdSchema, addresses: v.array(v.string()) })
export interface KnownDevice {
  readonly id: DeviceId
  readonly addresses: readonly string[]
}

const ReplicaRecordSchema = v.object({
  id: ShareIdSchema,
  origin: v.picklist(['created', 'joined']),
  at: v.number(),
  name: v.string(),
  relays: v.array(v.string()),
  devices: v.array(KnownDeviceSchema),
  outbox: v.array(bytesUpTo(MAX_CHANGE_BYTES)),
  noticed: v.optional(v.array(v.tuple([v.string(), v.number()])), []),
})
export interface ReplicaRecord {
  readonly id: ShareId
  readonly origin: 'created' | 'joined'
  /** Milliseconds since the epoch. */
  readonly at: number
  /** What to call the share, and where to look for it, until its own settings are known. */
  readonly name: string
  readonly relays: readonly string[]
  /** Devices that were known to hold the share when it was joined. */
  readonly devices: readonly KnownDevice[]
  /** What this device signed but may not write itself, until it stands in the document. */
  readonly outbox: readonly Uint8Array[]
  /** Relays, each with the latest epoch of which the members were told there; owner's devices only. */
  readonly noticed: readonly (readonly [string, number])[]
}

export const encodeRecord = (record: ReplicaRecord): Uint8Array => encodeCbor(record)
/** @throws ProtocolError `malformed` */
export const decodeRecord = (value: Uint8Array): ReplicaRecord =>
  decodeAs(ReplicaRecordSchema, value, MAX_RECORD_BYTES)
