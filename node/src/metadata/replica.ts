/** One share on this device: its document on disk, in memory, and in step with the other members. */
import {
  type DeviceId,
  type Identity,
  ProtocolError,
  type ShareDocument,
  type ShareId,
  type UserId,
} from '@cofolder/protocol'
import type { MessageStream, Network } from '../network/network.ts'
import type { RelayClient } from '../relay-client/relay-client.ts'
import type { Dialer } from './dialing.ts'
import { createLinks } from './links.ts'
import type { ReplicaLog } from './log.ts'
import { type Notice, takeNotice } from './notices.ts'
import { createOutboxKeeper } from './outbox.ts'
import { createPresenceBoard, type Via } from './presence.ts'
import { createRelayLinks, type RelayState } from './relays.ts'
import type { ReplicaRecord } from './rest.ts'
import { createSettling, type Settled, type SettleOptions } from './settling.ts'
import type { ReplicaStore } from './store.ts'

/** Pause that gathers what changes together before the others are told of our state, in milliseconds. */
const ANNOUNCE_PAUSE = 20
/** Multiaddrs one presence may carry. */
const MAX_ADDRESSES = 32
/** Submissions that wait for the changes they build on. */
const MAX_EARLY = 256

/** A device of a member that can be reached now. */
interface ReachableMember {
  readonly device: DeviceId
  readonly user: UserId
  readonly via: Via
  /** Of its replica; empty before it has told us. */
  readonly fingerprint: string
  /** Operations it still has to carry out. */
  readonly pending: number
  /** Milliseconds since the epoch. */
  readonly lastSeen: number
}

export interface Replica {
  readonly share: ShareDocument
  /** Where the share comes from, and what is kept of it beside the document. */
  readonly record: ReplicaRecord
  /** Resolves when all that was written or learnt so far is on disk. Rejects when writing fails; it is tried again. */
  persisted(): Promise<void>
  peers(): readonly ReachableMember[]
  onPeers(listener: () => void): () => void
  /** Operations this device still has to carry out; the others see it. */
  setPending(operations: number): void
  relays(): readonly RelayState[]
  /** Waits until this device and every reachable one have looked at their folders and agree. */
  settle(options: SettleOptions): Promise<Settled>
  /** What to do when another device waits: scan, write what was found, and `setPending`; then resolve. */
  onSettleRequest(handler: () => Promise<void>): () => void
  /** Allows info hashes (hex) at the relays' trackers; answers announce URLs. */
  allowTorrents(infoHashes: readonly string[]): Promise<string[]>
  /** Ends everything but the data on disk. */
  close(): Promise<void>
}

export interface RunningReplica extends Replica {
  /** Serves a stream whose opener named this share and sent these changes, if he is a member, until it ends. */
  accept(
    stream: MessageStream,
    messages: AsyncIterator<Uint8Array>,
    changes: readonly Uint8Array[],
  ): Promise<void>
  /** Takes in a notice of new keys. */
  takeNotice(notice: Notice): void
  /** Tells the others again if our addresses are other ones now. */
  readdress(): void
}

export interface ReplicaParts {
  readonly share: ShareDocument
  readonly record: ReplicaRecord
  readonly log: ReplicaLog
  readonly store: ReplicaStore
  readonly identity: Identity
  readonly network: Network
  readonly dialer: Dialer
  readonly relayClient: (url: string) => RelayClient
  readonly clock: () => number
  /** Members, invites or keys may have changed. */
  readonly onMembership: (share: ShareDocument) => void
  readonly onError: (share: ShareId, error: Error) => void
}

