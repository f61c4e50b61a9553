/** Hashing of files on a few threads: digests for the share, info dicts for serving, checks of what was fetched. */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import {
  MAX_SEGMENTS,
  SEGMENT_SIZE,
  SEGMENTED_FROM,
  type Segment,
  type Sha256,
  type ShareId,
} from '@cofolder/protocol'
import { ContentError, type DigestRequest, type DigestResult } from './content.ts'
import { fromErrorData, toContentError, toErrorData } from './errors.ts'
import type { HashJobs, Range, SegmentDigest, SmallDigest } from './hash-jobs.ts'
import { createInfoCache, type InfoCache } from './info-cache.ts'
import {
  DIGEST_BATCH,
  DIGEST_HERE_BYTES,
  DIGEST_HERE_FILES,
  DIGEST_JOBS_AHEAD,
  HASH_THREAD_IDLE,
  LARGE_DIGESTS,
} from './limits.ts'
import { createSlots } from './slots.ts'
import { changed, equalStamps, READ_FLAGS, type Stamp, stampOfHandle } from './stamp.ts'
import { createThread, type Thread } from './thread.ts'

/** A running SHA-256 over a file that is being filled from its start. */
interface Follower {
  /** The bytes before `position` are final. Calls must not overlap. */
  advance(position: number): Promise<void>
  /** The digest of everything advanced over, after the file went to disk. */
  finish(): Promise<{ readonly sha256: Sha256; readonly size: number }>
  close(): void
}

export interface Hashing {
  digest(requests: readonly DigestRequest[], signal?: AbortSignal): AsyncIterable<DigestResult>
  sha256(range: Range): Promise<Sha256>
  copy(input: HashJobs['copy']['in']): Promise<Sha256>
  info(input: HashJobs['info']['in']): Promise<Uint8Array<ArrayBuffer>>
  follow(path: string): Follower
  readonly infos: InfoCache
  close(): Promise<void>
}

const CHECKS_AT_ONCE = 1

/** Files larger than MAX_SEGMENTS segments of the usual size get larger ones, in powers of two. */
export function segmentSizeOf(size: number): number {
  let segment = SEGMENT_SIZE
  while (segment * MAX_SEGMENTS < size) segment *= 2
  return segment
}

export interface HashingOptions {
  readonly threads: number
  readonly keys: (share: ShareId) => Uint8Array | undefined
  /** A large file is being hashed: others will want it soon. */
  readonly onLarge?: (share: ShareId) => void
}

