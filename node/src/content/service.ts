/**
 * Content between members: hashes local files, serves them to members as WebTorrent torrents of ciphertext, and
 * fetches what others hold. Work happens on threads that start when needed: `hashing.ts` for digests and checks,
 * `torrents.ts` for the torrents. Depends on the network for questions to holders and for paths without TCP.
 */
import { availableParallelism } from 'node:os'
import { type DeviceId, type FileContent, SEGMENTED_FROM, type ShareId, toHex } from '@cofolder/protocol'
import type { Network } from '../network/network.ts'
import { orAborted } from './abort.ts'
import { answerRequests } from './answers.ts'
import { ContentError, type ContentIndex, type ContentService, type FetchRequest } from './content.ts'
import { aborted, toContentError } from './errors.ts'
import { createHashing } from './hashing.ts'
import { createHolders } from './holders.ts'
import { createLargeFiles } from './large-files.ts'
import { cloneFile, copyFromHere, syncFile } from './local-copies.ts'
import { createProgress } from './progress.ts'
import { createSegments } from './segments.ts'
import { createSlots } from './slots.ts'
import { createSmallFiles } from './small-files.ts'
import { createTorrents } from './torrents.ts'
import { writeSynced } from './unpack.ts'
import { answerWires } from './wire-streams.ts'

export interface ContentOptions {
  readonly network: Network
  readonly index: ContentIndex
  /** A share's content key (`contentKey` of its root); undefined while it is not known. */
  readonly keys: (share: ShareId) => Uint8Array | undefined
  /** Whether a device may have the share's content now. */
  readonly mayServe: (share: ShareId, device: DeviceId) => boolean
  /** Reachable devices of members, best first. */
  readonly holders: (share: ShareId) => readonly DeviceId[]
  /** Registers info hashes (hex) at the relay; gives tracker URLs. */
  readonly announce?: (share: ShareId, infoHashes: readonly string[]) => Promise<readonly string[]>
  /** Where torrents listen, on ports of the system's choice. */
  readonly listenHost: string
  /** Torrent threads. */
  readonly workers?: number
}

/** Bytes on the wire since the start, requests and protocol included. */
export interface ContentStats {
  readonly received: number
  readonly sent: number
}

export interface NodeContentService extends ContentService {
  /** The share's holders changed: waiting fetches try again at once. */
  wake(share: ShareId): void
  stats(): ContentStats
}

/** Fetches that look for content on this machine at once. */
const LOOKUPS_AT_ONCE = 64
const MAX_TORRENT_THREADS = 2
const MAX_HASH_THREADS = 3

type FetchOptions = Parameters<ContentService['fetch']>[1]

/** A fetch that others of the same content wait for. */
interface Running {
  readonly targets: { readonly to: string; readonly copied: PromiseWithResolvers<boolean> }[]
}

