/** The base: what a placement and its share last agreed on, node by node, with what tells whether a file changed. */
import type { Content, NodeId, VersionId } from '@cofolder/protocol'
import { equalBytes, ROOT_NODE, toHex } from '@cofolder/protocol'
import type { FileStat } from './file-system.ts'
import { TEMP_FOLDER } from './limits.ts'

export type LiveContent = Exclude<Content, { kind: 'deleted' }>

/** What a file or folder looked like from outside. Times in nanoseconds, as text. */
export interface Stamp {
  readonly size: number
  readonly mtimeMs: number
  readonly mtime: string
  readonly ctime: string
  readonly inode: string
  readonly birth: string
  readonly mode: number
}

/** Instead of a parent: waiting in our own folder for its name to become free. */
export const PARKED = 'parked'
export type BaseParent = NodeId | typeof PARKED

export interface BaseEntry {
  readonly node: NodeId
  readonly parent: BaseParent
  /** In the share's tree. */
  readonly name: string
  /** In the placement. */
  readonly local: string
  /** `at` of the place record. */
  readonly placedAt: number
  readonly version: VersionId
  /** The version's parents, so that it can be written again should the share have lost it. */
  readonly parents: readonly VersionId[]
  readonly content: LiveContent
  readonly stamp: Stamp
}

export const stampOf = (stat: FileStat): Stamp => ({
  size: stat.size,
  mtimeMs: stat.mtimeMs,
  mtime: String(stat.mtimeNs),
  ctime: String(stat.ctimeNs),
  inode: stat.inode,
  birth: String(stat.birthNs),
  mode: stat.mode,
})

/** One file system object, whatever its name and content are now. */
export const objectOf = (stamp: Stamp): string => `${stamp.inode}:${stamp.birth}`
export const sameObject = (a: Stamp, b: Stamp): boolean => a.inode === b.inode && a.birth === b.birth

/** Whether a file's bytes can have changed. A rename or a change of mode moves `ctime`, so equality is the safe side. */
export const sameStamp = (a: Stamp, b: Stamp): boolean => sameBytes(a, b) && a.ctime === b.ctime

/** As `sameStamp`, for a file that was just renamed by somebody. */
export const sameBytes = (a: Stamp, b: Stamp): boolean =>
  sameObject(a, b) && a.size === b.size && a.mtime === b.mtime

/** Whether two contents are the same to whoever uses the file, executable bit included. */
export function sameContent(a: Content, b: Content): boolean {
  if (a.kind === 'file' && b.kind === 'file') {
    return a.executable === b.executable && equalBytes(a.sha256, b.sha256)
  }
  if (a.kind === 'symlink' && b.kind === 'symlink') return a.target === b.target
  return a.kind === b.kind
}

/** The same but for a file's executable bit. */
export const sameBytesAs = (a: Content, b: Content): boolean =>
  a.kind === 'file' && b.kind === 'file' ? equalBytes(a.sha256, b.sha256) : sameContent(a, b)

/** No path is this deep; between two steps of a change, folders may seem to be inside each other. */
const MAX_DEPTH = 5000
const NO_CHILDREN: ReadonlyMap<string, NodeId> = new Map()

/** The base in memory, with the indexes that matching and content look-ups need. Persisted by `base-store.ts`. */
export class BaseTree {
  readonly #entries = new Map<NodeId, BaseEntry>()
  readonly #children = new Map<BaseParent, Map<string, NodeId>>()
  readonly #objects = new Map<string, NodeId>()
  readonly #hashes = new Map<string, Set<NodeId>>()
  readonly #segments = new Map<string, Set<NodeId>>()
  /** Regular files, and their bytes. */
  files = 0
  bytes = 0

  get size(): number {
    return this.#entries.size
  }

  get(node: NodeId): BaseEntry | undefined {
    return this.#entries.get(node)
  }

  entries(): IterableIterator<BaseEntry> {
    return this.#entries.values()
  }

