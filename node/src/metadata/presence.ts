/**
 * Who is there: the presence of this device, told over every path, and that of the others, kept by path. Each path
 * (a stream to one device, a relay) has an awareness of its own, so nobody's presence is passed on by others, and
 * what a path told ends with it.
 */
import {
  type DeviceId,
  fromBase64url,
  openPresence,
  type Presence,
  ProtocolError,
  type ShareDocument,
  sealPresence,
  toBase64url,
} from '@cofolder/protocol'
import * as v from 'valibot'
import { Awareness, removeAwarenessStates } from 'y-protocols/awareness'

/** Epochs, the newest first, whose keys are tried on a presence: others are a moment behind or ahead of us. */
const TRIED_EPOCHS = 3
/** Longest sealed presence, in characters of base64url. */
const MAX_STATE_CHARS = 12_000

/** An awareness state is JSON, so the sealed bytes travel as base64url text. */
const StateSchema = v.object({ p: v.pipe(v.string(), v.maxLength(MAX_STATE_CHARS)) })

export type Via = 'direct' | 'relay'

interface SeenDevice {
  readonly device: DeviceId
  readonly via: Via
  readonly presence: Presence
  /** Milliseconds since the epoch. */
  readonly lastSeen: number
}

export interface PresencePath {
  readonly awareness: Awareness
  /** The path is there again: whoever was told that we were gone hears anew. */
  renew(): void
  /** The path is lost for now, and with it what it told. */
  lose(): void
  close(): void
}

export interface PresenceBoard {
  /** Opens a path: to one device, whose presence alone counts there, or over a relay. */
  open(device?: DeviceId): PresencePath
  /** Tells the others, over all paths. */
  announce(presence: Presence): void
  /** The latest of each member's device, direct paths first. */
  seen(): readonly SeenDevice[]
  /** Reads everything again: members or keys have changed. */
  refresh(): void
  onChange(listener: () => void): () => void
  close(): void
}

export function createPresenceBoard(share: ShareDocument, own: DeviceId): PresenceBoard {
  const paths = new Map<Awareness, DeviceId | undefined>()
  const listeners = new Set<() => void>()
  /** Opened states by their sealed text. */
  let opened = new Map<string, Presence | undefined>()
  let seen: readonly SeenDevice[] | undefined
  let state: { readonly p: string } | undefined

  function changed(): void {
    seen = undefined
    for (const listener of listeners) listener()
  }

  function read(value: unknown): Presence | undefined {
    const parsed = v.safeParse(StateSchema, value)
    if (!parsed.success) return undefined
    const sealed = parsed.output.p
    if (!opened.has(sealed)) opened.set(sealed, openState(share, sealed))
    return opened.get(sealed)
  }

  function* readPath(awareness: Awareness, device: DeviceId | undefined): Generator<SeenDevice> {
    for (const [client, value] of awareness.getStates()) {
      if (client === awareness.clientID) continue
      const presence = read(value)
      if (!presence || presence.device === own || !isMember(share, presence.device)) continue
      if (device !== undefined && presence.device !== device) continue
      const lastSeen = awareness.meta.get(client)?.lastUpdated ?? 0
      yield { device: presence.device, via: device === undefined ? 'relay' : 'direct', presence, lastSeen }
    }
  }

  function compute(): readonly SeenDevice[] {
    const before = opened
    const found = new Map<DeviceId, SeenDevice>()
    for (const [awareness, device] of paths) {
      for (const entry of readPath(awareness, device)) {
        const other = found.get(entry.device)
        if (!other || isBetter(entry, other)) found.set(entry.device, entry)
      }
    }
    // Only what is still shown is remembered.
    opened = new Map()
    for (const awareness of paths.keys()) {
      for (const value of awareness.getStates().values()) {
        const parsed = v.safeParse(StateSchema, value)
        if (parsed.success && before.has(parsed.output.p))
          opened.set(parsed.output.p, before.get(parsed.output.p))
      }
    }
    return [...found.values()]
  }

  return {
    open(device) {
      const awareness = new Awareness(share.doc)
      // Its clock is now 0, which others take for "nothing yet"; a state below raises it.
      if (state) awareness.setLocalState(state)
      paths.set(awareness, device)
      awareness.on('update', ({ removed }: { removed: readonly number[] }, origin: unknown) => {
        if (origin === 'local') return
        // A relay that lost a connection of ours declares us gone: say that we are not.
        if (removed.includes(awareness.clientID)) awareness.setLocalState(awareness.getLocalState())
        changed()
      })
      return {
        awareness,
        renew: () => awareness.setLocalState(awareness.getLocalState()),
        lose() {
          const others = [...awareness.getStates().keys()].filter((client) => client !== awareness.clientID)
          removeAwarenessStates(awareness, others, 'lost')
          // Otherwise what they say again, with the clock we know, would count as old.
          for (const client of others) awareness.meta.delete(client)
        },
        close() {
          if (!paths.delete(awareness)) return
          awareness.destroy()
          changed()
        },
      }
    },
    announce(presence) {
      const key = share.keys.epochs.get(share.membership.epoch)?.key
      if (!key) return
      state = { p: toBase64url(sealPresence(key, share.id, presence)) }
      for (const awareness of paths.keys()) awareness.setLocalState(state)
    },
    seen() {
      seen ??= compute()
      return seen
    },
    refresh() {
      opened.clear()
      changed()
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close() {
      for (const awareness of paths.keys()) awareness.destroy()
      paths.clear()
      listeners.clear()
    },
  }
}

/** Direct paths tell more surely who speaks; otherwise the latest word counts. */
const isBetter = (entry: SeenDevice, other: SeenDevice): boolean =>
  entry.via === other.via ? entry.lastSeen > other.lastSeen : entry.via === 'direct'

/** Whether a device belongs to somebody who is in the share now. */
export function isMember(share: ShareDocument, device: DeviceId): boolean {
  const user = share.userOf(device)
  return user !== undefined && share.membership.members.get(user)?.status === 'active'
}

function openState(share: ShareDocument, text: string): Presence | undefined {
  const epochs = [...share.keys.epochs.keys()].sort((a, b) => b - a).slice(0, TRIED_EPOCHS)
  for (const epoch of epochs) {
    const key = share.keys.epochs.get(epoch)?.key
    if (!key) continue
    try {
      return openPresence(key, share.id, fromBase64url(text))
    } catch (error) {
      if (!(error instanceof ProtocolError) || error.code !== 'wrong-key') return undefined
    }
  }
  return undefined
}
