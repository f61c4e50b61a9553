/** What happened in my shares, for people and scripts: a bounded log that survives restarts, and a live feed. */
import { decodeCbor, encodeCbor, parse } from '@cofolder/protocol'
import * as v from 'valibot'
import type { Database } from '../profile/profile.ts'

/** Events kept; the oldest go first. */
const MAX_EVENTS = 10_000
const MAX_EVENT_BYTES = 64 * 1024
const KEY_DIGITS = 12

const EventSchema = v.object({
  /** Milliseconds since the epoch. */
  at: v.number(),
  type: v.picklist(['invited', 'accepted', 'declined', 'left', 'changed', 'conflict', 'error', 'revoked']),
  share: v.optional(v.string()),
  by: v.optional(v.object({ id: v.string(), name: v.string() })),
  path: v.optional(v.string()),
  detail: v.optional(v.record(v.string(), v.unknown())),
})
export type CofolderEvent = v.InferOutput<typeof EventSchema>

export interface EventLog {
  /** Keeps an event and tells it to whoever listens. */
  add(event: CofolderEvent): void
  /** The newest `limit`, oldest first. */
  list(limit?: number): Promise<CofolderEvent[]>
  listen(listener: (event: CofolderEvent) => void): () => void
  close(): Promise<void>
}

const keyOf = (serial: number): string => String(serial).padStart(KEY_DIGITS, '0')

export async function openEventLog(db: Database): Promise<EventLog> {
  const log = db.sublevel<string, Uint8Array>('events', { keyEncoding: 'utf8', valueEncoding: 'view' })
  const [last] = await log.keys({ reverse: true, limit: 1 }).all()
  let serial = last === undefined ? 0 : Number(last) + 1
  const listeners = new Set<(event: CofolderEvent) => void>()
  let writing: Promise<unknown> = Promise.resolve()

  return {
    add(event) {
      const key = keyOf(serial++)
      const old = keyOf(serial - MAX_EVENTS - 1)
      writing = writing
        .then(() => log.put(key, encodeCbor(event)))
        .then(() => (serial > MAX_EVENTS ? log.del(old) : undefined))
        .catch(() => {
          // The log is a convenience: a full disk must not stop what it reports on.
        })
      for (const listener of listeners) listener(event)
    },
    async list(limit = MAX_EVENTS) {
      await writing
      const values = await log.values({ reverse: true, limit }).all()
      return values.reverse().flatMap((value) => {
        try {
          return [parse(EventSchema, decodeCbor(value, MAX_EVENT_BYTES))]
        } catch {
          return [] // One damaged entry costs that entry.
        }
      })
    },
    listen(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close() {
      listeners.clear()
      await writing
    },
  }
}
