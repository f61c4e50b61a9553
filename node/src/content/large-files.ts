/** Fetching of large files, segment by segment: from what is here, then from holders; hashed as it grows. */
import { open, stat, truncate, unlink } from 'node:fs/promises'
import { equalBytes, type FileContent, type Segment, type ShareId, toHex } from '@cofolder/protocol'
import { stampIfStill } from './answers.ts'
import { ContentError, type ContentIndex, type ContentLocation, type FetchRequest } from './content.ts'
import { isMissing, toContentError } from './errors.ts'
import type { Hashing } from './hashing.ts'
import { cloneFile } from './local-copies.ts'
import type { FileProgress } from './progress.ts'
import type { Segments } from './segments.ts'
import type { Torrents } from './torrents.ts'
import { TEMPORARY_MODE } from './unpack.ts'

export interface LargeFileOptions {
  readonly index: ContentIndex
  readonly hashing: Hashing
  readonly segments: Segments
  readonly torrents: Torrents
}

interface LargeRequest extends FetchRequest {
  readonly contentKey: Uint8Array
  readonly signal: AbortSignal
  readonly onWaiting: () => void
  readonly progress: FileProgress
}

export interface LargeFiles {
  /** Resolves when the file is complete, checked and on disk. @throws ContentError */
  fetch(request: LargeRequest): Promise<void>
}

interface Placed {
  readonly segment: Segment
  readonly offset: number
}

export function createLargeFiles({ index, hashing, segments, torrents }: LargeFileOptions): LargeFiles {
  /** Segments being fetched, by share and info hash: what is wanted twice is fetched once and copied. */
  const underWay = new Map<
    string,
    { readonly to: string; readonly offset: number; readonly done: Promise<void> }
  >()

  const isRight = async (path: string, { segment, offset }: Placed): Promise<boolean> =>
    equalBytes(await hashing.sha256({ path, offset, size: segment.size }), segment.sha256)

  /** Copies a segment's bytes from a file here; false when they are not what they should be. */
  async function copySegment(
    from: ContentLocation & { readonly offset: number },
    to: string,
    { segment, offset }: Placed,
  ): Promise<boolean> {
    const stamp = await stampIfStill(from)
    if (!stamp || from.offset + segment.size > stamp.size) return false
    try {
      const source = { path: from.path, offset: from.offset, size: segment.size, stamp }
      return equalBytes(await hashing.copy({ from: source, to, toOffset: offset }), segment.sha256)
    } catch (error) {
      if (toContentError(error).code === 'disk-full') throw error
      return false
    }
  }

  async function copyFromIndex(share: ShareId, to: string, placed: Placed): Promise<boolean> {
    for (const location of await index.locateSegment(share, placed.segment.sha256)) {
      if (await copySegment(location, to, placed)) return true
    }
    return false
  }

  /** From the old version, where the segment stood at another place. */
  async function copyFromBase(base: FetchRequest['base'], to: string, placed: Placed): Promise<boolean> {
    const found =
      base && layOut(base.content).find((old) => equalBytes(old.segment.sha256, placed.segment.sha256))
    if (!base || !found || found.offset === placed.offset) return false
    try {
      const from = { path: base.path, offset: found.offset, size: placed.segment.size }
      return equalBytes(await hashing.copy({ from, to, toOffset: placed.offset }), placed.segment.sha256)
    } catch (error) {
      if (toContentError(error).code === 'disk-full') throw error
      return false
    }
  }

  async function fetchOne(
    request: LargeRequest,
    placed: Placed,
    partial: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { share, to, contentKey, progress } = request
    const { segment, offset } = placed
    const name = `${share} ${toHex(segment.infoHash)}`
    for (let other = underWay.get(name); other; other = underWay.get(name)) {
      await other.done.catch(() => {})
      signal.throwIfAborted()
      try {
        const from = { path: other.to, offset: other.offset, size: segment.size }
        if (equalBytes(await hashing.copy({ from, to, toOffset: offset }), segment.sha256)) {
          return progress.found(segment.size)
        }
      } catch {
        // The other file went its way already; this one is fetched.
      }
    }
    let received = 0
    const done = segments.fetch({
      ...{ share, segment, contentKey, to, offset, partial, signal },
      onWaiting: request.onWaiting,
      onReceived(bytes) {
        received += bytes
        progress.received(bytes)
      },
    })
    const entry = { to, offset, done }
    underWay.set(name, entry)
    try {
      await done
    } finally {
      if (underWay.get(name) === entry) underWay.delete(name)
    }
    progress.found(Math.max(0, segment.size - received))
    // The pieces match the info hash; that it belongs to this SHA-256 is the author's word until now.
    if (!(await isRight(to, placed)))
      throw new ContentError('corrupt', 'a segment is not what its version says')
  }

  async function fillSegment(
    request: LargeRequest,
    placed: Placed,
    start: Start,
    signal: AbortSignal,
  ): Promise<void> {
    const { share, to, base, progress } = request
    signal.throwIfAborted()
    // Where the old version is known to differ, only pieces of it can be right.
    const mayBeThere =
      start === 'interrupted' || (start === 'old version' && hasSegment(base?.content, placed))
    const isHere =
      (mayBeThere && (await isRight(to, placed))) ||
      (await copyFromIndex(share, to, placed)) ||
      (await copyFromBase(base, to, placed))
    if (isHere) progress.found(placed.segment.size)
    else await fetchOne(request, placed, start !== 'empty', signal)
  }

  return {
    async fetch(request) {
      const { content, to, signal } = request
      const placed = layOut(content)
      const last = placed.at(-1)
      if (!last || last.offset + last.segment.size !== content.size) {
        throw new ContentError('corrupt', 'the segments of a version do not make up its size')
      }
      torrents.warm()
      const start = await prepare(request)
      const follower = hashing.follow(to)
      const stop = new AbortController()
      const either = AbortSignal.any([signal, stop.signal])
      const complete = new Set<number>()
      let following: Promise<void> = Promise.resolve()
      let prefix = 0
      const grow = (index: number): void => {
        complete.add(index)
        let next = placed[prefix]
        while (next && complete.has(prefix)) {
          const end = next.offset + next.segment.size
          following = following.then(() => follower.advance(end))
          next = placed[++prefix]
        }
        following.catch(() => {})
      }
      await using file = await open(to, 'r+')
      // Writing to disk begins with the first segment, so that little is left for the end.
      let syncing: Promise<void> | undefined
      const writeBack = (): void => {
        const ended = () => {
          syncing = undefined
        }
        // An error shows again in the sync at the end.
        syncing ??= file.datasync().then(ended, ended)
      }
      try {
        const work = placed.map(async (one, index) => {
          await fillSegment(request, one, start, either)
          writeBack()
          grow(index)
        })
        for (const one of work) one.catch((error: unknown) => stop.abort(error))
        const results = await Promise.allSettled(work)
        if (stop.signal.aborted) throw firstFailure(stop.signal.reason, results)
        await following
        await syncing
        const { sha256, size } = await follower.finish()
        if (size !== content.size || !equalBytes(sha256, content.sha256)) {
          await unlink(to)
          throw new ContentError('corrupt', 'the file is not what its version says')
        }
      } finally {
        await syncing
        follower.close()
      }
    },
  }
}

