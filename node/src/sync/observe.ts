/**
 * Looks at a placement's folder, all of it or where something changed, and says what it saw: what is there, what is
 * not, and what could not be seen, which is not the same. Never follows a symbolic link.
 */
import { type BaseTree, type Stamp, sameObject, stampOf } from './base.ts'
import { type EntryKind, type FileStat, type FileSystem, FileSystemError, isCode } from './file-system.ts'
import { CALLS_AT_ONCE, SPOTS_BEFORE_LISTING, TEMP_FOLDER } from './limits.ts'
import { shareName, slotOf } from './names.ts'
import { forEachParallel } from './parallel.ts'

export type Seen =
  | {
      readonly kind: Exclude<EntryKind, 'special'>
      readonly stamp: Stamp
      /** A link's. */
      readonly target?: string
      /** What is in a folder, as far as it was looked at; undefined when it could not be read. */
      readonly folder?: SeenFolder
    }
  /** Something is there, but nothing can be said about it. */
  | { readonly kind: 'unreadable' }

export interface SeenFolder {
  /** Whether every name was looked at: what is not in `entries` is not there. */
  complete: boolean
  readonly entries: Map<string, Seen>
  /** Names that were looked for and are not there. */
  readonly absent: Set<string>
}

export interface LookOptions {
  readonly fs: FileSystem
  readonly root: string
  readonly base: BaseTree
  readonly caseSensitive: boolean
  /** Called with each folder before it is listed, so that a watch misses nothing. */
  readonly onFolder: (path: readonly string[]) => void
  /** Whether changes in a folder are told; one that is not watched is looked at with all that is in it. */
  readonly isWatched: (path: readonly string[]) => boolean
  /** Called for each path that cannot be synced or seen, and why. */
  readonly onProblem: (path: readonly string[], problem: FileSystemError) => void
  /** Called for a folder that went away while it was read: it is to be looked at again. */
  readonly onVanished: (path: readonly string[]) => void
}

/** How closely to look at a path: at itself, or at everything below it as well. */
export type Depth = 'spot' | 'tree'

/** Folders listed at once; each asks for many names. */
const FOLDERS_AT_ONCE = 8

/** Looks at everything. @throws FileSystemError when the root cannot be listed. */
export async function lookAtAll(options: LookOptions): Promise<SeenFolder> {
  const root = emptyFolder()
  await listInto(options, [{ path: [], folder: root }], true)
  return root
}

/** Looks at some paths, and at where the base knows what was found there from. */
export async function lookAt(options: LookOptions, paths: ReadonlyMap<string, Depth>): Promise<SeenFolder> {
  const root = emptyFolder()
  await lookOnce(options, root, paths)
  // What turned up here may have gone from elsewhere: look there before calling it a copy.
  const origins = originsOf(options.base, root)
  if (origins.size > 0) await lookOnce(options, root, origins)
  return root
}

const emptyFolder = (complete = false): SeenFolder => ({ complete, entries: new Map(), absent: new Set() })

async function lookOnce(
  options: LookOptions,
  root: SeenFolder,
  paths: ReadonlyMap<string, Depth>,
): Promise<void> {
  const byFolder = new Map<string, Map<string, Depth>>()
  for (const [path, depth] of paths) {
    const cut = path.lastIndexOf('/')
    const folder = cut < 0 ? '' : path.slice(0, cut)
    const names = byFolder.get(folder) ?? new Map<string, Depth>()
    byFolder.set(folder, names.set(path.slice(cut + 1), depth))
  }
  const sorted = [...byFolder].sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [path, names] of sorted) {
    const folderPath = path === '' ? [] : path.split('/')
    const folder = await descend(options, root, folderPath)
    if (!folder || folder.complete) continue
    // A volume that ignores case answers to names that are not there.
    if (names.size > SPOTS_BEFORE_LISTING || !options.caseSensitive) {
      await listInto(options, [{ path: folderPath, folder }], false)
    }
    const spots = [...names].filter(([name]) => !(folder.complete && !folder.entries.has(name)))
    await forEachParallel(spots, CALLS_AT_ONCE, ([name, depth]) =>
      spot(options, folder, [...folderPath, name], depth),
    )
  }
}

/** The seen folder at a path, having looked at every folder on the way; undefined when no known folder is there. */
async function descend(
  options: LookOptions,
  root: SeenFolder,
  path: readonly string[],
): Promise<SeenFolder | undefined> {
  let folder = root
  for (let depth = 1; depth <= path.length; depth++) {
    const names = path.slice(0, depth)
    const name = names.at(-1) ?? ''
    if (!folder.entries.has(name)) {
      if (folder.complete || folder.absent.has(name)) return undefined
      await spot(options, folder, names, 'spot')
    }
    const seen = folder.entries.get(name)
    if (seen?.kind !== 'folder' || !seen.folder) return undefined
    folder = seen.folder
  }
  return folder
}

