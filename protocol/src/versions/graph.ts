/** The versions of one node as a graph: which of them hold now, and in what order they came to be. Pure. */
import { equalBytes } from '../bytes.ts'
import type { VersionId } from '../ids.ts'
import type { Content } from '../records/record.ts'
import type { AuthoredVersion } from '../tree/tree.ts'

/** What holds of a node. */
export interface NodeHeads {
  /** False when a tombstone covers it; `head` is then the last content it had. */
  readonly alive: boolean
  /** Never a tombstone. Of several heads the winner (see `compareVersions`). */
  readonly head: AuthoredVersion
  /** Winner first; never a tombstone. */
  readonly heads: readonly AuthoredVersion[]
}

/**
 * The heads of a node whose holding place record is of `placedAt`; undefined when no content of it is known.
 * A tombstone yields to any other live head, and to a place newer than the one its author saw.
 */
export function resolveHeads(versions: readonly AuthoredVersion[], placedAt: number): NodeHeads | undefined {
  const only = versions[0]
  if (versions.length === 1 && only) {
    return only.content.kind === 'deleted' ? undefined : { alive: true, head: only, heads: versions }
  }
  const tops = headsOf(versions)
  const live = tops.filter((version) => version.content.kind !== 'deleted')
  if (live.length > 0) return ranked(live, true)
  const covered = tops.some(({ content }) => content.kind === 'deleted' && content.place >= placedAt)
  return ranked(withoutTombstones(versions, tops), !covered)
}

/** Versions that no other of them names as a parent. */
function headsOf(versions: readonly AuthoredVersion[]): AuthoredVersion[] {
  const named = new Set(versions.flatMap(({ parents }) => parents))
  return versions.filter(({ id }) => !named.has(id))
}

/** Greater means it wins: modification time, then the author's clock, then the id. */
function compareVersions(a: AuthoredVersion, b: AuthoredVersion): number {
  return modified(a) - modified(b) || a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
}

/** Whether two contents are the same to whoever reads the file. */
export function sameContent(a: Content, b: Content): boolean {
  if (a.kind === 'file' && b.kind === 'file') return equalBytes(a.sha256, b.sha256)
  if (a.kind === 'symlink' && b.kind === 'symlink') return a.target === b.target
  return a.kind === b.kind
}

/** A version and everything it builds on, as far as known. */
export function ancestry(
  versions: ReadonlyMap<VersionId, AuthoredVersion>,
  id: VersionId,
): ReadonlySet<VersionId> {
  const seen = new Set<VersionId>([id])
  for (const next of seen) for (const parent of versions.get(next)?.parents ?? []) seen.add(parent)
  return seen
}

/** Parents before children; among those that are free, by the author's clock, then id. */
export function oldestFirst(versions: readonly AuthoredVersion[]): AuthoredVersion[] {
  const waiting = new Map(versions.map((version) => [version.id, version]))
  const sorted = versions.toSorted((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1))
  const out: AuthoredVersion[] = []
  for (const version of sorted) {
    const stack = [version]
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const parent = top.parents
        .map((id) => waiting.get(id))
        .find((found) => found !== undefined && found !== top)
      if (parent && waiting.has(top.id)) stack.push(parent)
      else {
        stack.pop()
        if (waiting.delete(top.id)) out.push(top)
      }
    }
  }
  return out
}

const modified = (version: AuthoredVersion): number =>
  version.content.kind === 'file' ? version.content.mtime : version.at

function ranked(heads: readonly AuthoredVersion[], alive: boolean): NodeHeads | undefined {
  const sorted = heads.length > 1 ? heads.toSorted((a, b) => compareVersions(b, a)) : heads
  const head = sorted[0]
  return head && { alive, head, heads: sorted }
}

/** The last contents before the tombstones in `tops`: tombstones are looked through, what another builds on goes. */
function withoutTombstones(
  versions: readonly AuthoredVersion[],
  tops: readonly AuthoredVersion[],
): readonly AuthoredVersion[] {
  const byId = new Map(versions.map((version) => [version.id, version]))
  const seen = new Set(tops)
  const found: AuthoredVersion[] = []
  for (const version of seen) {
    if (version.content.kind !== 'deleted') found.push(version)
    else
      for (const id of version.parents) {
        const parent = byId.get(id)
        if (parent) seen.add(parent)
      }
  }
  if (found.length < 2) return found
  const older = new Set<VersionId>()
  for (const { parents } of found) for (const id of parents) older.add(id)
  for (const id of older) for (const parent of byId.get(id)?.parents ?? []) older.add(parent)
  return found.filter(({ id }) => !older.has(id))
}