/** The failure that stopped the others, rather than their being stopped. */
function firstFailure(reason: unknown, results: readonly PromiseSettledResult<void>[]): unknown {
  if (reason !== undefined) return reason
  return results.find((result) => result.status === 'rejected')?.reason
}

function layOut({ segments }: FileContent): Placed[] {
  let offset = 0
  return segments.map((segment) => {
    const placed = { segment, offset }
    offset += segment.size
    return placed
  })
}

const hasSegment = (content: FileContent | undefined, { segment, offset }: Placed): boolean =>
  content !== undefined &&
  layOut(content).some((old) => old.offset === offset && equalBytes(old.segment.sha256, segment.sha256))

/** What the temporary file may hold: nothing, bytes of an interrupted fetch, or those of the old version. */
type Start = 'empty' | 'interrupted' | 'old version'

/** Makes the temporary file, of its final size. */
async function prepare({ to, base, content }: LargeRequest): Promise<Start> {
  try {
    const { size } = await stat(to)
    if (size !== content.size) await truncate(to, content.size)
    return size > 0 ? 'interrupted' : 'empty'
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  if (base) {
    try {
      await cloneFile(base.path, to)
      await truncate(to, content.size)
      return 'old version'
    } catch (error) {
      if (toContentError(error).code === 'disk-full') throw error
      // The old version is gone or unreadable: start from nothing.
    }
  }
  await using file = await open(to, 'w', TEMPORARY_MODE)
  await file.truncate(content.size)
  return 'empty'
}
