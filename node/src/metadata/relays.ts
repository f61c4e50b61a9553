/** The relays that carry one share: a connection to each that the share's settings name. */
import { createAccessStatement, type ShareDocument } from '@cofolder/protocol'
import { RelayError } from '../relay-client/errors.ts'
import type { DocumentConnection, RelayClient } from '../relay-client/relay-client.ts'
import { sealNotices } from './notices.ts'
import type { PresenceBoard, PresencePath } from './presence.ts'

/**
 * How long the relay keeps serving an epoch that has ended, in milliseconds: who is connected learns the new keys in
 * this time, and connects again with them.
 */
const EPOCH_GRACE = 300
/** Info hashes in one request. */
const MAX_INFO_HASHES = 1000

export interface RelayState {
  readonly url: string
  readonly connected: boolean
}

export interface RelayLinksOptions {
  readonly share: ShareDocument
  readonly presence: PresenceBoard
  readonly relayClient: (url: string) => RelayClient
  /** Resolves when what this device wrote so far is on disk; undefined when it is. */
  readonly written: () => Promise<void> | undefined
  readonly onSubmission: (signed: Uint8Array) => void
  /** Whether this user was removed from the share. */
  readonly isRemoved: () => boolean
  /** The latest epoch of which the members were told at a relay; 0 when of none: they joined with its keys. */
  readonly noticed: (relay: string) => number
  readonly onNoticed: (relay: string, epoch: number) => void
  /** A relay was connected or lost. */
  readonly onState: () => void
  readonly onError: (error: Error) => void
}

export interface RelayLinks {
  list(): readonly RelayState[]
  /** True while the first attempt to connect to some relay is under way. */
  connecting(): boolean
  /** Leaves signed bytes for whoever may write them; what no relay takes is offered again by the caller. */
  submit(signed: Uint8Array): void
  /** Allows info hashes at the trackers; answers their announce URLs. Relays that do not answer are left out. */
  allowTorrents(infoHashes: readonly string[]): Promise<string[]>
  /** Settings may have changed. With other keys or members it is worth another try at relays that refused us. */
  refresh(change: { readonly rights: boolean }): void
  close(): Promise<void>
}

interface Held {
  readonly client: RelayClient
  readonly connection: DocumentConnection
  readonly path: PresencePath
  tried: boolean
}

export function createRelayLinks(options: RelayLinksOptions): RelayLinks {
  const { share, presence, relayClient, onError } = options
  const held = new Map<string, Held>()
  const ending = new Set<Promise<void>>()
  let stated = share.membership.epoch
  let statementTimer: NodeJS.Timeout | undefined
  let closed = false

  /** The owner's word on who may read and write in the present epoch; undefined on devices of others. */
  function statement(): Uint8Array | undefined {
    const { adminSeed, epochs } = share.keys
    const { epoch } = share.membership
    const keys = epochs.get(epoch)
    return adminSeed && keys?.writeSeed ? createAccessStatement(adminSeed, epoch, keys) : undefined
  }

  async function state(client: RelayClient): Promise<void> {
    const bytes = statement()
    if (!bytes) return
    const { epoch } = share.membership
    try {
      await client.publishAccess(share, bytes)
    } catch (error) {
      // Another device of the owner was faster; what holds comes with the document.
      if (!(error instanceof RelayError) || error.code !== 'conflict') throw error
      return
    }
    if (epoch > options.noticed(client.url)) await notify(client, epoch)
  }

  /** Leaves the keys that hold now for members who may be away: this relay tells them nothing any more. */
  async function notify(client: RelayClient, epoch: number): Promise<void> {
    const notices = sealNotices(share)
    for (const { user, status } of share.membership.members.values()) {
      if (status !== 'active' || user === share.membership.owner) continue
      for (const notice of notices) await client.sendEnvelope(user, notice)
    }
    options.onNoticed(client.url, epoch)
  }

  function connect(url: string): Held {
    const client = relayClient(url)
    const path = presence.open()
    const connection = client.connectDocument({
      share,
      awareness: path.awareness,
      onSubmission: options.onSubmission,
      onState(connected, error) {
        const relay = held.get(url)
        if (relay) relay.tried = true
        if (connected) path.renew()
        else path.lose()
        if (error && connected) onError(error)
        options.onState()
      },
      written: options.written,
      // The relay may have lost its data, or may not know the share yet.
      before: () => state(client),
    })
    return { client, connection, path, tried: false }
  }

  async function disconnect({ connection, path }: Held): Promise<void> {
    path.close()
    await connection.close()
  }

  function refresh({ rights }: { readonly rights: boolean }): void {
    if (closed) return
    // Who was put out would only be refused.
    const wanted = new Set(options.isRemoved() ? [] : share.settings.relays)
    for (const [url, relay] of held) {
      if (wanted.has(url)) continue
      held.delete(url)
      const ended = disconnect(relay)
        .catch(onError)
        .finally(() => ending.delete(ended))
      ending.add(ended)
    }
    for (const url of wanted) if (!held.has(url)) held.set(url, connect(url))
    if (!rights) return
    for (const { connection } of held.values()) if (!connection.connected) connection.wake()
    if (share.membership.epoch > stated) {
      stated = share.membership.epoch
      clearTimeout(statementTimer)
      statementTimer = setTimeout(() => {
        // A relay that does not answer now is told before the next connection.
        for (const { client } of held.values()) state(client).catch(() => undefined)
      }, EPOCH_GRACE)
    }
  }
  refresh({ rights: false })

  return {
    list: () => [...held].map(([url, { connection }]) => ({ url, connected: connection.connected })),
    connecting: () => [...held.values()].some(({ tried }) => !tried),
    submit(signed) {
      // What is refused or lost is offered again while it stands in the outbox.
      for (const { connection } of held.values()) {
        if (connection.connected) connection.submit(signed).catch(() => undefined)
      }
    },
    async allowTorrents(infoHashes) {
      const trackers = new Set<string>()
      const ask = async ({ client }: Held): Promise<void> => {
        for (let i = 0; i < infoHashes.length; i += MAX_INFO_HASHES) {
          const urls = await client.allowTorrents(share, infoHashes.slice(i, i + MAX_INFO_HASHES))
          for (const url of urls) trackers.add(url)
        }
      }
      await Promise.allSettled([...held.values()].filter(({ connection }) => connection.connected).map(ask))
      return [...trackers]
    },
    refresh,
    async close() {
      closed = true
      clearTimeout(statementTimer)
      const relays = [...held.values()]
      held.clear()
      await Promise.allSettled([...relays.map(disconnect), ...ending])
    },
  }
}