  /** Local name to node. */
  children(parent: BaseParent): ReadonlyMap<string, NodeId> {
    return this.#children.get(parent) ?? NO_CHILDREN
  }

  child(parent: BaseParent, local: string): BaseEntry | undefined {
    const node = this.#children.get(parent)?.get(local)
    return node === undefined ? undefined : this.#entries.get(node)
  }

  byObject(stamp: Stamp): BaseEntry | undefined {
    const node = this.#objects.get(objectOf(stamp))
    return node === undefined ? undefined : this.#entries.get(node)
  }

  bySha256(sha256: Uint8Array): readonly BaseEntry[] {
    return this.#all(this.#hashes.get(toHex(sha256)))
  }

  bySegment(sha256: Uint8Array): readonly BaseEntry[] {
    return this.#all(this.#segments.get(toHex(sha256)))
  }

  at(names: readonly string[]): BaseEntry | undefined {
    let entry: BaseEntry | undefined
    let parent: NodeId = ROOT_NODE
    for (const name of names) {
      entry = this.child(parent, name)
      if (!entry) return undefined
      parent = entry.node
    }
    return entry
  }

  /** Local names from the root; undefined when the node or a folder above it is not here. */
  pathOf(node: BaseParent): readonly string[] | undefined {
    const names: string[] = []
    let at: BaseParent = node
    while (at !== ROOT_NODE) {
      if (names.length > MAX_DEPTH) return undefined
      const entry: BaseEntry | undefined = at === PARKED ? undefined : this.#entries.get(at)
      if (!entry) return undefined
      if (entry.parent === PARKED) return [TEMP_FOLDER, parkedName(entry.node), ...names.reverse()]
      names.push(entry.local)
      at = entry.parent
    }
    return names.reverse()
  }

  /** Forgets everything. */
  clear(): void {
    for (const index of [this.#entries, this.#children, this.#objects, this.#hashes, this.#segments])
      index.clear()
    this.files = 0
    this.bytes = 0
  }

  set(entry: BaseEntry): void {
    this.delete(entry.node)
    this.#entries.set(entry.node, entry)
    let children = this.#children.get(entry.parent)
    if (!children) {
      children = new Map()
      this.#children.set(entry.parent, children)
    }
    children.set(entry.parent === PARKED ? entry.node : entry.local, entry.node)
    this.#objects.set(objectOf(entry.stamp), entry.node)
    const { content } = entry
    if (content.kind !== 'file') return
    this.files++
    this.bytes += content.size
    add(this.#hashes, toHex(content.sha256), entry.node)
    for (const { sha256 } of content.segments) add(this.#segments, toHex(sha256), entry.node)
  }

  delete(node: NodeId): void {
    const entry = this.#entries.get(node)
    if (!entry) return
    this.#entries.delete(node)
    const key = entry.parent === PARKED ? node : entry.local
    const children = this.#children.get(entry.parent)
    if (children?.get(key) === node) children.delete(key)
    if (children?.size === 0) this.#children.delete(entry.parent)
    const object = objectOf(entry.stamp)
    if (this.#objects.get(object) === node) this.#objects.delete(object)
    const { content } = entry
    if (content.kind !== 'file') return
    this.files--
    this.bytes -= content.size
    remove(this.#hashes, toHex(content.sha256), node)
    for (const { sha256 } of content.segments) remove(this.#segments, toHex(sha256), node)
  }

  #all(nodes: Iterable<NodeId> = []): readonly BaseEntry[] {
    return [...nodes].flatMap((node) => this.#entries.get(node) ?? [])
  }
}

export const parkedName = (node: NodeId): string => `parked-${node}`

function add(index: Map<string, Set<NodeId>>, key: string, node: NodeId): void {
  const nodes = index.get(key)
  if (nodes) nodes.add(node)
  else index.set(key, new Set([node]))
}

function remove(index: Map<string, Set<NodeId>>, key: string, node: NodeId): void {
  const nodes = index.get(key)
  nodes?.delete(node)
  if (nodes?.size === 0) index.delete(key)
}
