/**
 * All shares of this device, and what leads to them: invites, links and mail. Opens what is on disk, keeps it in step
 * with the other members' devices and the relays, and closes it.
 */
import {
  type ContactCard,
  createShare,
  type Identity,
  type InviteId,
  type InvitePayload,
  inviteIdOfSeed,
  joinShare,
  openEnvelope,
  openLinkPayload,
  ProtocolError,
  parseLink,
  type ShareDocument,
  type ShareId,
  SYNC_PROTOCOL,
  sealEnvelope,
  sealLinkPayload,
  signCard,
} from '@cofolder/protocol'
import * as Y from 'yjs'
import type { Network } from '../network/network.ts'
import { RelayError } from '../relay-client/errors.ts'
import type { RelayClient } from '../relay-client/relay-client.ts'
import { createDialer } from './dialing.ts'
import { createGivenInvites, renewed } from './invites.ts'
import { keepUpdates } from './keeping.ts'
import { openStored } from './loading.ts'
import type { DamagedEntry, Database } from './log.ts'
import { type EnvelopeListener, openMail } from './mail.ts'
import { createMailStore } from './mail-store.ts'
import { openMailboxes } from './mailboxes.ts'
import { readNotice } from './notices.ts'
import { type Replica, type RunningReplica, startReplica } from './replica.ts'
import type { ReplicaRecord } from './rest.ts'
import { serveSync } from './serving.ts'
import { ReplicaStore } from './store.ts'

export type { Replica } from './replica.ts'

/** How often own relays and addresses are looked at for changes, in milliseconds. */
const UPKEEP_INTERVAL = 5_000
/** Addresses on a card and of one device in an invite. */
const CARD_ADDRESSES = 8

/** What went wrong without anybody waiting for it. */
export type ReplicaProblem =
  | { readonly kind: 'damaged'; readonly share: ShareId | undefined; readonly entry: DamagedEntry }
  | { readonly kind: 'error'; readonly share: ShareId | undefined; readonly error: Error }

export interface ReplicasOptions {
  readonly db: Database
  readonly identity: Identity
  readonly network: Network
  /** Milliseconds since the epoch. */
  readonly clock: () => number
  /** Own relays: their mailboxes are read, and invites name them for answers. May change. */
  readonly relays: () => readonly string[]
  readonly relayClient: (url: string) => RelayClient
  readonly onProblem?: (problem: ReplicaProblem) => void
}

interface PublishedLink {
  /** Base URL of the relay that has it. */
  readonly relay: string
  readonly invite: InviteId
}

export interface Replicas extends AsyncDisposable {
  list(): readonly Replica[]
  get(share: ShareId): Replica | undefined
  /** A new share owned by this user. */
  create(options: { readonly name: string; readonly relays: readonly string[] }): Promise<Replica>
  /** Accepts an invite. The replica that is there already is answered when the share is known. */
  join(payload: InvitePayload): Promise<Replica>
  /** Closes a replica and deletes it from this device. */
  forget(share: ShareId): Promise<void>
  /** Told of each replica that is created or joined, not of those that were there. */
  onReplica(listener: (replica: Replica) => void): () => void
  /** Seals an invite to a person and delivers it, now or later. Resolves when it is kept for delivery. */
  sendInvite(to: ContactCard, payload: InvitePayload): Promise<void>
  /** Tells the person who invited that the invite was declined. */
  sendDecline(to: ContactCard, share: ShareId, invite: InviteId): Promise<void>
  /** Invites and declines received, each once. The listener keeps the envelope before it resolves. */
  onEnvelope(listener: EnvelopeListener): () => void
  /** Envelopes that nobody has taken yet. */
  readonly outgoing: number
  /**
   * Leaves an invite at each of its relays, sealed under its seed, and answers where: `createLink(relay, seed)` is the
   * link. @throws RelayError when none takes it, ProtocolError `not-found` when it names none.
   */
  publishLink(payload: InvitePayload): Promise<PublishedLink>
  /** Fetches what a link leads to. @throws ProtocolError, RelayError */
  openLink(text: string): Promise<InvitePayload>
  /** Takes a link from its relay. @throws RelayError when that does not answer. Closing the invite is the share's. */
  withdrawLink(link: { readonly relay: string; readonly seed: Uint8Array }): Promise<void>
  /** Multiaddrs at which this device can be reached now, few enough for a card. */
  addresses(): readonly string[]
  /** Whether the mailbox at one of our own relays is being read now. */
  mailboxConnected(relay: string): boolean
  /** Own relays or addresses may have changed: looks at once instead of within a few seconds. */
  refresh(): void
  close(): Promise<void>
}

