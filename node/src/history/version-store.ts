/**
 * What sync replaced or removed is kept here for a while, in the profile: a file by the SHA-256 of its content, as a
 * second name of the user's own file where both lie on one file system and as a copy otherwise, and a record of
 * where it came from. Nothing leaves a user's folder before it is safe here.
 */
import { join } from 'node:path'
import {
  type NodeId,
  NodeIdSchema,
  type Sha256,
  type ShareId,
  ShareIdSchema,
  toHex,
  type VersionId,
  VersionIdSchema,
} from '@cofolder/protocol'
import type { Level } from 'level'
import * as v from 'valibot'
import type { ContentLocation } from '../content/content.ts'
import type { Clock } from '../sync/clock.ts'
import { type FileStat, type FileSystem, FileSystemError, isCode, statIfThere } from '../sync/file-system.ts'
import { forEachParallel } from '../sync/parallel.ts'

/** What is younger than this (milliseconds) is kept whatever room it takes. */
export const MIN_RETENTION = 24 * 60 * 60_000
const CALLS_AT_ONCE = 32
/** Times of copies are set in milliseconds. */
const COPY_TIME_ERROR = 2

export interface Kept {
  readonly share: ShareId
  readonly node: NodeId
  readonly version: VersionId
  /** Names from the share's root, joined by `/`, when it was kept. */
  readonly path: string
  /** Hex. */
  readonly sha256: string
  /** Bytes. */
  readonly size: number
  /** Milliseconds since the epoch. */
  readonly at: number
}

export interface KeepRequest {
  readonly share: ShareId
  readonly node: NodeId
  readonly version: VersionId
  readonly path: string
  /** Absolute path of the file; it stays where it is. */
  readonly file: string
  readonly sha256: Sha256
  /** Whether the file is still the one with this content. */
  readonly expected: (stat: FileStat) => boolean
}

export interface VersionStore {
  /**
   * Keeps files; durable when it resolves. One result for each: an error where the file is not what was expected,
   * cannot be read, or does not fit.
   */
  keep(requests: readonly KeepRequest[]): Promise<readonly (Error | undefined)[]>
  /** Kept files with this content. */
  locate(share: ShareId, sha256: Sha256): Promise<readonly ContentLocation[]>
  /** What is kept of a share or of one node, newest first. */
  list(share: ShareId, node?: NodeId): Promise<readonly Kept[]>
  /** Lets go of what is older than the retention, and of the oldest while more than `maxBytes` are kept. */
  prune(): Promise<void>
}

export interface VersionStoreOptions {
  /** A folder of its own, made when missing. */
  readonly dir: string
  readonly db: Level
  readonly fs: FileSystem
  readonly clock: Clock
  /** Milliseconds. */
  readonly retention: number
  readonly maxBytes: number
}

const KeptSchema = v.object({
  share: ShareIdSchema,
  node: NodeIdSchema,
  version: VersionIdSchema,
  path: v.string(),
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  at: v.pipe(v.number(), v.safeInteger()),
})

const PREFIX = 'version!'
const keyOf = ({ share, node, version }: Pick<Kept, 'share' | 'node' | 'version'>): string =>
  `${PREFIX}${share}!${node}!${version}`

