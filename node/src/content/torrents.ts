/** The torrent threads, seen from the main thread: which torrent lives where, and what is going on in it. */

import type { MessagePort } from 'node:worker_threads'
import type { DeviceId } from '@cofolder/protocol'
import { ContentError } from './content.ts'
import { OPEN_SEGMENTS_PER_THREAD, TORRENT_THREAD_IDLE } from './limits.ts'
import { createThread, type Thread } from './thread.ts'
import type {
  LostReason,
  PackedFile,
  PackedResult,
  Path,
  ServedSegment,
  TorrentEvent,
  TorrentJobs,
  WantedPack,
  WantedSegment,
} from './torrent-jobs.ts'

export interface TransferEvents {
  lost(holder: DeviceId, reason: LostReason): void
  progress(received: number): void
}

/** A torrent being fetched. */
export interface Transfer<T> {
  /** Rejects with `aborted` after `stop`. */
  readonly done: Promise<T>
  peer(holder: DeviceId, path: Path): void
  stop(): void
}

interface ServedPack {
  readonly has: readonly boolean[]
  readonly torrent?: { readonly info: Uint8Array<ArrayBuffer>; readonly port: number }
}

export interface Torrents {
  /** Loads a segment's torrent, unless it is; gives the TCP port it is served on. */
  serve(segment: ServedSegment): Promise<number>
  /** Announces a served torrent at trackers. */
  announce(infoHash: string, trackers: readonly string[]): Promise<void>
  /** Port and info dict of a torrent that is served, and stays so for a while. */
  served(
    infoHash: string,
  ): Promise<{ readonly port: number; readonly info: Uint8Array<ArrayBuffer> } | undefined>
  pack(files: readonly PackedFile[], size: number, contentKey: Uint8Array): Promise<ServedPack>
  attach(infoHash: string, stream: MessagePort, id: string): Promise<boolean>
  fetchSegment(wanted: WantedSegment, events: TransferEvents): Transfer<number>
  fetchPack(wanted: WantedPack, events: TransferEvents): Transfer<readonly PackedResult[]>
  /** Starts the threads: torrents will be wanted in a moment. */
  warm(): void
  /** Torrents served now, and the memory packs among them take. */
  readonly load: { readonly torrents: number; readonly packBytes: number }
  /** Segments to have in transfer at once. */
  readonly openSegments: number
  readonly traffic: { readonly received: number; readonly sent: number }
  close(): Promise<void>
}

interface ServedHere {
  readonly info: Uint8Array<ArrayBuffer>
  readonly packBytes: number
}

interface TorrentThread {
  readonly thread: Thread<TorrentJobs>
  readonly served: Map<string, ServedHere>
  readonly transfers: Map<string, TransferEvents>
  port: Promise<number> | undefined
  /** Served torrents being loaded. */
  loading: number
}

