/**
 * Who is there now, as y-protocols/awareness tells it: for each Yjs client a clock and a state, sealed by the device.
 * Only what is newer is passed on, since stock clients repeat what they hear.
 */
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { RelayError } from '../errors.ts'
import type { RelayLimits } from '../limits.ts'

export interface PresenceEntry {
  readonly client: number
  readonly clock: number
  /** JSON text; `null` when the client is gone. */
  readonly state: string
}

const GONE = 'null'
/** Entries one message may hold: a stock client repeats everybody's. */
const MAX_ENTRIES = 10_000

/** @throws RelayError `malformed`. */
export function readPresence(bytes: Uint8Array): readonly PresenceEntry[] {
  try {
    const decoder = decoding.createDecoder(bytes)
    const count = decoding.readVarUint(decoder)
    if (count > MAX_ENTRIES) throw new RangeError('too many entries')
    return Array.from({ length: count }, () => {
      const client = decoding.readVarUint(decoder)
      const clock = decoding.readVarUint(decoder)
      const state = decoding.readVarString(decoder)
      // Clients parse it; text that is not JSON would stop a stock one.
      JSON.parse(state)
      return { client, clock, state }
    })
  } catch (cause) {
    throw new RelayError('malformed', 'not a presence update', { cause })
  }
}

export function encodePresence(entries: readonly PresenceEntry[]): Uint8Array {
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, entries.length)
  for (const { client, clock, state } of entries) {
    encoding.writeVarUint(encoder, client)
    encoding.writeVarUint(encoder, clock)
    encoding.writeVarString(encoder, state)
  }
  return encoding.toUint8Array(encoder)
}

interface Held {
  readonly entry: PresenceEntry
  /** The connection that brought it; clears it by leaving. */
  readonly owner: string
}

export class Presence {
  readonly #held = new Map<number, Held>()
  readonly #limits: Pick<RelayLimits, 'presenceBytes' | 'presencePerConnection'>

  constructor(limits: Pick<RelayLimits, 'presenceBytes' | 'presencePerConnection'>) {
    this.#limits = limits
  }

  /** Takes what is newer and within the limits, and returns it. */
  update(owner: string, entries: readonly PresenceEntry[]): readonly PresenceEntry[] {
    return entries.filter((entry) => {
      const held = this.#held.get(entry.client)
      if (!isNewer(entry, held?.entry)) return false
      if (entry.state === GONE) return this.#held.delete(entry.client)
      if (entry.state.length > this.#limits.presenceBytes) return false
      if (held?.owner !== owner && this.#ownedBy(owner).length >= this.#limits.presencePerConnection)
        return false
      this.#held.set(entry.client, { entry, owner })
      return true
    })
  }

  /** Clears what a connection brought, and returns it as gone. */
  leave(owner: string): readonly PresenceEntry[] {
    const gone = this.#ownedBy(owner)
    for (const { client } of gone) this.#held.delete(client)
    return gone.map(({ client, clock }) => ({ client, clock, state: GONE }))
  }

  /** Who brought what. */
  byOwner(): ReadonlyMap<string, readonly PresenceEntry[]> {
    const owners = new Map<string, PresenceEntry[]>()
    for (const { owner, entry } of this.#held.values())
      owners.set(owner, [...(owners.get(owner) ?? []), entry])
    return owners
  }

  all(): readonly PresenceEntry[] {
    return [...this.#held.values()].map(({ entry }) => entry)
  }

  #ownedBy(owner: string): PresenceEntry[] {
    return [...this.#held.values()].filter((held) => held.owner === owner).map(({ entry }) => entry)
  }
}

function isNewer(entry: PresenceEntry, held: PresenceEntry | undefined): boolean {
  if (!held) return entry.state !== GONE
  return entry.clock > held.clock || (entry.clock === held.clock && entry.state === GONE)
}