export async function openVersionStore(options: VersionStoreOptions): Promise<VersionStore> {
  const { dir, db, fs, clock, retention, maxBytes } = options
  await makeFolders(fs, dir)
  /** Hashes of what may be kept: most questions are about what is not. */
  const held = new Set((await fs.list(dir)).map(({ name }) => name))
  const fileOf = (sha256: string): string => join(dir, sha256)

  /** Puts the content under its hash unless it is there already. */
  async function store({ file, sha256, expected }: KeepRequest): Promise<FileStat> {
    const stat = await fs.stat(file)
    if (!expected(stat)) throw new FileSystemError('io', 'the file changed')
    const to = fileOf(toHex(sha256))
    const there = await statIfThere(fs, to)
    if (there?.size === stat.size && there.links === 1 && isNear(there, stat)) return stat
    // Kept before and then written to under its other name: it is not what its name says.
    if (there) await fs.remove(to)
    await linkOrCopy(fs, file, to, stat)
    held.add(toHex(sha256))
    const kept = await fs.stat(to)
    if (kept.size === stat.size && isNear(kept, stat) && expected(await fs.stat(file))) return stat
    await fs.remove(to)
    throw new FileSystemError('io', 'the file changed')
  }

  async function all(): Promise<Kept[]> {
    const found: Kept[] = []
    for await (const [key, value] of db.iterator({ gt: PREFIX, lt: `${PREFIX}~` })) {
      const kept = parsed(value)
      if (kept && keyOf(kept) === key) found.push(kept)
      else await db.del(key)
    }
    return found
  }

  return {
    async keep(requests) {
      const results: (Error | undefined)[] = requests.map(() => undefined)
      const records: { type: 'put'; key: string; value: string }[] = []
      const keepOne = async (i: number, request: KeepRequest): Promise<void> => {
        try {
          const { size } = await store(request)
          const { share, node, version, path } = request
          const kept: Kept = {
            share,
            node,
            version,
            path,
            sha256: toHex(request.sha256),
            size,
            at: clock.now(),
          }
          records.push({ type: 'put', key: keyOf(kept), value: JSON.stringify(kept) })
        } catch (error) {
          if (!(error instanceof FileSystemError)) throw error
          results[i] = error
        }
      }
      // Equal content one after the other: all of it goes under one name.
      const groups = Map.groupBy(requests.entries(), ([, { sha256 }]) => toHex(sha256))
      await forEachParallel([...groups.values()], CALLS_AT_ONCE, async (group) => {
        for (const [i, request] of group) await keepOne(i, request)
      })
      if (records.length > 0) {
        await fs.sync(dir)
        await db.batch(records, { sync: true })
      }
      return results
    },

    async locate(_share, sha256) {
      if (!held.has(toHex(sha256))) return []
      const path = fileOf(toHex(sha256))
      const stat = await statIfThere(fs, path)
      if (stat?.kind !== 'file' || stat.links !== 1) return []
      return [{ path, size: stat.size, mtimeMs: stat.mtimeMs, inode: stat.inode }]
    },

    async list(share, node) {
      const kept = (await all()).filter(
        (one) => one.share === share && (node === undefined || one.node === node),
      )
      return kept.sort((a, b) => b.at - a.at)
    },

    async prune() {
      const now = clock.now()
      const oldestFirst = (await all()).sort((a, b) => a.at - b.at)
      const sizes = new Map(oldestFirst.map(({ sha256, size }) => [sha256, size]))
      let bytes = 0
      for (const size of sizes.values()) bytes += size
      const users = new Map<string, number>()
      for (const { sha256 } of oldestFirst) users.set(sha256, (users.get(sha256) ?? 0) + 1)
      for (const kept of oldestFirst) {
        const age = now - kept.at
        if (age <= retention && (bytes <= maxBytes || age < MIN_RETENTION)) continue
        await db.del(keyOf(kept))
        const left = (users.get(kept.sha256) ?? 1) - 1
        users.set(kept.sha256, left)
        if (left > 0) continue
        bytes -= kept.size
        const file = fileOf(kept.sha256)
        if (await statIfThere(fs, file)) await fs.remove(file)
      }
      const wanted = new Set([...users].flatMap(([sha256, count]) => (count > 0 ? sha256 : [])))
      for (const { name } of await fs.list(dir)) {
        if (!wanted.has(name)) await removeOld(fs, fileOf(name), now)
      }
    },
  }
}

const isNear = (a: FileStat, b: FileStat): boolean => Math.abs(a.mtimeMs - b.mtimeMs) < COPY_TIME_ERROR

/** Files without a record may be on their way into the store. */
async function removeOld(fs: FileSystem, file: string, now: number): Promise<void> {
  const stat = await statIfThere(fs, file)
  if (stat && now - Number(stat.ctimeNs / 1_000_000n) > MIN_RETENTION) await fs.remove(file)
}

function parsed(value: string): Kept | undefined {
  try {
    return v.parse(KeptSchema, JSON.parse(value))
  } catch {
    return undefined
  }
}

/** A file with several names is copied: somebody else may go on writing to it. */
async function linkOrCopy(fs: FileSystem, from: string, to: string, stat: FileStat): Promise<void> {
  if (stat.links === 1) {
    try {
      return await fs.hardLink(from, to)
    } catch (error) {
      if (!isCode(error, 'unsupported', 'other-device', 'denied')) throw error
    }
  }
  await fs.copyFile(from, to)
}

async function makeFolders(fs: FileSystem, path: string): Promise<void> {
  if (await statIfThere(fs, path)) return
  const parent = join(path, '..')
  if (parent !== path) await makeFolders(fs, parent)
  try {
    await fs.makeFolder(path)
  } catch (error) {
    if (!isCode(error, 'exists')) throw error
  }
}