export function createTorrents(host: string, threadCount: number): Torrents {
  const traffic = { received: 0, sent: 0 }

  function createTorrentThread(): TorrentThread {
    const served: TorrentThread['served'] = new Map()
    const transfers: TorrentThread['transfers'] = new Map()
    const thread = createThread<TorrentJobs, TorrentEvent>({
      script: new URL('./torrent-thread.ts', import.meta.url),
      idle: TORRENT_THREAD_IDLE,
      isBusy: () => served.size > 0,
      onEnd() {
        here.port = undefined
        served.clear()
        transfers.clear()
      },
      onEvent(event) {
        if (event.type === 'traffic') {
          traffic.received += event.received
          traffic.sent += event.sent
        } else if (event.type === 'unloaded') served.delete(event.infoHash)
        else if (event.type === 'progress') transfers.get(event.infoHash)?.progress(event.received)
        else transfers.get(event.infoHash)?.lost(event.holder, event.reason)
      },
    })
    const here: TorrentThread = { thread, served, transfers, port: undefined, loading: 0 }
    return here
  }

  const threads = Array.from({ length: threadCount }, createTorrentThread)

  const portOf = (here: TorrentThread): Promise<number> => {
    here.port ??= here.thread.run('listen', { host }).then(({ port }) => port)
    return here.port
  }
  /** Transfers weigh more than torrents that are merely loaded. */
  const weight = ({ served, transfers, loading }: TorrentThread): number =>
    served.size + 4 * transfers.size + loading
  const idlest = (): TorrentThread =>
    threads.reduce((best, other) => (weight(other) < weight(best) ? other : best))
  const homeOf = (infoHash: string): TorrentThread | undefined =>
    threads.find(({ served }) => served.has(infoHash))

  async function loading<T>(work: (here: TorrentThread) => Promise<T>): Promise<T> {
    const here = idlest()
    here.loading++
    try {
      return await work(here)
    } finally {
      here.loading--
    }
  }

  async function served(infoHash: string) {
    const here = homeOf(infoHash)
    const known = here?.served.get(infoHash)
    if (!here || !known) return undefined
    const [port, isServed] = await Promise.all([portOf(here), here.thread.run('touch', { infoHash })])
    if (isServed) return { port, info: known.info }
    here.served.delete(infoHash)
    return undefined
  }

  function begin<T>(
    infoHash: string,
    events: TransferEvents,
    run: (here: TorrentThread) => Promise<T>,
  ): Transfer<T> {
    // A torrent lives in one thread at most; one that is served where it is fetched anew holds bytes gone bad.
    const here = homeOf(infoHash) ?? idlest()
    here.transfers.set(infoHash, events)
    const done = portOf(here)
      .then(() => run(here))
      .finally(() => here.transfers.delete(infoHash))
    // Whoever stops a transfer may no longer care for how it ended.
    done.catch(() => {})
    return {
      done,
      // After the transfer itself, which waits for the port too.
      peer(holder, path) {
        const moved = path.stream ? [path.stream] : []
        portOf(here)
          .then(() => here.thread.run('peer', { infoHash, holder, path }, moved))
          .catch(() => events.lost(holder, 'closed'))
      },
      stop() {
        portOf(here)
          .then(() => here.thread.run('stop', { infoHash }))
          .catch(() => {})
      },
    }
  }

  return {
    traffic,
    openSegments: threadCount * OPEN_SEGMENTS_PER_THREAD,
    get load() {
      let torrents = 0
      let packBytes = 0
      for (const here of threads) {
        torrents += here.served.size + here.loading
        for (const one of here.served.values()) packBytes += one.packBytes
      }
      return { torrents, packBytes }
    },
    warm() {
      for (const here of threads) portOf(here).catch(() => {})
    },
    served,
    async announce(infoHash, trackers) {
      await homeOf(infoHash)?.thread.run('announce', { infoHash, trackers })
    },
    serve: (segment) =>
      loading(async (here) => {
        const port = await portOf(here)
        await here.thread.run('serve', segment)
        here.served.set(segment.infoHash, { info: new Uint8Array(segment.info), packBytes: 0 })
        return port
      }),
    pack: (files, size, contentKey) =>
      loading(async (here) => {
        const port = await portOf(here)
        const { has, torrent } = await here.thread.run('pack', { files, contentKey })
        if (!torrent) return { has }
        here.served.set(torrent.infoHash, { info: torrent.info, packBytes: size })
        return { has, torrent: { info: torrent.info, port } }
      }),
    async attach(infoHash, stream, id) {
      const here = homeOf(infoHash)
      if (here) return await here.thread.run('attach', { infoHash, stream, id }, [stream])
      stream.close()
      return false
    },
    fetchSegment: (wanted, events) =>
      begin(wanted.infoHash, events, (here) => here.thread.run('fetch', wanted)),
    fetchPack: (wanted, events) =>
      begin(wanted.infoHash, events, (here) => here.thread.run('fetchPack', wanted)),
    async close() {
      const gone = new ContentError('aborted', 'content is closed')
      await Promise.all(threads.map(({ thread }) => thread.close()))
      for (const { port } of threads) port?.catch(() => gone)
    },
  }
}
