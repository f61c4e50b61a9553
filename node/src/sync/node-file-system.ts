/** The file system of this machine, over `node:fs`. */
import type { BigIntStats } from 'node:fs'
import {
  constants,
  promises as fsp,
  watch as fsWatch,
  lstatSync,
  renameSync,
  unlinkSync,
  type WatchListener,
} from 'node:fs'
import { join } from 'node:path'
import {
  type Capabilities,
  type EntryKind,
  type FileStat,
  type FileSystem,
  FileSystemError,
  type FileSystemErrorCode,
  type FolderItem,
  type FolderWatch,
  isCode,
  type PinnedFolder,
} from './file-system.ts'

const NS_PER_SECOND = 1_000_000_000n
const OPEN_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
const PROBE = '.cofolder-Probe'

const CODES: Readonly<Record<string, FileSystemErrorCode>> = {
  ENOENT: 'not-found',
  EEXIST: 'exists',
  ENOTEMPTY: 'not-empty',
  ENOTDIR: 'not-a-folder',
  ELOOP: 'not-a-folder',
  EISDIR: 'exists',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  EBUSY: 'denied',
  ENOSPC: 'full',
  EDQUOT: 'full',
  EFBIG: 'full',
  EXDEV: 'other-device',
  ENAMETOOLONG: 'bad-name',
  EILSEQ: 'bad-name',
  EINVAL: 'bad-name',
  ENOSYS: 'unsupported',
  ENOTSUP: 'unsupported',
  EOPNOTSUPP: 'unsupported',
  EMLINK: 'unsupported',
  EMFILE: 'limit',
  ENFILE: 'limit',
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

function translated(error: unknown, overrides: Readonly<Record<string, FileSystemErrorCode>> = {}): unknown {
  const code = codeOf(error)
  if (code === undefined || error instanceof FileSystemError) return error
  const known = overrides[code] ?? CODES[code] ?? 'io'
  return new FileSystemError(known, error instanceof Error ? error.message : code, { cause: error })
}

/** Runs a call and turns what the system says into our words. */
async function asked<T>(
  run: () => T | Promise<T>,
  overrides?: Record<string, FileSystemErrorCode>,
): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw translated(error, overrides)
  }
}

function kindOf(stat: BigIntStats): EntryKind {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'folder'
  return stat.isSymbolicLink() ? 'symlink' : 'special'
}

function statOf(stat: BigIntStats): FileStat {
  return {
    kind: kindOf(stat),
    size: Number(stat.size),
    // Computed as node:fs does, so that the two can be compared for equality.
    mtimeMs: Number(stat.mtimeNs / NS_PER_SECOND) * 1000 + Number(stat.mtimeNs % NS_PER_SECOND) / 1_000_000,
    mtimeNs: stat.mtimeNs,
    ctimeNs: stat.ctimeNs,
    birthNs: stat.birthtimeNs,
    inode: String(stat.ino),
    device: String(stat.dev),
    mode: Number(stat.mode) & 0o7777,
    links: Number(stat.nlink),
  }
}

const isThere = async (path: string): Promise<boolean> => {
  try {
    await fsp.lstat(path)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

async function list(folder: string): Promise<readonly FolderItem[]> {
  const names = await asked(() => fsp.readdir(folder))
  if (!names.some((name) => name.includes('\u{fffd}'))) return names.map((name) => ({ name, unicode: true }))
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const raw = await asked(() => fsp.readdir(folder, { encoding: 'buffer' }))
  return raw.map((bytes) => {
    try {
      return { name: decoder.decode(bytes), unicode: true }
    } catch {
      return { name: bytes.toString('utf8'), unicode: false }
    }
  })
}

async function readLink(path: string): Promise<string> {
  const bytes = await asked(() => fsp.readlink(path, { encoding: 'buffer' }))
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new FileSystemError('bad-name', `what ${path} points to is not valid Unicode`, { cause })
  }
}

async function renameFree(from: string, to: string): Promise<void> {
  try {
    await asked(() => fsp.link(from, to), { EPERM: 'unsupported' })
    return await asked(() => fsp.unlink(from))
  } catch (error) {
    // Folders have no second names, nor have files everywhere.
    if (!isCode(error, 'unsupported')) throw error
  }
  await asked(() => {
    try {
      lstatSync(to)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      return renameSync(from, to)
    }
    throw new FileSystemError('exists', `${to} is taken`)
  })
}

/** Looks and acts without giving way to anything else in this process. */
async function actIf(path: string, expected: (stat: FileStat) => boolean, act: () => void): Promise<boolean> {
  return asked(() => {
    try {
      if (!expected(statOf(lstatSync(path, { bigint: true })))) return false
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false
      throw error
    }
    act()
    return true
  })
}

async function copyFile(from: string, to: string): Promise<void> {
  await asked(() => fsp.copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE))
  const { mtime } = await asked(() => fsp.lstat(from))
  await asked(() => fsp.utimes(to, mtime, mtime))
  await sync(to)
}

