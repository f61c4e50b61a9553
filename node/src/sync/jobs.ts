/** Turns arranged actions into jobs: looks up paths, and checks that what is there is what the plan saw. */
import type { NodeId, ShareId, TreeEntry } from '@cofolder/protocol'
import type { VersionStore } from '../history/version-store.ts'
import type { Action, Spot } from './arrange.ts'
import {
  type BaseEntry,
  type BaseTree,
  objectOf,
  PARKED,
  parkedName,
  type Stamp,
  sameBytes,
  sameObject,
  sameStamp,
  stampOf,
} from './base.ts'
import type { BaseStore } from './base-store.ts'
import type { Clock } from './clock.ts'
import {
  type Capabilities,
  type FileStat,
  type FileSystem,
  FileSystemError,
  isCode,
  statIfThere,
} from './file-system.ts'
import type { Intent } from './journal.ts'
import { TEMP_FOLDER } from './limits.ts'
import { asideName } from './names.ts'
import type { PinnedFolders } from './pinned-folders.ts'
import { type TempFolder, tempName } from './temp-folder.ts'

export interface JobOptions {
  readonly share: ShareId
  readonly fs: FileSystem
  readonly root: string
  readonly base: BaseTree
  readonly store: BaseStore
  readonly temp: TempFolder
  readonly history: VersionStore
  readonly capabilities: Capabilities
  readonly clock: Clock
  /** Named in files set aside. */
  readonly person: string
  /** What is there is not what the base says. */
  readonly onStale: (action: Action, path: readonly string[]) => void
  /** Whether a folder that is to go stays where it is, with what it holds, when it is not empty. */
  readonly mayStay: (node: NodeId) => boolean
  /** A folder was taken away from its path. */
  readonly onFolderLeft: (path: readonly string[]) => void
  readonly onFailure: (action: Action, path: readonly string[], error: FileSystemError) => void
}

/** What an action did to the base. */
export type Effect = { readonly put: BaseEntry } | { readonly del: NodeId }

/** One action with its paths, ready to run. `run` gives undefined when the folder is not as the plan saw it. */
export interface Job {
  readonly action: Action
  readonly path: readonly string[]
  readonly intent: Intent
  /** A file whose content would be lost. */
  readonly victim?: BaseEntry
  readonly run: (folders: PinnedFolders) => Promise<Effect | undefined>
}

export class Jobs {
  readonly #o: JobOptions

  constructor(options: JobOptions) {
    this.#o = options
  }

  /** Where an action takes place, for messages and for looking again. */
  pathOf(action: Action): readonly string[] {
    const { base } = this.#o
    if ('to' in action) return [...(base.pathOf(action.to.parent) ?? []), action.to.local]
    if (action.do === 'set-aside') return [...(base.pathOf(action.parent) ?? []), action.local]
    return base.pathOf('entry' in action ? action.entry.node : action.node) ?? []
  }

  async prepare(action: Action): Promise<Job | undefined> {
    switch (action.do) {
      case 'make-folder':
        return this.#makeFolder(action, action.entry, action.to)
      case 'make-link':
        return this.#makeLink(action, action.entry, action.to)
      case 'install':
        return this.#install(action)
      case 'move':
        return this.#move(action, action.entry.node)
      case 'park':
        return this.#move(action, action.node)
      case 'remove':
        return this.#remove(action, action.node)
      case 'set-executable':
        return this.#setExecutable(action, action.entry)
      case 'set-aside':
        return this.#setAside(action)
    }
  }

