/** The running node: opens the profile and every part, joins them, and closes them in reverse order. */
import type { DeviceId, ShareId } from '@cofolder/protocol'
import { startApi } from '../api/server.ts'
import { contentKey } from '../content/keys.ts'
import { createContentService } from '../content/service.ts'
import { createChangeBundler } from '../events/bundles.ts'
import { openEventLog } from '../events/events.ts'
import { openVersionStore } from '../history/version-store.ts'
import { openReplicas, type Replica } from '../metadata/replicas.ts'
import { createNetwork } from '../network/libp2p.ts'
import { openProfile } from '../profile/profile.ts'
import { createRelayClient, type RelayClient } from '../relay-client/relay-client.ts'
import { receiveLetter } from '../shares/accepting.ts'
import { createIndex, createPlacements } from '../shares/placements.ts'
import { openRecords } from '../shares/records.ts'
import { resumeShares, type ShareContext } from '../shares/service.ts'
import { tellPlacement } from '../shares/telling.ts'
import { watchShare } from '../shares/watching.ts'
import { systemClock } from '../sync/clock.ts'
import { nodeFileSystem } from '../sync/node-file-system.ts'
import { openAddressBook } from './address-book.ts'
import { createCircuits } from './circuits.ts'
import { startEmbeddedRelay } from './embedded-relay.ts'

const DAY_MS = 24 * 3600_000

export interface DaemonOptions {
  readonly home: string
  readonly name?: string
  readonly relays?: readonly string[]
  /** Port of the API and the page; 0 picks one, undefined takes the one of last time. */
  readonly port?: number
  /** Where devices of others may connect: `0.0.0.0` or one address. */
  readonly listenHost: string
  readonly log: (line: string) => void
}

export interface Daemon extends AsyncDisposable {
  /** Address of the page, with its token in the fragment. */
  readonly page: string
  /** Resolves when somebody asked the daemon to stop. */
  readonly stopRequested: Promise<void>
  close(): Promise<void>
}

