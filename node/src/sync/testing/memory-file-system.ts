/**
 * A file system in memory: inodes, hard and symbolic links, watches, errors and crashes on demand. What was changed
 * and not synced may be gone after `crash()`, the latest first, as with a journalling file system; unsynced bytes of
 * files may be cut off.
 */
import {
  type Capabilities,
  type FileStat,
  type FileSystem,
  FileSystemError,
  type FileSystemErrorCode,
  type FolderItem,
  type FolderWatch,
  type PinnedFolder,
} from '../file-system.ts'

interface Inode {
  readonly number: number
  readonly kind: 'file' | 'folder' | 'symlink' | 'special'
  bytes: Uint8Array
  /** What a crash leaves at least. */
  durable: Uint8Array
  readonly target: string
  readonly children: Map<string, Inode>
  parent: Inode | undefined
  mode: number
  links: number
  mtimeNs: bigint
  ctimeNs: bigint
  readonly birthNs: bigint
  readonly device: string
}

type Kind = Inode['kind']
const PIN = '.pin'
const MAX_LINKS = 40
const MAX_PATH = 4096

export interface MemoryFileSystemOptions {
  readonly caseSensitive?: boolean
  /** Nanoseconds that file times are cut to. */
  readonly resolutionNs?: bigint
  readonly hardLinks?: boolean
  readonly executable?: boolean
  readonly now?: () => number
}

/** Called before every operation; what it throws, the operation throws. */
export type Intercept = (operation: string, path: string) => void

function fail(code: FileSystemErrorCode, what: string): never {
  throw new FileSystemError(code, `${code}: ${what}`)
}

export class MemoryFileSystem implements FileSystem {
  intercept: Intercept | undefined
  readonly #options: Required<MemoryFileSystemOptions>
  readonly #root: Inode
  readonly #pins = new Map<number, Inode>()
  readonly #watches = new Map<Inode, Set<(name: string | undefined) => void>>()
  #undo: (() => void)[] = []
  readonly #unsynced = new Set<Inode>()
  #next = 2
  #lastNs = 0n