export function createHashing({ threads: threadCount, keys, onLarge }: HashingOptions): Hashing {
  const threads = Array.from({ length: threadCount }, createHashThread)
  const infos = createInfoCache()
  let nextFollower = 0

  const idlest = (): HashThread =>
    threads.reduce((best, other) => (other.thread.load < best.thread.load ? other : best))
  // One job a thread, the rest in line: jobs differ in length, and threads must not wait for one another.
  const turns = createSlots(threadCount)
  const run = <K extends keyof HashJobs>(job: K, input: HashJobs[K]['in']): Promise<HashJobs[K]['out']> =>
    turns.use(() => idlest().thread.run(job, input))
  // Checks of what arrives need not outrun the network; threads that never start take no memory.
  const checks = createSlots(CHECKS_AT_ONCE)
  // Each uses all threads; more at once would only delay each other's results.
  const large = createSlots(LARGE_DIGESTS)

  async function digestLarge({ share, path }: DigestRequest, stamp: Stamp): Promise<DigestResult> {
    const key = keys(share)
    if (!key) throw new ContentError('io', 'the share’s key is not known')
    onLarge?.(share)
    const { size } = stamp
    const step = segmentSizeOf(size)
    const whole = run('sha256', { path, offset: 0, size, stamp })
    const parts: Promise<SegmentDigest>[] = []
    for (let offset = 0; offset < size; offset += step) {
      parts.push(
        run('segment', { path, offset, size: Math.min(step, size - offset), stamp, contentKey: key }),
      )
    }
    // Wait for all of them, so that no job still reads the file once the caller knows.
    await Promise.allSettled([whole, ...parts])
    const segments: Segment[] = (await Promise.all(parts)).map(({ sha256, infoHash, info }, index) => {
      infos.add(infoHash, info)
      return { size: Math.min(step, size - index * step), sha256, infoHash }
    })
    return { digest: { size, sha256: await whole, segments } }
  }

  async function settle(request: DigestRequest, result: SmallDigest): Promise<DigestResult> {
    if (result.error !== undefined) return { error: fromErrorData(result.error) }
    if ('large' in result) {
      try {
        return await large.use(() => digestLarge(request, result.large))
      } catch (error) {
        return { error: toContentError(error) }
      }
    }
    return { digest: { size: result.size, sha256: result.sha256, segments: [] } }
  }

  const small = (requests: readonly DigestRequest[]): Promise<readonly SmallDigest[]> =>
    run('small', { paths: requests.map(({ path }) => path), largeFrom: SEGMENTED_FROM }).catch(
      (error: unknown) => requests.map(() => ({ error: toErrorData(error) })),
    )

  async function one(request: DigestRequest): Promise<SmallDigest | undefined> {
    return (await digestHere(request.path)) ?? (await small([request]))[0]
  }

  async function batch(requests: readonly DigestRequest[]): Promise<readonly DigestResult[]> {
    const results =
      requests.length <= DIGEST_HERE_FILES ? await Promise.all(requests.map(one)) : await small(requests)
    return await Promise.all(
      requests.map((request, index) => {
        const result = results[index]
        return result ? settle(request, result) : { error: new ContentError('io', 'the file was not hashed') }
      }),
    )
  }

  async function* digest(
    requests: readonly DigestRequest[],
    signal?: AbortSignal,
  ): AsyncGenerator<DigestResult> {
    const ahead: Promise<readonly DigestResult[]>[] = []
    let next = 0
    while (ahead.length > 0 || next < requests.length) {
      while (next < requests.length && ahead.length < threads.length * DIGEST_JOBS_AHEAD) {
        const started = batch(requests.slice(next, next + DIGEST_BATCH))
        // A reader that stops early leaves some behind.
        started.catch(() => {})
        ahead.push(started)
        next += DIGEST_BATCH
      }
      signal?.throwIfAborted()
      yield* (await ahead.shift()) ?? []
    }
  }

  function follow(path: string): Follower {
    const id = nextFollower++
    const { thread, followers } = idlest()
    followers.add(id)
    return {
      advance: async (upTo) => void (await thread.run('follow', { id, path, upTo })),
      finish: () => thread.run('followed', { id, sync: true }),
      close() {
        followers.delete(id)
        thread.run('unfollow', { id }).catch(() => {})
      },
    }
  }

  return {
    digest,
    sha256: (range) => checks.use(() => run('sha256', range)),
    copy: (input) => checks.use(() => run('copy', input)),
    info: (input) => checks.use(() => run('info', input)),
    follow,
    infos,
    async close() {
      await Promise.all(threads.map(({ thread }) => thread.close()))
    },
  }
}

interface HashThread {
  readonly thread: Thread<HashJobs>
  /** Running hashes that live in the thread: it must not end meanwhile. */
  readonly followers: Set<number>
}

function createHashThread(): HashThread {
  const followers = new Set<number>()
  const script = new URL('./hash-thread.ts', import.meta.url)
  const thread = createThread<HashJobs>({ script, idle: HASH_THREAD_IDLE, isBusy: () => followers.size > 0 })
  return { thread, followers }
}

/** A few small files are hashed here at once; a thread may have to start first. Undefined when it is not small. */
async function digestHere(path: string): Promise<SmallDigest | undefined> {
  try {
    await using file = await open(path, READ_FLAGS)
    const stamp = await stampOfHandle(file)
    if (stamp.size > DIGEST_HERE_BYTES) return undefined
    const bytes = Buffer.alloc(stamp.size)
    let got = 0
    while (got < bytes.length) {
      const { bytesRead } = await file.read(bytes, got, bytes.length - got, got)
      if (bytesRead === 0) throw changed()
      got += bytesRead
    }
    await using again = await open(path, READ_FLAGS)
    if (!equalStamps(await stampOfHandle(again), stamp)) throw changed()
    return { size: stamp.size, sha256: new Uint8Array(createHash('sha256').update(bytes).digest()) }
  } catch (error) {
    return { error: toErrorData(error) }
  }
}