/** Starts to bring a share in step with the others. The log must already follow the document. */
export function startReplica(parts: ReplicaParts): RunningReplica {
  const { share: document, log, store, network, dialer, identity } = parts
  const own = identity.deviceId
  const report = (error: Error) => parts.onError(document.id, error)
  const peerListeners = new Set<() => void>()
  const saving = new Set<Promise<void>>()
  const early = new Map<string, Uint8Array>()
  let pending = 0
  let announcing: NodeJS.Timeout | undefined
  let fingerprint: string | undefined
  let announcedAddresses = ''
  let closed = false

  const save = (what: Promise<void>): void => {
    const saved = what.catch(report).finally(() => saving.delete(saved))
    saving.add(saved)
  }

  const keeper = createOutboxKeeper({
    document,
    record: parts.record,
    save: (record) => store.saveRecord(record),
    submit(signed) {
      links.submit(signed)
      relays.submit(signed)
    },
    onError: report,
  })
  const { share } = keeper
  const presence = createPresenceBoard(share, own)

  function submitted(signed: Uint8Array): void {
    try {
      share.submit(signed)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      // It may build on what has not arrived here yet; whatever else is refused is not worth another word.
      const mayFit = error.code === 'not-found' || error.code === 'wrong-key'
      if (mayFit && early.size < MAX_EARLY) early.set(Buffer.from(signed).toString('base64'), signed)
    }
  }

  function submitEarly(): void {
    const waiting = [...early.values()]
    early.clear()
    for (const signed of waiting) submitted(signed)
  }

  const links = createLinks({
    share,
    own,
    network,
    dialer,
    presence,
    origins: parts.record.devices,
    written: () => log.written(),
    introduction: () => share.introduction,
    onSubmission: submitted,
    onLinks() {
      peersChanged()
      announceSoon()
    },
  })
  const relays = createRelayLinks({
    share,
    presence,
    relayClient: parts.relayClient,
    written: () => log.written(),
    onSubmission: submitted,
    isRemoved: () => share.membership.members.get(identity.userId)?.status === 'removed',
    noticed: (relay) => keeper.record.noticed.find(([url]) => url === relay)?.[1] ?? 0,
    onNoticed: (relay, epoch) => keeper.noted(relay, epoch),
    onState: peersChanged,
    onError: report,
  })

  /** Asked for at every step of settling; it takes a pass over the membership log. */
  const fingerprintNow = (): string => {
    fingerprint ??= share.fingerprint
    return fingerprint
  }
  const isDirect = (device: DeviceId) =>
    network.peers().some((peer) => peer.device === device && peer.host !== undefined)

  function peers(): ReachableMember[] {
    const live = new Set(links.live())
    const found = new Map<DeviceId, ReachableMember>()
    const add = (device: DeviceId, state: Pick<ReachableMember, 'fingerprint' | 'pending' | 'lastSeen'>) => {
      const user = share.userOf(device)
      if (user === undefined) return
      found.set(device, {
        device,
        user,
        via: live.has(device) && isDirect(device) ? 'direct' : 'relay',
        ...state,
      })
    }
    for (const device of live) add(device, { fingerprint: '', pending: 0, lastSeen: parts.clock() })
    for (const { device, presence: said, lastSeen } of presence.seen()) {
      add(device, { fingerprint: said.fingerprint, pending: said.pending, lastSeen })
    }
    return [...found.values()]
  }

  const settling = createSettling({
    own,
    state: () => ({ fingerprint: fingerprintNow(), pending }),
    reports() {
      const said = new Map(presence.seen().map((seen) => [seen.device, seen.presence]))
      return peers().map(({ device, fingerprint, pending: left }) => {
        const settle = said.get(device)?.settle
        return { device, fingerprint, pending: left, done: settle?.done ?? [], ask: settle?.ask }
      })
    },
    connecting: () => links.untried().length > 0 || relays.connecting(),
    announce,
    onError: report,
  })

  function announce(): void {
    clearTimeout(announcing)
    announcing = undefined
    if (closed) return
    const addresses = network.addresses().slice(0, MAX_ADDRESSES)
    announcedAddresses = addresses.join()
    presence.announce({
      device: own,
      addresses,
      fingerprint: fingerprintNow(),
      pending,
      settle: settling.presence(),
    })
  }

  /** Who left still has the keys: the owner's device makes new ones. */
  function rotateSoon(): void {
    const due = () => !closed && share.role === 'owner' && share.membership.rotationDue
    if (due()) setImmediate(() => due() && share.rotate(parts.clock()))
  }

  function announceSoon(): void {
    announcing ??= setTimeout(announce, ANNOUNCE_PAUSE)
  }

  function peersChanged(): void {
    if (closed) return
    for (const { device, presence: said } of presence.seen()) dialer.hint(device, said.addresses)
    settling.changed()
    for (const listener of peerListeners) listener()
  }

  const offPresence = presence.onChange(peersChanged)
  const offTried = dialer.onTried(() => settling.changed())
  const offChange = share.onChange((change) => {
    fingerprint = undefined
    if (change.keys) save(store.saveKeys(share.keys))
    if (change.membership) {
      parts.onMembership(share)
      submitEarly()
      rotateSoon()
      presence.refresh()
      links.refresh()
    }
    // Settings come with batches: they may name other relays.
    relays.refresh({ rights: change.membership || change.keys })
    keeper.refresh()
    settling.changed()
    announceSoon()
  })
  for (const { id, addresses } of parts.record.devices) dialer.hint(id, addresses)
  rotateSoon()
  announce()

  let closing: Promise<void> | undefined
  async function end(): Promise<void> {
    closed = true
    clearTimeout(announcing)
    offPresence()
    offTried()
    offChange()
    settling.close()
    keeper.close()
    await Promise.all([links.close(), relays.close()])
    presence.close()
    try {
      await log.close()
      await Promise.all(saving)
    } finally {
      document.close()
    }
  }

  return {
    share,
    get record() {
      return keeper.record
    },
    async persisted() {
      await Promise.all([log.flushed(), keeper.saved()])
      await Promise.all(saving)
    },
    peers,
    onPeers(listener) {
      peerListeners.add(listener)
      return () => peerListeners.delete(listener)
    },
    setPending(operations) {
      if (operations === pending) return
      pending = operations
      announceSoon()
      settling.changed()
    },
    relays: () => relays.list(),
    settle: (options) => settling.settle(options),
    onSettleRequest: (handler) => settling.onRequest(handler),
    allowTorrents: (infoHashes) => relays.allowTorrents(infoHashes),
    accept(stream, messages, changes) {
      for (const signed of changes) submitted(signed)
      return links.accept(stream, messages)
    },
    takeNotice: (notice) => takeNotice(identity, document, notice),
    readdress() {
      if (network.addresses().slice(0, MAX_ADDRESSES).join() !== announcedAddresses) announceSoon()
    },
    close() {
      closing ??= end()
      return closing
    },
  }
}
