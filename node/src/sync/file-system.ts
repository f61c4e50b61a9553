/**
 * The file system as a synchroniser needs it: nothing here follows a symbolic link in the last component of a path.
 * Two implementations, `node-file-system.ts` and the one in memory for tests and the simulation; both run the suite
 * in `testing/file-system-suite.ts`. Paths are absolute, with `/` between names.
 */

export type EntryKind = 'file' | 'folder' | 'symlink' | 'special'

export interface FileStat {
  readonly kind: EntryKind
  /** Bytes. */
  readonly size: number
  /** Milliseconds since the epoch with fraction, as `fs.Stats.mtimeMs`. */
  readonly mtimeMs: number
  /** Nanoseconds since the epoch, exact. */
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  /** When the inode was made; tells a reused inode number from the old one. */
  readonly birthNs: bigint
  readonly inode: string
  readonly device: string
  /** Permission bits. */
  readonly mode: number
  /** Names the file has. */
  readonly links: number
}

export interface FolderItem {
  readonly name: string
  /** False when the bytes of the name are not valid Unicode; `name` is then only fit to be shown. */
  readonly unicode: boolean
}

export interface Capabilities {
  /** Whether names that differ in case only name different files. */
  readonly caseSensitive: boolean
  /** UTF-8 bytes of one name. */
  readonly maxNameBytes: number
  readonly symlinks: boolean
  /** Whether the executable bit is kept. */
  readonly executable: boolean
  /** Whether names Windows cannot have are refused. */
  readonly windowsNames: boolean
  /** Permission bits that a new file gets, as its user is used to. */
  readonly newFileMode: number
}

/** A folder that stays the same folder under `path`, whoever renames it or one of its parents or puts a link there. */
export interface PinnedFolder {
  readonly path: string
  /** Makes what was created, renamed and removed in it last. */
  sync(): Promise<void>
  close(): Promise<void>
}

export interface FolderWatch {
  close(): void
}

export interface FileSystem {
  /** What the file system that holds this folder can do. May write into it and cleans up. */
  capabilities(folder: string): Promise<Capabilities>
  stat(path: string): Promise<FileStat>
  /** In no order. */
  list(folder: string): Promise<readonly FolderItem[]>
  readLink(path: string): Promise<string>
  /** `exists` when the name is taken. */
  makeFolder(path: string): Promise<void>
  /** `not-empty` when anything is in it. */
  removeFolder(path: string): Promise<void>
  makeLink(target: string, path: string): Promise<void>
  /** Creates an empty file; `exists` when the name is taken. */
  createFile(path: string): Promise<void>
  /** A second name for a file; `exists` when the name is taken, `unsupported` where there are no hard links. */
  hardLink(from: string, to: string): Promise<void>
  /** A durable copy of a file's bytes; `exists` when the name is taken. */
  copyFile(from: string, to: string): Promise<void>
  /** Replaces a file or an empty folder at `to`. */
  rename(from: string, to: string): Promise<void>
  /**
   * Renames without replacing: `exists` when the name is taken. Files are linked and unlinked; where that cannot be
   * done, and for folders, it looks and renames in one turn (a folder never replaces a file or a folder with
   * anything in it).
   */
  renameFree(from: string, to: string): Promise<void>
  /**
   * Renames over `to` if what is there still is what `expected` accepts; false, and nothing done, otherwise. Looks
   * and renames in one turn: nobody else gets in between but within microseconds.
   */
  renameOver(from: string, to: string, expected: (stat: FileStat) => boolean): Promise<boolean>
  /** Removes a file or link if it still is what `expected` accepts; false, and nothing done, otherwise. */
  removeIf(path: string, expected: (stat: FileStat) => boolean): Promise<boolean>
  remove(path: string): Promise<void>
  setMode(path: string, mode: number): Promise<void>
  setModified(path: string, mtimeMs: number): Promise<void>
  /** Makes a file's content, or a folder's names, last. */
  sync(path: string): Promise<void>
  /** Opens a folder below `root` name by name, following no link; `not-a-folder` when one is in the way. */
  pin(root: string, names: readonly string[]): Promise<PinnedFolder>
  /**
   * Tells of changes among the names of one folder and in its files, not below; `name` undefined when unknown.
   * @throws FileSystemError `limit` when no more folders can be watched.
   */
  watch(folder: string, listener: (name: string | undefined) => void): FolderWatch
}

export type FileSystemErrorCode =
  | 'not-found'
  | 'exists'
  | 'not-empty'
  | 'not-a-folder' // a file or link stands where a folder was expected
  | 'denied'
  | 'full' // no space, quota or file-size limit
  | 'other-device'
  | 'bad-name' // too long, or not allowed here
  | 'unsupported'
  | 'limit'
  | 'io'

export class FileSystemError extends Error {
  readonly code: FileSystemErrorCode
  constructor(code: FileSystemErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'FileSystemError'
    this.code = code
  }
}

export const isCode = (error: unknown, ...codes: readonly FileSystemErrorCode[]): boolean =>
  error instanceof FileSystemError && codes.includes(error.code)

/** Undefined when nothing is there. */
export async function statIfThere(fs: FileSystem, path: string): Promise<FileStat | undefined> {
  try {
    return await fs.stat(path)
  } catch (error) {
    if (isCode(error, 'not-found')) return undefined
    throw error
  }
}