  #path({ parent, local }: Spot): readonly string[] {
    const folder = this.#o.base.pathOf(parent)
    if (!folder) throw new FileSystemError('not-found', 'the folder it goes to is not there')
    return [...folder, local]
  }

  #stat(path: readonly string[]): Promise<FileStat | undefined> {
    return statIfThere(this.#o.fs, [this.#o.root, ...path].join('/'))
  }

  async #makeFolder(action: Action, entry: TreeEntry, to: Spot): Promise<Job> {
    const { fs } = this.#o
    const path = this.#path(to)
    return {
      action,
      path,
      intent: { node: entry.node, to: path },
      run: async (folders) => {
        const at = await folders.at(path)
        await fs.makeFolder(at)
        return { put: entryOf(entry, to, stampOf(await fs.stat(at))) }
      },
    }
  }

  async #makeLink(action: Action, entry: TreeEntry, to: Spot): Promise<Job | undefined> {
    const { fs, base, temp } = this.#o
    const path = this.#path(to)
    const { content } = entry.head
    const old = base.get(entry.node)
    if (content.kind !== 'symlink') return undefined
    const { target } = content
    if (old) await temp.make()
    return {
      action,
      path,
      intent: { node: entry.node, to: path },
      run: async (folders) => {
        const at = await folders.at(path)
        if (!old) await fs.makeLink(target, at)
        else {
          const fresh = await folders.at([TEMP_FOLDER, tempName(entry)], false)
          if (await statIfThere(fs, fresh)) await fs.remove(fresh)
          await fs.makeLink(target, fresh)
          if (!(await fs.renameOver(fresh, at, (stat) => sameObject(stampOf(stat), old.stamp))))
            return undefined
        }
        const stamp = stampOf(await fs.stat(at))
        return { put: old ? followed(old, entry, stamp) : entryOf(entry, to, stamp) }
      },
    }
  }

  async #install(action: Extract<Action, { do: 'install' }>): Promise<Job | undefined> {
    const { fs, base } = this.#o
    const { entry, temp, to } = action
    const { content } = entry.head
    if (content.kind !== 'file') return undefined
    const old = base.get(entry.node)
    const path = old ? (base.pathOf(entry.node) ?? []) : this.#path(to)
    if (old) {
      const there = await this.#stat(path)
      if (!there || !sameStamp(stampOf(there), old.stamp)) return undefined
    }
    const fetched = await fs.stat(temp)
    if (fetched.size !== content.size) throw new FileSystemError('io', 'the fetched file has another size')
    await fs.setModified(temp, content.mtime)
    const mode = withExecutable(old?.stamp.mode ?? this.#o.capabilities.newFileMode, content.executable)
    if (this.#o.capabilities.executable && mode !== fetched.mode) await fs.setMode(temp, mode)
    const from = [TEMP_FOLDER, tempName(entry)]
    const stamp = stampOf(fetched)
    const after = old ? followed(old, entry, stamp) : entryOf(entry, to, stamp)
    return {
      action,
      path,
      intent: { node: entry.node, from, to: path, object: objectOf(stamp), after },
      ...(old && { victim: old }),
      run: async (folders) => {
        const source = await folders.at(from, false)
        const target = await folders.at(path)
        if (!old) await fs.renameFree(source, target)
        else if (!(await fs.renameOver(source, target, (stat) => sameBytes(stampOf(stat), old.stamp)))) {
          return undefined
        }
        // Should somebody have written to it in this moment, the next look must find a difference.
        const now = stampOf(await fs.stat(target))
        const untouched = sameObject(now, stamp) && now.size === content.size && floor(now) === content.mtime
        return { put: { ...after, stamp: untouched ? now : stamp } }
      },
    }
  }

  async #move(
    action: Extract<Action, { do: 'move' } | { do: 'park' }>,
    node: NodeId,
  ): Promise<Job | undefined> {
    const { fs, base } = this.#o
    const old = base.get(node)
    const from = old && base.pathOf(node)
    if (!old || !from) return undefined
    if (action.do === 'park') await this.#o.temp.make()
    const to = action.do === 'park' ? [TEMP_FOLDER, parkedName(node)] : this.#path(action.to)
    const there = await this.#stat(from)
    // What is parked is out of everybody's sight, and of the next look's.
    const isSame = old.content.kind === 'folder' || old.parent === PARKED ? sameObject : sameStamp
    if (!there || !isSame(stampOf(there), old.stamp)) return undefined
    const after: BaseEntry =
      action.do === 'park'
        ? { ...old, parent: PARKED }
        : { ...old, ...action.to, name: action.entry.name, placedAt: action.entry.placedAt }
    const isThere = from.join('/') === to.join('/')
    return {
      action,
      path: from,
      intent: { node, from: isThere ? undefined : from, to, object: objectOf(old.stamp), after },
      run: async (folders) => {
        const target = await folders.at(to)
        if (!isThere) await fs.renameFree(await folders.at(from), target)
        const now = stampOf(await fs.stat(target))
        const untouched = old.content.kind === 'folder' || sameBytes(now, old.stamp)
        return { put: { ...after, stamp: untouched ? now : old.stamp } }
      },
    }
  }

  async #remove(action: Action, node: NodeId): Promise<Job | undefined> {
    const { fs, base } = this.#o
    const old = base.get(node)
    const path = old && base.pathOf(node)
    if (!old || !path) return undefined
    const there = await this.#stat(path)
    const isFolder = old.content.kind === 'folder'
    if (there && !(isFolder ? sameObject : sameStamp)(stampOf(there), old.stamp)) return undefined
    return {
      action,
      path,
      intent: { node, from: path, object: objectOf(old.stamp) },
      ...(there && { victim: old }),
      run: async (folders) => {
        if (there && isFolder) await this.#removeFolder(await folders.at(path), node)
        else if (
          there &&
          !(await fs.removeIf(await folders.at(path), (stat) => sameBytes(stampOf(stat), old.stamp)))
        ) {
          return undefined
        }
        return { del: node }
      },
    }
  }

  async #removeFolder(at: string, node: NodeId): Promise<void> {
    try {
      await this.#o.fs.removeFolder(at)
    } catch (error) {
      if (!isCode(error, 'not-empty') || !this.#o.mayStay(node)) throw error
    }
  }

  async #setExecutable(action: Action, entry: TreeEntry): Promise<Job | undefined> {
    const { fs, base } = this.#o
    const old = base.get(entry.node)
    const path = old && base.pathOf(entry.node)
    const { content } = entry.head
    if (!old || !path || content.kind !== 'file') return undefined
    const there = await this.#stat(path)
    if (!there || !sameStamp(stampOf(there), old.stamp)) return undefined
    return {
      action,
      path,
      intent: { node: entry.node, to: path },
      run: async (folders) => {
        const at = await folders.at(path, false)
        await fs.setMode(at, withExecutable(there.mode, content.executable))
        const now = stampOf(await fs.stat(at))
        return { put: followed(old, entry, sameBytes(now, old.stamp) ? now : old.stamp) }
      },
    }
  }

  async #setAside(action: Extract<Action, { do: 'set-aside' }>): Promise<Job | undefined> {
    const { fs, clock, person, capabilities } = this.#o
    const { node, local, stamp } = action
    const path = this.#path({ parent: action.parent, local })
    const there = await this.#stat(path)
    if (!there || !sameObject(stampOf(there), stamp)) return undefined
    const nameFor = (attempt: number) =>
      asideName(local, { person, at: clock.now(), attempt, maxNameBytes: capabilities.maxNameBytes })
    let attempt = 1
    while (await this.#stat([...path.slice(0, -1), nameFor(attempt)])) attempt++
    const to = [...path.slice(0, -1), nameFor(attempt)]
    return {
      action,
      path,
      intent: { node, from: path, to, object: objectOf(stamp) },
      run: async (folders) => {
        await fs.renameFree(await folders.at(path), await folders.at(to))
        return { del: node }
      },
    }
  }
}

/** A node that was not here before. */
function entryOf(entry: TreeEntry, { parent, local }: Spot, stamp: Stamp): BaseEntry {
  const { node, name, placedAt, head } = entry
  if (head.content.kind === 'deleted') throw new FileSystemError('io', 'a deleted version cannot be placed')
  return {
    node,
    parent,
    name,
    local,
    placedAt,
    version: head.id,
    parents: head.parents,
    content: head.content,
    stamp,
  }
}

/** A node that got the share's content where it was. */
function followed(old: BaseEntry, { head }: TreeEntry, stamp: Stamp): BaseEntry {
  const content = head.content.kind === 'deleted' ? old.content : head.content
  return { ...old, version: head.id, parents: head.parents, content, stamp }
}

const floor = ({ mtimeMs }: Stamp): number => Math.floor(mtimeMs)

/** Executable for whoever may read it, or for nobody. */
const withExecutable = (mode: number, executable: boolean): number =>
  executable ? mode | ((mode & 0o444) >> 2) : mode & ~0o111