/** Through an open file: changing the mode of a path would follow a link. */
async function setMode(path: string, mode: number): Promise<void> {
  const handle = await asked(() =>
    fsp.open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
  )
  try {
    await asked(() => handle.chmod(mode))
  } finally {
    await handle.close()
  }
}

async function sync(path: string): Promise<void> {
  const handle = await asked(() => fsp.open(path, constants.O_RDONLY | constants.O_NOFOLLOW))
  try {
    // Some network file systems refuse to sync folders; they write names through.
    await asked(() => handle.sync(), { EINVAL: 'unsupported' })
  } catch (error) {
    if (!isCode(error, 'unsupported')) throw error
  } finally {
    await handle.close()
  }
}

/** Each name is opened relative to the folder before it, so no link on the way is ever followed. */
async function pinLinux(root: string, names: readonly string[]): Promise<PinnedFolder> {
  let handle = await asked(() => fsp.open(root, constants.O_RDONLY | constants.O_DIRECTORY))
  for (const name of names) {
    const parent = handle
    try {
      handle = await asked(() => fsp.open(`/proc/self/fd/${parent.fd}/${name}`, OPEN_FOLDER))
    } finally {
      await parent.close()
    }
  }
  return {
    path: `/proc/self/fd/${handle.fd}`,
    async sync() {
      try {
        await asked(() => handle.sync(), { EINVAL: 'unsupported' })
      } catch (error) {
        if (!isCode(error, 'unsupported')) throw error
      }
    },
    close: () => handle.close(),
  }
}

/** Where there is no path through an open folder: every name is looked at, just before use. */
async function pinByLooking(root: string, names: readonly string[]): Promise<PinnedFolder> {
  let path = root
  for (const name of names) {
    path = join(path, name)
    const found = path
    const stat = await asked(() => fsp.lstat(found))
    if (!stat.isDirectory()) throw new FileSystemError('not-a-folder', `${path} is not a folder`)
  }
  return { path, sync: () => sync(path), close: async () => {} }
}

async function capabilities(folder: string): Promise<Capabilities> {
  const probe = join(folder, PROBE)
  const windows = process.platform === 'win32'
  await asked(() => fsp.writeFile(probe, '', { mode: 0o644 }))
  try {
    const caseSensitive = !(await isThere(join(folder, PROBE.toLowerCase())))
    await asked(() => fsp.chmod(probe, 0o744))
    const raised = (await fsp.lstat(probe)).mode
    await asked(() => fsp.chmod(probe, 0o644))
    const lowered = (await fsp.lstat(probe)).mode
    const executable = !windows && (raised & 0o100) !== 0 && (lowered & 0o100) === 0
    await fsp.unlink(probe)
    const symlinks = await fsp.symlink('x', probe).then(
      () => true,
      () => false,
    )
    return {
      caseSensitive,
      maxNameBytes: 255,
      symlinks,
      executable,
      windowsNames: windows,
      newFileMode: 0o666 & ~process.umask(),
    }
  } finally {
    await fsp.rm(probe, { force: true })
  }
}

function watch(folder: string, listener: (name: string | undefined) => void): FolderWatch {
  const onEvent: WatchListener<string> = (_event, name) => listener(name ?? undefined)
  try {
    const watcher = fsWatch(folder, { persistent: false, recursive: false, encoding: 'utf8' }, onEvent)
    // The folder itself went away: whoever asked looks again.
    watcher.on('error', () => listener(undefined))
    return { close: () => watcher.close() }
  } catch (error) {
    throw translated(error, { ENOSPC: 'limit' })
  }
}

export const nodeFileSystem: FileSystem = {
  capabilities,
  stat: (path) => asked(async () => statOf(await fsp.lstat(path, { bigint: true }))),
  list,
  readLink,
  makeFolder: (path) => asked(() => fsp.mkdir(path)),
  removeFolder: (path) => asked(() => fsp.rmdir(path), { EEXIST: 'not-empty' }),
  makeLink: (target, path) => asked(() => fsp.symlink(target, path)),
  createFile: (path) => asked(async () => (await fsp.open(path, 'wx')).close()),
  hardLink: (from, to) => asked(() => fsp.link(from, to), { EPERM: 'unsupported' }),
  copyFile,
  rename: (from, to) => asked(() => fsp.rename(from, to)),
  renameFree,
  renameOver: (from, to, expected) => actIf(to, expected, () => renameSync(from, to)),
  removeIf: (path, expected) => actIf(path, expected, () => unlinkSync(path)),
  remove: (path) => asked(() => fsp.unlink(path)),
  setMode,
  setModified(path, mtimeMs) {
    // Half a microsecond more: the seconds are cut to microseconds on their way to the system.
    const seconds = (mtimeMs + 0.0005) / 1000
    return asked(() => fsp.lutimes(path, seconds, seconds))
  },
  sync,
  pin: process.platform === 'linux' ? pinLinux : pinByLooking,
  watch,
}
