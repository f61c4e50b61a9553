/**
 * Finds out what changed files contain: hashes those that are written to the end, remembers digests by fingerprint,
 * and leaves large files to be hashed beside everything else.
 */
import type { ShareId } from '@cofolder/protocol'
import { ContentError, type ContentService, type DigestResult, type FileDigest } from '../content/content.ts'
import { type LiveContent, objectOf, type Stamp, sameBytes, sameStamp, stampOf } from './base.ts'
import type { Clock } from './clock.ts'
import { type FileSystem, isCode, statIfThere } from './file-system.ts'
import {
  BACKGROUND_DIGEST_FROM,
  CALLS_AT_ONCE,
  DIGEST_CACHE,
  MAX_STABLE_WAIT,
  STABLE_AFTER,
} from './limits.ts'
import { forEachParallel } from './parallel.ts'

export interface ContentsOptions {
  readonly share: ShareId
  readonly fs: FileSystem
  readonly root: string
  readonly clock: Clock
  readonly content: ContentService
  /** A file is to be looked at again at a time (milliseconds since the epoch). */
  readonly lookAgain: (path: string, at: number) => void
  /** A file that cannot be read. */
  readonly onProblem: (path: string, error: Error) => void
}

export interface Unknown {
  readonly path: string
  readonly stamp: Stamp
  readonly executable: boolean
}

export class Contents {
  readonly #o: ContentsOptions
  readonly #known = new Map<string, FileDigest>()
  /** Files that were being written when last seen. */
  readonly #young = new Map<
    string,
    { readonly stamp: Stamp; readonly since: number; readonly wait: number }
  >()
  readonly #background = new Map<string, Promise<void>>()
  readonly #abort = new AbortController()

  constructor(options: ContentsOptions) {
    this.#o = options
  }

  /** Files that are being hashed beside everything else. */
  get running(): number {
    return this.#background.size
  }

  /** Whether nobody seems to be writing to a file; otherwise it will be looked at again. */
  isSettled({ path, stamp }: Unknown): boolean {
    const now = this.#o.clock.now()
    const age = now - stamp.mtimeMs
    const before = this.#young.get(path)
    if (
      age >= STABLE_AFTER ||
      (before && sameBytes(before.stamp, stamp) && now - before.since >= STABLE_AFTER)
    ) {
      this.#young.delete(path)
      return true
    }
    const wait = Math.min(before ? before.wait * 2 : STABLE_AFTER, MAX_STABLE_WAIT)
    if (this.#young.size > DIGEST_CACHE) this.#young.clear()
    if (!before || !sameBytes(before.stamp, stamp)) this.#young.set(path, { stamp, since: now, wait })
    const rest = before === undefined && age > 0 ? STABLE_AFTER - age : wait
    this.#o.lookAgain(path, now + Math.ceil(Math.max(rest, 1)))
    return false
  }

  /** The contents of the files, undefined where it is not known yet or cannot be. */
  async read(files: readonly Unknown[]): Promise<readonly (LiveContent | undefined)[]> {
    const contents: (LiveContent | undefined)[] = []
    const wanted: { readonly file: Unknown; readonly index: number }[] = []
    for (const [index, file] of files.entries()) {
      const known = this.#known.get(keyOf(file.stamp))
      contents.push(known && contentOf(file, known))
      if (known) continue
      if (file.stamp.size < BACKGROUND_DIGEST_FROM) wanted.push({ file, index })
      else this.#readBeside(file)
    }
    for (const [i, digest] of (await this.#digest(wanted.map(({ file }) => file))).entries()) {
      const { file, index } = wanted[i] ?? {}
      if (digest && file && index !== undefined) contents[index] = contentOf(file, digest)
    }
    return contents
  }

  async close(): Promise<void> {
    this.#abort.abort()
    await Promise.all(this.#background.values())
  }

  #readBeside(file: Unknown): void {
    if (this.#background.has(file.path) || this.#abort.signal.aborted) return
    const run = this.#digest([file])
      .then(([digest]) => {
        if (digest) this.#o.lookAgain(file.path, 0)
      })
      .catch((error: unknown) => {
        if (!this.#abort.signal.aborted) this.#o.onProblem(file.path, asError(error))
      })
      .finally(() => this.#background.delete(file.path))
    this.#background.set(file.path, run)
  }

  async #digest(files: readonly Unknown[]): Promise<readonly (FileDigest | undefined)[]> {
    if (files.length === 0) return []
    const { share, root, content } = this.#o
    const requests = files.map(({ path }) => ({ share, path: `${root}/${path}` }))
    const results: DigestResult[] = []
    for await (const result of content.digest(requests, this.#abort.signal)) results.push(result)
    const digests: (FileDigest | undefined)[] = files.map(() => undefined)
    await forEachParallel([...files.entries()], CALLS_AT_ONCE, async ([i, file]) => {
      const result = results[i]
      if (result && 'digest' in result && (await this.#isStill(file, result.digest))) {
        this.#remember(file.stamp, result.digest)
        digests[i] = result.digest
      } else this.#failed(file.path, result && 'error' in result ? result.error : undefined)
    })
    return digests
  }

  async #isStill({ path, stamp }: Unknown, digest: FileDigest): Promise<boolean> {
    if (digest.size !== stamp.size) return false
    const now = await statIfThere(this.#o.fs, `${this.#o.root}/${path}`)
    return now !== undefined && sameStamp(stampOf(now), stamp)
  }

  #failed(path: string, error: Error | undefined): void {
    const changed = error === undefined || (error instanceof ContentError && error.code === 'changed')
    if (changed || isCode(error, 'not-found')) this.#o.lookAgain(path, this.#o.clock.now() + STABLE_AFTER)
    else if (!this.#abort.signal.aborted) this.#o.onProblem(path, error)
  }

  #remember(stamp: Stamp, digest: FileDigest): void {
    const oldest = this.#known.keys().next().value
    if (this.#known.size >= DIGEST_CACHE && oldest !== undefined) this.#known.delete(oldest)
    this.#known.set(keyOf(stamp), digest)
  }
}

const keyOf = (stamp: Stamp): string => `${objectOf(stamp)}:${stamp.size}:${stamp.mtime}:${stamp.ctime}`

const contentOf = ({ stamp, executable }: Unknown, { size, sha256, segments }: FileDigest): LiveContent => ({
  kind: 'file',
  size,
  mtime: Math.floor(stamp.mtimeMs),
  executable,
  sha256,
  segments: [...segments],
})

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))