export async function openReplicas(options: ReplicasOptions): Promise<Replicas> {
  const { db, identity, network, clock } = options
  const report = (problem: ReplicaProblem) => options.onProblem?.(problem)
  const onError = (error: Error) => report({ kind: 'error', share: undefined, error })
  const store = new ReplicaStore(db)
  const dialer = createDialer(network)
  const replicas = new Map<ShareId, RunningReplica>()
  const listeners = new Set<(replica: Replica) => void>()
  const clients = new Map<string, RelayClient>()
  const joining = new Map<ShareId, Promise<Replica>>()

  function relayClient(url: string): RelayClient {
    let client = clients.get(url)
    if (!client) {
      client = options.relayClient(url)
      clients.set(url, client)
    }
    return client
  }

  function logOf(share: ShareId, whole: () => Uint8Array) {
    const log = store.log(share, {
      onError: (error) => report({ kind: 'error', share, error }),
      onDamaged(entry) {
        report({ kind: 'damaged', share, entry })
        log.append(whole(), true)
      },
    })
    return log
  }

  const invites = createGivenInvites({
    ...{ db, relayClient, clock },
    onDamaged: (entry) => report({ kind: 'damaged', share: undefined, entry }),
  })
  /** Epochs whose keys the given invites carry. */
  const renewedAt = new Map<ShareId, number>()
  function renewInvites(share: ShareDocument): void {
    const { epoch } = share.membership
    if (share.role !== 'owner' || (renewedAt.get(share.id) ?? 0) >= epoch) return
    renewedAt.set(share.id, epoch)
    // A relay that is away keeps the older payload; who joins with that gets the new keys from a member.
    invites.renew(share).catch(onError)
  }

  function start(share: ShareDocument, record: ReplicaRecord, log: ReturnType<typeof logOf>): RunningReplica {
    const replica = startReplica({
      ...{ share, record, log, store, identity, network, dialer, clock, relayClient },
      onMembership: renewInvites,
      onError: (id, error) => report({ kind: 'error', share: id, error }),
    })
    replicas.set(share.id, replica)
    renewInvites(share)
    return replica
  }

  async function openAll(): Promise<void> {
    const { replicas: stored, damaged } = await store.list()
    for (const entry of damaged) report({ kind: 'damaged', share: undefined, entry })
    for (const { record, keys } of stored) {
      let share: ShareDocument | undefined
      const log = logOf(record.id, () => (share ? Y.encodeStateAsUpdate(share.doc) : new Uint8Array([0, 0])))
      const loaded = await openStored({ identity, record, keys, log })
      share = loaded.share
      for (const entry of loaded.damaged) report({ kind: 'damaged', share: record.id, entry })
      start(share, record, log)
    }
  }

  /** Puts a new share on disk, whole, before anything of it leaves this device. */
  async function add(share: ShareDocument, record: ReplicaRecord): Promise<Replica> {
    try {
      await store.create({ record, keys: share.keys }, Y.encodeStateAsUpdate(share.doc))
    } catch (error) {
      share.close()
      throw error
    }
    const log = logOf(share.id, () => Y.encodeStateAsUpdate(share.doc))
    await log.load()
    keepUpdates(share.doc, log)
    const replica = start(share, record, log)
    refresh()
    for (const listener of listeners) listener(replica)
    return replica
  }

  function recordOf(share: ShareDocument, origin: ReplicaRecord['origin']): Omit<ReplicaRecord, 'devices'> {
    const { name, relays } = share.settings
    return { id: share.id, origin, at: clock(), name, relays, outbox: share.outbox, noticed: [] }
  }

  async function join(payload: InvitePayload): Promise<Replica> {
    const known = replicas.get(payload.share)
    if (known) return known
    const share = joinShare(identity, await renewed(payload, relayClient), { at: clock() })
    return add(share, { ...recordOf(share, 'joined'), devices: payload.devices })
  }

  /** Names where the devices of an invite can be reached, as far as is known here. */
  function withAddresses(payload: InvitePayload): InvitePayload {
    const devices = payload.devices.map(({ id, addresses }) => {
      const known = id === identity.deviceId ? network.addresses() : dialer.addresses(id)
      return { id, addresses: [...new Set([...addresses, ...known])].slice(0, CARD_ADDRESSES) }
    })
    return { ...payload, devices }
  }

  const cardAddresses = () => network.addresses().slice(0, CARD_ADDRESSES)
  const ownCard = () => signCard(identity, { relays: options.relays(), addresses: cardAddresses() })

  const mail = await openMail({
    store: createMailStore(db, (entry) => report({ kind: 'damaged', share: undefined, entry })),
    network,
    dialer,
    clock,
    open: (sealed) => openEnvelope(identity, sealed),
    post: (relay, to, sealed) => relayClient(relay).sendEnvelope(to, sealed),
    onError,
  })

  /** Mailboxes at the relays of our shares are read too: notices of new keys come there. */
  const mailboxRelays = () => [
    ...options.relays(),
    ...[...replicas.values()].flatMap(({ share }) => share.settings.relays),
  ]
  async function receive(bytes: Uint8Array): Promise<void> {
    const notice = readNotice(bytes)
    if (!notice) await mail.receive(bytes)
    else replicas.get(notice.share)?.takeNotice(notice)
  }
  const mailboxes = openMailboxes({ relays: mailboxRelays, relayClient, receive, onError })

  function refresh(): void {
    mailboxes.refresh()
    for (const replica of replicas.values()) replica.readdress()
  }

  await openAll()
  const unhandle = network.handle(SYNC_PROTOCOL, (stream) =>
    serveSync(stream, (share) => replicas.get(share)),
  )
  refresh()
  const upkeep = setInterval(refresh, UPKEEP_INTERVAL)
  upkeep.unref()

  let closing: Promise<void> | undefined
  async function end(): Promise<void> {
    clearInterval(upkeep)
    unhandle()
    const ends = [
      mail.close(),
      mailboxes.close(),
      ...[...replicas.values()].map((replica) => replica.close()),
    ]
    const outcomes = await Promise.allSettled(ends)
    dialer.close()
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  const self: Replicas = {
    list: () => [...replicas.values()],
    get: (share) => replicas.get(share),
    async create({ name, relays }) {
      const share = createShare(identity, { name, relays, at: clock() })
      return add(share, { ...recordOf(share, 'created'), devices: [] })
    },
    join(payload) {
      let attempt = joining.get(payload.share)
      if (!attempt) {
        attempt = join(payload).finally(() => joining.delete(payload.share))
        joining.set(payload.share, attempt)
      }
      return attempt
    },
    async forget(share) {
      const replica = replicas.get(share)
      if (!replica) return
      replicas.delete(share)
      await replica.close()
      await store.forget(share)
    },
    onReplica(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async sendInvite(to, payload) {
      const letter = { type: 'invite', payload: withAddresses(payload) } as const
      await invites.keep(letter.payload)
      await mail.send(to, sealEnvelope(identity, ownCard(), to, letter, clock()))
    },
    async sendDecline(to, share, invite) {
      await mail.send(to, sealEnvelope(identity, ownCard(), to, { type: 'declined', share, invite }, clock()))
    },
    onEnvelope: (listener) => mail.onEnvelope(listener),
    get outgoing() {
      return mail.waiting
    },
    async publishLink(payload) {
      const { seed, relays } = payload
      const invite = inviteIdOfSeed(seed)
      const complete = withAddresses(payload)
      await invites.keep(complete)
      const blob = sealLinkPayload(complete)
      const puts = relays.map((url) => relayClient(url).putLink(seed, invite, blob, clock()))
      const outcomes = await Promise.allSettled(puts)
      const relay = relays[outcomes.findIndex(({ status }) => status === 'fulfilled')]
      if (relay !== undefined) return { relay, invite }
      const refused = outcomes.find((outcome) => outcome.status === 'rejected')
      throw refused ? refused.reason : new ProtocolError('not-found', 'the share has no relay to keep a link')
    },
    async openLink(text) {
      const { relay, invite, seed } = parseLink(text)
      return openLinkPayload(seed, await relayClient(relay).getLink(invite))
    },
    async withdrawLink({ relay, seed }) {
      await invites.forget(inviteIdOfSeed(seed))
      try {
        await relayClient(relay).deleteLink(seed, inviteIdOfSeed(seed), clock())
      } catch (error) {
        if (!(error instanceof RelayError) || error.status !== 404) throw error
      }
    },
    addresses: cardAddresses,
    mailboxConnected: (relay) => mailboxes.connected(relay),
    refresh,
    close() {
      closing ??= end()
      return closing
    },
    [Symbol.asyncDispose]: () => self.close(),
  }
  return self
}