/** Looks at one name. A folder that the base does not know there is looked at with all that is in it. */
async function spot(
  options: LookOptions,
  folder: SeenFolder,
  path: readonly string[],
  depth: Depth,
): Promise<void> {
  const name = path.at(-1) ?? ''
  if (isOurs(path, options)) return
  const seen = await see(options, path)
  if (!seen) {
    folder.entries.delete(name)
    folder.absent.add(name)
    return
  }
  folder.absent.delete(name)
  const before = folder.entries.get(name)
  if (before?.kind === 'folder' && before.folder?.complete) return
  folder.entries.set(name, seen)
  if (seen.kind !== 'folder' || !seen.folder) return
  if (depth === 'tree' || !isKnown(options, path, seen.stamp)) {
    await listInto(options, [{ path, folder: seen.folder, of: folder }], true)
  }
}

const isKnown = ({ base, isWatched }: LookOptions, path: readonly string[], stamp: Stamp): boolean => {
  const known = base.at(path)
  return known?.content.kind === 'folder' && sameObject(known.stamp, stamp) && isWatched(path)
}

const isOurs = (path: readonly string[], options: LookOptions): boolean =>
  path.length === 1 && slotOf(path[0] ?? '', options) === TEMP_FOLDER

interface Listing {
  readonly path: readonly string[]
  readonly folder: SeenFolder
  /** The folder it is in, when it is not the root. */
  readonly of?: SeenFolder
}

/** Lists folders; with `recursive`, all below as well, otherwise only those below that are new. */
async function listInto(
  options: LookOptions,
  listings: readonly Listing[],
  recursive: boolean,
): Promise<void> {
  let open = listings
  while (open.length > 0) {
    const next: Listing[] = []
    await forEachParallel(open, FOLDERS_AT_ONCE, async (listing) => {
      try {
        await listOne(options, listing, next, recursive)
      } catch (error) {
        const isRoot = listing.path.length === 0
        if (!(error instanceof FileSystemError) || isRoot) throw error
        giveUp(options, listing, error)
      }
    })
    open = next
  }
}

/** The folder itself was seen, what is in it was not. */
function giveUp(options: LookOptions, { path, of }: Listing, error: FileSystemError): void {
  const name = path.at(-1) ?? ''
  const seen = of?.entries.get(name)
  if (seen?.kind === 'folder') of?.entries.set(name, { kind: 'folder', stamp: seen.stamp })
  if (isCode(error, 'not-found', 'not-a-folder')) options.onVanished(path)
  else options.onProblem(path, error)
}

async function listOne(
  options: LookOptions,
  { path, folder }: Listing,
  next: Listing[],
  recursive: boolean,
): Promise<void> {
  options.onFolder(path)
  const items = await options.fs.list([options.root, ...path].join('/'))
  const wanted = items.filter(({ name }) => !isOurs([...path, name], options))
  await forEachParallel(wanted, CALLS_AT_ONCE, async ({ name, unicode }) => {
    const at = [...path, name]
    if (!unicode || shareName(name) === undefined) {
      return options.onProblem(at, new FileSystemError('bad-name', 'the name cannot be shared'))
    }
    const seen = await see(options, at)
    if (!seen) return
    folder.entries.set(name, seen)
    if (seen.kind !== 'folder' || !seen.folder) return
    if (recursive || !isKnown(options, at, seen.stamp))
      next.push({ path: at, folder: seen.folder, of: folder })
  })
  folder.complete = true
}

/** Undefined when nothing is there that could be shared. */
async function see(options: LookOptions, path: readonly string[]): Promise<Seen | undefined> {
  const absolute = [options.root, ...path].join('/')
  let stat: FileStat
  try {
    stat = await options.fs.stat(absolute)
    if (stat.kind === 'special') {
      options.onProblem(path, new FileSystemError('unsupported', 'sockets, pipes and devices are not shared'))
      return undefined
    }
    const stamp = stampOf(stat)
    if (stat.kind === 'symlink')
      return { kind: 'symlink', stamp, target: await options.fs.readLink(absolute) }
    return stat.kind === 'folder' ? { kind: 'folder', stamp, folder: emptyFolder() } : { kind: 'file', stamp }
  } catch (error) {
    if (isCode(error, 'not-found', 'not-a-folder')) return undefined
    if (!(error instanceof FileSystemError)) throw error
    options.onProblem(path, error)
    return { kind: 'unreadable' }
  }
}

/** Where the base knows those objects from that stand at other paths than it says, unless that was looked at. */
function originsOf(base: BaseTree, root: SeenFolder): Map<string, Depth> {
  const origins = new Map<string, Depth>()
  const walk = (folder: SeenFolder, path: readonly string[]): void => {
    for (const [name, seen] of folder.entries) {
      if (seen.kind === 'unreadable') continue
      const known = base.byObject(seen.stamp)
      const home = known && base.pathOf(known.node)
      const at = [...path, name]
      if (home && home.join('/') !== at.join('/') && !isCovered(root, home))
        origins.set(home.join('/'), 'spot')
      if (seen.kind === 'folder' && seen.folder) walk(seen.folder, at)
    }
  }
  walk(root, [])
  for (const path of origins.keys()) {
    for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
      if (origins.has(path.slice(0, cut))) origins.delete(path)
    }
  }
  return origins
}

/** Whether something was seen to be there, or not. */
function isCovered(root: SeenFolder, path: readonly string[]): boolean {
  let folder = root
  for (const name of path) {
    if (folder.absent.has(name)) return true
    const seen = folder.entries.get(name)
    if (!seen) return folder.complete
    if (seen.kind !== 'folder' || !seen.folder) return true
    folder = seen.folder
  }
  return true
}