export function createContentService(options: ContentOptions): NodeContentService {
  const { network, index, keys, mayServe, listenHost } = options
  const cores = availableParallelism()
  const torrentThreads = options.workers ?? Math.min(MAX_TORRENT_THREADS, cores)
  const torrents = createTorrents(listenHost, torrentThreads)
  const hashing = createHashing({
    threads: Math.min(MAX_HASH_THREADS, cores),
    keys,
    onLarge(share) {
      if (options.holders(share).length > 0) torrents.warm()
    },
  })
  const holders = createHolders(network, options.holders)
  const answers = answerRequests({ network, index, keys, mayServe, hashing, torrents, onServed })
  const stopWires = answerWires(network, { mayServe, attach: torrents.attach })
  const segments = createSegments(holders, torrents)
  const largeFiles = createLargeFiles({ index, hashing, segments, torrents })
  const smallFiles = createSmallFiles(holders, torrents)
  const progress = createProgress()
  const lookups = createSlots(LOOKUPS_AT_ONCE)
  const running = new Map<string, Running>()
  const closing = new AbortController()

  /** The tracker is one more way to find us; nobody waits for it, and it may fail. */
  function onServed(share: ShareId, infoHash: string): void {
    options
      .announce?.(share, [infoHash])
      .then((trackers) => torrents.announce(infoHash, trackers))
      .catch(() => {})
  }

  // Thousands of fetches share a signal; they share what is derived from it, too.
  const derived = new WeakMap<AbortSignal, AbortSignal>()
  function orClosing(signal: AbortSignal): AbortSignal {
    const known = derived.get(signal)
    if (known) return known
    const either = AbortSignal.any([signal, closing.signal])
    derived.set(signal, either)
    return either
  }

  /** Fills one temporary file. */
  async function fill(request: FetchRequest, signal: AbortSignal, onWaiting: () => void): Promise<void> {
    const { share, content, to } = request
    if (content.size === 0) return await fillEmpty(content, to)
    const contentKey = keys(share)
    if (!contentKey) throw new ContentError('io', 'the share’s key is not known')
    const part = progress.begin(share, content.size)
    try {
      const isHere = await lookups.use(() => copyFromHere(index, hashing, share, content, to), signal)
      if (isHere) return
      if (content.segments.length > 0) {
        return await largeFiles.fetch({ ...request, contentKey, signal, onWaiting, progress: part })
      }
      if (content.size >= SEGMENTED_FROM) throw new ContentError('corrupt', 'a large file without segments')
      const { sha256, size } = content
      await smallFiles.fetch({ share, sha256, size, contentKey, to, signal, onWaiting })
      part.received(size)
    } finally {
      part.end()
    }
  }

  /** Fetches, then copies for those that joined meanwhile; they fetch by themselves when that fails. */
  async function lead(
    name: string,
    request: FetchRequest,
    signal: AbortSignal,
    onWaiting: () => void,
  ): Promise<void> {
    const own: Running = { targets: [] }
    running.set(name, own)
    try {
      await fill(request, signal, onWaiting)
      // Not before all copies are made: the caller renames the file then.
      for (let next = own.targets.shift(); next; next = own.targets.shift()) {
        const { to, copied } = next
        await cloneFile(request.to, to)
          .then(() => syncFile(to))
          .then(
            () => copied.resolve(true),
            () => copied.resolve(false),
          )
      }
    } finally {
      running.delete(name)
      for (const { copied } of own.targets) copied.resolve(false)
    }
  }

  async function join(other: Running, to: string, signal: AbortSignal): Promise<boolean> {
    const copied = Promise.withResolvers<boolean>()
    other.targets.push({ to, copied })
    return await orAborted(copied.promise, signal)
  }

  async function fetch(request: FetchRequest, { signal, onWaiting = () => {} }: FetchOptions): Promise<void> {
    const either = orClosing(signal)
    if (either.aborted) throw aborted(either)
    const { share, content, to } = request
    const name = `${share} ${toHex(content.sha256)} ${content.size}`
    try {
      for (let other = running.get(name); other; other = running.get(name)) {
        if (await join(other, to, either)) return
      }
      await lead(name, request, either, onWaiting)
    } catch (error) {
      throw either.aborted ? aborted(either) : toContentError(error)
    }
  }

  async function close(): Promise<void> {
    closing.abort()
    answers.stop()
    stopWires()
    await holders.close()
    await Promise.all([hashing.close(), torrents.close()])
  }

  return {
    digest: hashing.digest,
    fetch,
    progress: progress.of,
    wake: holders.wake,
    stats: () => ({
      received: torrents.traffic.received + holders.traffic.received + answers.traffic.received,
      sent: torrents.traffic.sent + holders.traffic.sent + answers.traffic.sent,
    }),
    close,
    [Symbol.asyncDispose]: close,
  }
}

const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

async function fillEmpty({ sha256 }: FileContent, to: string): Promise<void> {
  if (toHex(sha256) !== EMPTY_SHA256) throw new ContentError('corrupt', 'an empty file with another hash')
  await writeSynced(to, new Uint8Array())
}