/** Starts everything; what was started is closed again when a later part fails. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const stack = new AsyncDisposableStack()
  try {
    return await compose(stack, options)
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

async function compose(stack: AsyncDisposableStack, options: DaemonOptions): Promise<Daemon> {
  const { log } = options
  const complain = (error: Error): void => log(`${error.name}: ${error.message}`)
  const profile = stack.use(
    await openProfile(options.home, {
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.relays === undefined ? {} : { relays: options.relays }),
    }),
  )
  const { db, identity } = profile
  const events = stack.adopt(await openEventLog(db), (opened) => opened.close())
  const embedded =
    profile.settings.relays.length === 0 ? stack.use(await startEmbeddedRelay(profile, options)) : undefined
  const relays = (): readonly string[] => (embedded ? [embedded.url] : profile.settings.relays)

  const startNetwork = (port: number) =>
    createNetwork({
      device: identity.device,
      listenHost: options.listenHost,
      port,
      addressBook: openAddressBook(db),
      mdns: options.listenHost !== '127.0.0.1',
      onError: complain,
    })
  const peerPort = profile.settings.ports.peer ?? 0
  const network = stack.use(
    await startNetwork(peerPort).catch((error: unknown) => {
      if (peerPort === 0) throw error
      return startNetwork(0)
    }),
  )
  const ownPort = Number(
    /\/tcp\/(\d+)$/.exec(network.addresses().find((address) => /\/tcp\/\d+$/.test(address)) ?? '')?.[1] ?? 0,
  )
  await profile.saveSettings({ ...profile.settings, ports: { ...profile.settings.ports, peer: ownPort } })

  const clients = new Map<string, RelayClient>()
  const relayClient = (url: string): RelayClient => {
    const client = clients.get(url) ?? createRelayClient({ url, identity })
    clients.set(url, client)
    return client
  }
  const history = await openVersionStore({
    dir: profile.path('versions'),
    db,
    fs: nodeFileSystem,
    clock: systemClock,
    retention: profile.settings.history.days * DAY_MS,
    maxBytes: profile.settings.history.maxBytes,
  })
  await history.prune()
  const replicas = stack.use(
    await openReplicas({
      db,
      identity,
      network,
      clock: Date.now,
      relays,
      relayClient,
      onProblem: (problem) => {
        const text =
          problem.kind === 'damaged'
            ? 'a damaged database entry was left out; other members fill the gap'
            : problem.error.message
        log(text)
        if (problem.kind === 'damaged') {
          events.add({
            at: Date.now(),
            type: 'error',
            ...(problem.share === undefined ? {} : { share: problem.share }),
            detail: { message: text },
          })
        }
      },
    }),
  )
  const index = createIndex(history)
  const holders = (share: ShareId): DeviceId[] =>
    replicas
      .get(share)
      ?.peers()
      .map(({ device }) => device) ?? []
  const content = stack.use(
    createContentService({
      network,
      index,
      keys: (share) => {
        const replica = replicas.get(share)
        return replica && contentKey(replica.share.keys.root)
      },
      mayServe: (share, device) => {
        const document = replicas.get(share)?.share
        const user = document?.userOf(device)
        return user !== undefined && document?.membership.members.get(user)?.status === 'active'
      },
      holders,
      announce: async (share, infoHashes) => (await replicas.get(share)?.allowTorrents(infoHashes)) ?? [],
      listenHost: options.listenHost,
    }),
  )
  const placements = stack.adopt(
    createPlacements({
      db,
      fs: nodeFileSystem,
      clock: systemClock,
      index,
      content,
      history,
      userName: identity.name,
      onEvent: (share, event) =>
        events.add({
          at: Date.now(),
          share,
          ...(event.type === 'conflict'
            ? { type: 'conflict', path: event.path }
            : { type: 'error', detail: { message: event.message } }),
        }),
    }),
    (opened) => opened.close(),
  )
  const bundler = stack.adopt(
    createChangeBundler((event) => events.add(event)),
    (opened) => opened.close(),
  )
  const stops = stack.adopt(new Map<ShareId, () => void>(), (all) => {
    for (const stop of all.values()) stop()
  })
  const circuits = createCircuits({
    network,
    replicas: () => replicas.list(),
    relayClient,
    onError: complain,
  })
  const watch = (replica: Replica): void => {
    const { share } = replica
    if (stops.has(share.id)) return
    const unwatch = watchShare({
      share,
      me: identity.userId,
      bundler,
      emit: (event) => events.add(event),
      onRevoked: () => void placements.shut(share.id).catch(complain),
      clock: Date.now,
    })
    const unpeer = replica.onPeers(() => {
      content.wake(share.id)
      circuits.refresh()
    })
    const untell = tellPlacement({
      share,
      device: identity.deviceId,
      placement: { where: 'local', label: '', mode: 'two-way' },
      clock: Date.now,
      onError: complain,
    })
    const unsettle = replica.onSettleRequest(async () => placements.get(share.id)?.scan())
    stops.set(share.id, () => {
      unwatch()
      unpeer()
      unsettle()
      untell()
    })
  }

  const shares: ShareContext = {
    profile,
    replicas,
    placements,
    records: openRecords(db),
    events,
    clock: Date.now,
    relays,
    watch,
  }
  replicas.onEnvelope((envelope) => receiveLetter(shares, envelope))
  await resumeShares(shares, (share, error) => {
    log(error.message)
    events.add({ at: Date.now(), type: 'error', share, detail: { message: error.message } })
  })

  const stop = Promise.withResolvers<void>()
  const api = stack.use(
    await startApi(
      { shares, network, content, history, stop: () => stop.resolve() },
      {
        port: options.port ?? 0,
        token: profile.token,
        onError: (error) => log(error.stack ?? error.message),
      },
    ),
  )
  await profile.announce({ pid: process.pid, api: api.address })
  const close = (): Promise<void> => stack.disposeAsync()
  return {
    page: `${api.address}/#token=${profile.token}`,
    stopRequested: stop.promise,
    close,
    [Symbol.asyncDispose]: close,
  }
}
