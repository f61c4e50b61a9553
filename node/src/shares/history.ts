/** Versions of files: listing, restoring, and what is in conflict. */
import { chmod, mkdir, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type AuthoredVersion, type ShareDocument, toHex } from '@cofolder/protocol'
import type { ContentService } from '../content/content.ts'
import type { VersionStore } from '../history/version-store.ts'
import { TEMP_FOLDER } from '../sync/limits.ts'
import { RequestError } from './errors.ts'
import { currentShares, findPath, type ShareContext } from './service.ts'

const CONFLICT_NAME = /\(conflict-[^)]+\)/
/** Fetching an old version from other members. Milliseconds. */
const RESTORE_TIMEOUT_MS = 60_000
/** The beginning of a version id that may stand for it. */
const MIN_PREFIX = 4

export interface RestoreParts {
  readonly content: ContentService
  readonly history: VersionStore
}

/** All versions of what is or was at a path, newest first. @throws RequestError */
function versionsAt(share: ShareDocument, path: string): AuthoredVersion[] {
  const now = share.tree().byPath.get(path)?.node
  const nodes = new Set([...(now === undefined ? [] : [now]), ...share.everAt(path)])
  if (nodes.size === 0) throw new RequestError('not-found', `there is and was no "${path}" in this share`)
  return [...nodes].flatMap((node) => share.history(node)).sort((a, b) => b.at - a.at)
}

function describe(share: ShareDocument, version: AuthoredVersion, current: boolean) {
  const user = share.userOf(version.author)
  const name = user === undefined ? '' : (share.membership.members.get(user)?.name ?? '')
  return {
    version: version.id,
    at: version.at,
    by: { id: user ?? null, name },
    kind: version.content.kind,
    current,
    ...(version.content.kind === 'file'
      ? { size: version.content.size, mtime: version.content.mtime, sha256: toHex(version.content.sha256) }
      : {}),
  }
}

/** The versions of a file, newest first. @throws RequestError */
export async function history(context: ShareContext, word: string) {
  const { replica, path } = await findPath(context, word)
  const { share } = replica
  const current = share.tree().byPath.get(path)?.head.id
  return versionsAt(share, path).map((version) => describe(share, version, version.id === current))
}

/**
 * Puts an old version back under its path. What is there now is a version already, or becomes one first, and is kept
 * in the version store. @throws RequestError `unavailable` when nobody reachable holds the old version
 */
export async function restore(
  context: ShareContext,
  parts: RestoreParts,
  word: string,
  version: string,
): Promise<void> {
  const { kept, replica, path } = await findPath(context, word)
  const { share } = replica
  const placement = context.placements.get(kept.share)
  if (!placement) throw new RequestError('unavailable', 'this share is not kept here now')
  const found = versionsAt(share, path).find(
    ({ id }) => id === version || (version.length >= MIN_PREFIX && id.startsWith(version)),
  )
  if (!found) throw new RequestError('not-found', `"${path}" has no version ${version}: "history" lists them`)
  const old = found.content
  if (old.kind !== 'file') throw new RequestError('invalid', 'this version holds no content to restore')

  const folder = join(kept.root, TEMP_FOLDER)
  const target = join(kept.root, path)
  const temporary = join(folder, `restore-${found.id}`)
  await mkdir(folder, { recursive: true })
  try {
    const signal = AbortSignal.timeout(RESTORE_TIMEOUT_MS)
    await parts.content
      .fetch({ share: kept.share, content: old, to: temporary }, { signal })
      .catch((cause: unknown) => {
        throw new RequestError('unavailable', 'nobody who can be reached holds this version any more', {
          cause,
        })
      })
    await chmod(temporary, old.executable ? 0o755 : 0o644)
    await placement.scan()
    await keepCurrent(parts.history, { share, root: kept.root, path })
    await mkdir(dirname(target), { recursive: true })
    await rename(temporary, target)
  } finally {
    await rm(temporary, { force: true })
    // Only when nothing else is under way in it.
    await rmdir(folder).catch(() => undefined)
  }
  await placement.scan()
}

/** Keeps the file that a restore is about to replace. @throws RequestError when it cannot be kept */
async function keepCurrent(
  store: VersionStore,
  { share, root, path }: { share: ShareDocument; root: string; path: string },
): Promise<void> {
  const entry = share.tree().byPath.get(path)
  if (entry?.head.content.kind !== 'file') return
  const { size, sha256 } = entry.head.content
  const expected = (stat: { size: number }): boolean => stat.size === size
  const file = join(root, path)
  const request = { share: share.id, node: entry.node, version: entry.head.id, path, file, sha256, expected }
  const [problem] = await store.keep([request])
  if (problem)
    throw new RequestError('conflict', `${file} could not be kept before replacing it: ${problem.message}`, {
      cause: problem,
    })
}

/** Files with several versions at once, and the copies that conflicts left. */
export async function conflicts(context: ShareContext) {
  const shares = await currentShares(context)
  return shares.flatMap(({ kept, replica }) =>
    [...replica.share.tree().byPath.values()]
      .filter((entry) => entry.heads.length > 1 || CONFLICT_NAME.test(entry.name))
      .map((entry) => ({
        share: kept.share,
        path: entry.path,
        open: entry.heads.length > 1,
        at: entry.head.at,
        file: join(kept.root, entry.path),
      })),
  )
}
