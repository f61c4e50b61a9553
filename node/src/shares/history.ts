/** Versions of files: listing, restoring, and what is in conflict. */
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type AuthoredVersion, type NodeId, type ShareDocument, toHex } from '@cofolder/protocol'
import type { ContentService } from '../content/content.ts'
import { RequestError } from './errors.ts'
import { currentShares, findPath, type ShareContext } from './service.ts'

const CONFLICT_NAME = /\(conflict-[^)]+\)/
/** Fetching an old version from other members. Milliseconds. */
const RESTORE_TIMEOUT_MS = 60_000

/** The node at a path now, or the one that was last there. */
function nodeAt(share: ShareDocument, path: string): NodeId {
  const entry = share.tree().byPath.get(path)
  const node = entry?.node ?? share.lastAt(path)
  if (node === undefined)
    throw new RequestError('not-found', `there is and was no file "${path}" in this share`)
  return node
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

/** All versions of a file, newest first. @throws RequestError */
export async function history(context: ShareContext, word: string) {
  const { replica, path } = await findPath(context, word)
  const { share } = replica
  const node = nodeAt(share, path)
  const current = share.tree().byNode.get(node)?.head.id
  return share
    .history(node)
    .map((version) => describe(share, version, version.id === current))
    .reverse()
}

/**
 * Puts an old version back under its path; what is there now becomes a version of its own.
 * @throws RequestError `unavailable` when nobody reachable holds it
 */
export async function restore(
  context: ShareContext,
  content: ContentService,
  word: string,
  version: string,
): Promise<void> {
  const { kept, replica, path } = await findPath(context, word)
  const { share } = replica
  const placement = context.placements.get(kept.share)
  if (!placement) throw new RequestError('unavailable', 'this share is not kept here now')
  const found = share
    .history(nodeAt(share, path))
    .find(({ id }) => id === version || (version.length >= 4 && id.startsWith(version)))
  if (!found) throw new RequestError('not-found', `"${path}" has no version ${version}: "history" lists them`)
  if (found.content.kind !== 'file')
    throw new RequestError('invalid', 'this version holds no content to restore')
  await placement.restore(path, found.content, async (to) => {
    const fetched = content.fetch(
      { share: kept.share, content: found.content.kind === 'file' ? found.content : neverFile(), to },
      { signal: AbortSignal.timeout(RESTORE_TIMEOUT_MS) },
    )
    await fetched.catch((cause: unknown) => {
      throw new RequestError('unavailable', 'nobody who can be reached holds this version any more', {
        cause,
      })
    })
  })
}

function neverFile(): never {
  throw new Error('checked above')
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