  constructor(options: MemoryFileSystemOptions = {}) {
    this.#options = {
      caseSensitive: true,
      resolutionNs: 1n,
      hardLinks: true,
      executable: true,
      now: Date.now,
      ...options,
    }
    this.#root = this.#inode('folder', { mode: 0o755 })
  }

  // What tests and the content double use besides the port.

  makeFolders(path: string): void {
    let at = ''
    for (const name of path.split('/').filter(Boolean)) {
      at += `/${name}`
      const { folder, child } = this.#resolve(at)
      if (!child) this.#add(folder, name, this.#inode('folder', { mode: 0o755 }))
    }
  }

  writeFile(path: string, bytes: Uint8Array | string, options: { append?: boolean } = {}): void {
    this.#enter('writeFile', path)
    const { folder, child, name } = this.#resolve(path)
    const data = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes
    const inode = child ?? this.#inode('file', {})
    if (inode.kind !== 'file') fail('exists', path)
    inode.bytes = options.append ? Buffer.concat([inode.bytes, data]) : Uint8Array.from(data)
    inode.mtimeNs = this.#time()
    inode.ctimeNs = inode.mtimeNs
    this.#unsynced.add(inode)
    if (!child) this.#add(folder, name, inode)
    else this.#tell(folder, name)
  }

  readFile(path: string): Uint8Array {
    this.#enter('readFile', path)
    const inode = this.#get(path)
    return inode.kind === 'file' ? inode.bytes : fail('io', path)
  }

  makeSpecial(path: string): void {
    const { folder, name } = this.#resolve(path)
    this.#add(folder, name, this.#inode('special', {}))
  }

  /** The machine stops. `keep` (0 to 1) says how much of what was not synced stays all the same. */
  crash(keep: () => number): void {
    const rolledBack = Math.round((1 - keep()) * this.#undo.length)
    for (let i = 0; i < rolledBack; i++) this.#undo.pop()?.()
    this.#undo = []
    for (const inode of this.#unsynced) {
      if (keep() < 0.5 && inode.bytes.length !== inode.durable.length) inode.bytes = inode.durable
    }
    this.#unsynced.clear()
    this.#pins.clear()
    this.#watches.clear()
    this.intercept = undefined
  }

  // The port.

  async capabilities(): Promise<Capabilities> {
    const { caseSensitive, executable } = this.#options
    return {
      caseSensitive,
      executable,
      maxNameBytes: 255,
      symlinks: true,
      windowsNames: false,
      newFileMode: 0o644,
    }
  }

  async stat(path: string): Promise<FileStat> {
    this.#enter('stat', path)
    return this.#stat(this.#get(path))
  }

  async list(path: string): Promise<readonly FolderItem[]> {
    this.#enter('list', path)
    return [...this.#folder(path).children.keys()].map((name) => ({ name, unicode: name.isWellFormed() }))
  }

  async readLink(path: string): Promise<string> {
    this.#enter('readLink', path)
    const inode = this.#get(path)
    return inode.kind === 'symlink' ? inode.target : fail('bad-name', path)
  }

  async makeFolder(path: string): Promise<void> {
    this.#enter('makeFolder', path)
    this.#create(path, this.#inode('folder', { mode: 0o755 }))
  }

  async removeFolder(path: string): Promise<void> {
    this.#enter('removeFolder', path)
    const { folder, child, name } = this.#resolve(path)
    if (!child) fail('not-found', path)
    if (child.kind !== 'folder') fail('not-a-folder', path)
    if (child.children.size > 0) fail('not-empty', path)
    this.#take(folder, name)
  }

  async makeLink(target: string, path: string): Promise<void> {
    this.#enter('makeLink', path)
    this.#create(path, this.#inode('symlink', { target, mode: 0o777 }))
  }

  async createFile(path: string): Promise<void> {
    this.#enter('createFile', path)
    this.#create(path, this.#inode('file', {}))
  }

  async hardLink(from: string, to: string): Promise<void> {
    this.#enter('hardLink', to)
    if (!this.#options.hardLinks) fail('unsupported', to)
    const inode = this.#get(from)
    if (inode.kind === 'folder') fail('unsupported', to)
    this.#create(to, inode)
    inode.ctimeNs = this.#time()
  }

  async copyFile(from: string, to: string): Promise<void> {
    this.#enter('copyFile', to)
    const source = this.#get(from)
    const copy = this.#inode('file', { mode: source.mode })
    copy.bytes = source.bytes
    copy.mtimeNs = source.mtimeNs
    this.#create(to, copy)
    await this.sync(to)
  }

  async rename(from: string, to: string): Promise<void> {
    this.#enter('rename', to)
    this.#rename(from, to)
  }

  async renameFree(from: string, to: string): Promise<void> {
    this.#enter('renameFree', to)
    const { child } = this.#resolve(to)
    if (child && child !== this.#get(from)) fail('exists', to)
    this.#rename(from, to)
  }

  async renameOver(from: string, to: string, expected: (stat: FileStat) => boolean): Promise<boolean> {
    this.#enter('renameOver', to)
    const { child } = this.#resolve(to)
    if (!child || !expected(this.#stat(child))) return false
    this.#rename(from, to)
    return true
  }

  async removeIf(path: string, expected: (stat: FileStat) => boolean): Promise<boolean> {
    this.#enter('removeIf', path)
    const { child } = this.#resolve(path)
    if (!child || !expected(this.#stat(child))) return false
    this.#unlink(path)
    return true
  }

  async remove(path: string): Promise<void> {
    this.#enter('remove', path)
    this.#unlink(path)
  }

  async setMode(path: string, mode: number): Promise<void> {
    this.#enter('setMode', path)
    const inode = this.#get(path)
    inode.mode = mode
    inode.ctimeNs = this.#time()
    this.#touched(path)
  }

  async setModified(path: string, mtimeMs: number): Promise<void> {
    this.#enter('setModified', path)
    const inode = this.#get(path)
    inode.mtimeNs = BigInt(Math.round(mtimeMs * 1000)) * 1000n
    inode.ctimeNs = this.#time()
    this.#touched(path)
  }

  async sync(path: string): Promise<void> {
    this.#enter('sync', path)
    const inode = this.#get(path)
    this.#commit(inode)
  }

  async pin(root: string, names: readonly string[]): Promise<PinnedFolder> {
    this.#enter('pin', [root, ...names].join('/'))
    let at = this.#folder(root)
    for (const name of names) {
      const next = at.children.get(this.#key(at, name)) ?? fail('not-found', name)
      if (next.kind !== 'folder') fail('not-a-folder', name)
      at = next
    }
    const inode = at
    const pin = this.#next++
    this.#pins.set(pin, inode)
    return {
      path: `/${PIN}/${pin}`,
      sync: async () => {
        this.#enter('sync', `/${PIN}/${pin}`)
        this.#commit(inode)
      },
      close: async () => {
        this.#pins.delete(pin)
      },
    }
  }

  watch(path: string, listener: (name: string | undefined) => void): FolderWatch {
    this.#enter('watch', path)
    const inode = this.#folder(path)
    const listeners = this.#watches.get(inode) ?? new Set()
    this.#watches.set(inode, listeners.add(listener))
    return { close: () => listeners.delete(listener) }
  }

  // Inside.

  #enter(operation: string, path: string): void {
    this.intercept?.(operation, path)
  }

  #time(): bigint {
    const now = BigInt(Math.round(this.#options.now() * 1000)) * 1000n
    this.#lastNs = now > this.#lastNs ? now : this.#lastNs + 1n
    return this.#lastNs - (this.#lastNs % this.#options.resolutionNs)
  }

  #inode(kind: Kind, options: { target?: string; mode?: number }): Inode {
    const time = this.#time()
    return {
      number: this.#next++,
      kind,
      bytes: new Uint8Array(),
      durable: new Uint8Array(),
      target: options.target ?? '',
      children: new Map(),
      parent: undefined,
      mode: options.mode ?? 0o644,
      links: 0,
      mtimeNs: time,
      ctimeNs: time,
      birthNs: this.#lastNs,
      device: '1',
    }
  }

  #stat(inode: Inode): FileStat {
    return {
      kind: inode.kind,
      size: inode.kind === 'symlink' ? Buffer.byteLength(inode.target) : inode.bytes.length,
      mtimeMs: Number(inode.mtimeNs) / 1_000_000,
      mtimeNs: inode.mtimeNs,
      ctimeNs: inode.ctimeNs,
      birthNs: inode.birthNs,
      inode: String(inode.number),
      device: inode.device,
      mode: inode.mode,
      links: inode.links,
    }
  }

  /** The name under which a child is kept, whatever case it is asked in. */
  #key(folder: Inode, name: string): string {
    if (this.#options.caseSensitive || folder.children.has(name)) return name
    const folded = name.toLowerCase()
    for (const key of folder.children.keys()) if (key.toLowerCase() === folded) return key
    return name
  }

  /** Follows links everywhere but in the last component. */
  #resolve(path: string, links = 0): { folder: Inode; name: string; child: Inode | undefined } {
    if (links > MAX_LINKS) fail('not-a-folder', path)
    if (path.length > MAX_PATH) fail('bad-name', path)
    let names = path.split('/').filter((name) => name !== '' && name !== '.')
    let at = this.#root
    if (names[0] === PIN) {
      at = this.#pins.get(Number(names[1])) ?? fail('io', `${path} is closed`)
      names = names.slice(2)
    }
    const name = names.pop()
    if (name === undefined) return { folder: at, name: '', child: at }
    for (const step of names) {
      const next: Inode =
        step === '..' ? (at.parent ?? at) : (at.children.get(this.#key(at, step)) ?? fail('not-found', path))
      if (next.kind === 'symlink') {
        const base = next.target.startsWith('/') ? '' : this.#pathOf(at)
        at = this.#resolve(`${base}/${next.target}`, links + 1).child ?? fail('not-found', path)
      } else at = next
      if (at.kind !== 'folder') fail('not-a-folder', path)
    }
    if (Buffer.byteLength(name) > 255 || name.includes('\0')) fail('bad-name', path)
    const key = this.#key(at, name)
    return { folder: at, name: key, child: at.children.get(key) }
  }

  #pathOf(inode: Inode): string {
    if (!inode.parent) return ''
    for (const [name, child] of inode.parent.children)
      if (child === inode) return `${this.#pathOf(inode.parent)}/${name}`
    return fail('io', 'gone')
  }

  #get(path: string): Inode {
    return this.#resolve(path).child ?? fail('not-found', path)
  }

  #folder(path: string): Inode {
    const inode = this.#get(path)
    return inode.kind === 'folder' ? inode : fail('not-a-folder', path)
  }

  #create(path: string, inode: Inode): void {
    const { folder, name, child } = this.#resolve(path)
    if (child) fail('exists', path)
    this.#add(folder, name, inode)
  }

  #add(folder: Inode, name: string, inode: Inode): void {
    const before = inode.parent
    folder.children.set(name, inode)
    inode.links++
    if (inode.kind === 'folder') inode.parent = folder
    this.#undo.push(() => {
      folder.children.delete(name)
      inode.links--
      inode.parent = before
    })
    this.#tell(folder, name)
  }

  #take(folder: Inode, name: string): void {
    const inode = folder.children.get(name)
    if (!inode) return
    folder.children.delete(name)
    inode.links--
    this.#undo.push(() => {
      folder.children.set(name, inode)
      inode.links++
    })
    this.#tell(folder, name)
  }

  #unlink(path: string): void {
    const { folder, child, name } = this.#resolve(path)
    if (!child) fail('not-found', path)
    if (child.kind === 'folder') fail('exists', path)
    this.#take(folder, name)
  }

  /** One change: undone as a whole. */
  #rename(from: string, to: string): void {
    const source = this.#resolve(from)
    const target = this.#resolve(to)
    const child = source.child ?? fail('not-found', from)
    if (target.child === child && child.kind !== 'folder' && source.name !== target.name) {
      if (this.#options.caseSensitive) return // two names of one file: POSIX does nothing
    }
    for (let at: Inode | undefined = target.folder; at; at = at.parent) if (at === child) fail('bad-name', to)
    if (target.child && target.child !== child) {
      if (target.child.kind === 'folder') {
        if (child.kind !== 'folder') fail('exists', to)
        if (target.child.children.size > 0) fail('not-empty', to)
      } else if (child.kind === 'folder') fail('not-a-folder', to)
    }
    const mark = this.#undo.length
    const name = to.split('/').at(-1) ?? ''
    if (target.child) this.#take(target.folder, target.name)
    this.#take(source.folder, source.name)
    this.#add(target.folder, name, child)
    child.ctimeNs = this.#time()
    const parts = this.#undo.splice(mark)
    this.#undo.push(() => {
      for (const part of parts.reverse()) part()
    })
  }

  #commit(inode: Inode): void {
    this.#undo = []
    inode.durable = inode.bytes
    this.#unsynced.delete(inode)
  }

  #touched(path: string): void {
    const { folder, name } = this.#resolve(path)
    this.#tell(folder, name)
  }

  #tell(folder: Inode, name: string): void {
    for (const listener of this.#watches.get(folder) ?? []) queueMicrotask(() => listener(name))
  }
}
