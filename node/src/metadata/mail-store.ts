/** Envelopes on their way out, and the ids of those that came in, on disk. */
import { decodeAs, encodeCbor, MAX_ENVELOPE_BYTES, type UserId, UserIdSchema } from '@cofolder/protocol'
import * as v from 'valibot'
import { openEntry, sealEntry } from './entry.ts'
import { type DamagedEntry, type Database, sublevelOf } from './log.ts'
import { type KnownDevice, KnownDeviceSchema } from './rest.ts'

const OUTGOING = 'out!'
const SEEN = 'seen!'
/** An envelope with where it goes. */
const MAX_OUTGOING_BYTES = 2 * MAX_ENVELOPE_BYTES
const SeenSchema = v.number()
const MAX_SEEN_BYTES = 16

const OutgoingSchema = v.object({
  id: v.string(),
  to: UserIdSchema,
  relays: v.array(v.string()),
  devices: v.array(KnownDeviceSchema),
  bytes: v.instance(Uint8Array),
  at: v.number(),
})
export interface OutgoingEnvelope {
  readonly id: string
  readonly to: UserId
  readonly relays: readonly string[]
  readonly devices: readonly KnownDevice[]
  readonly bytes: Uint8Array
  /** When it was given to us, milliseconds since the epoch. */
  readonly at: number
}

export interface MailStore {
  outgoing(): Promise<readonly OutgoingEnvelope[]>
  saveOutgoing(envelope: OutgoingEnvelope): Promise<void>
  deleteOutgoing(id: string): Promise<void>
  wasSeen(id: string): Promise<boolean>
  markSeen(id: string, at: number): Promise<void>
  forgetSeenBefore(at: number): Promise<void>
}

export function createMailStore(db: Database, onDamaged: (entry: DamagedEntry) => void): MailStore {
  const level = sublevelOf(db)
  const put = (key: string, bytes: Uint8Array) =>
    db.batch([{ type: 'put', sublevel: level, key, value: sealEntry(key, bytes), valueEncoding: 'view' }], {
      sync: true,
    })

  return {
    async outgoing() {
      const found: OutgoingEnvelope[] = []
      for await (const [key, value] of level.iterator({ gt: OUTGOING, lt: `${OUTGOING}~` })) {
        try {
          const bytes = openEntry(key, value)
          if (!bytes) throw new Error('checksum')
          found.push(decodeAs(OutgoingSchema, bytes, MAX_OUTGOING_BYTES))
        } catch {
          onDamaged({ key, reason: 'malformed' })
          await level.del(key)
        }
      }
      return found
    },
    saveOutgoing: (envelope) => put(OUTGOING + envelope.id, encodeCbor(envelope)),
    deleteOutgoing: (id) => level.del(OUTGOING + id),
    wasSeen: async (id) => (await level.get(SEEN + id)) !== undefined,
    markSeen: (id, at) => put(SEEN + id, encodeCbor(at)),
    async forgetSeenBefore(at) {
      for await (const [key, value] of level.iterator({ gt: SEEN, lt: `${SEEN}~` })) {
        const bytes = openEntry(key, value)
        if (!bytes || decodeAs(SeenSchema, bytes, MAX_SEEN_BYTES) < at) await level.del(key)
      }
    },
  }
}
