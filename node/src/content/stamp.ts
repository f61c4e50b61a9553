/** A file's identity while it is read: when any of these moved, its bytes may be others. */
import { type BigIntStats, closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { ContentError, type ContentLocation } from './content.ts'

export interface Stamp {
  readonly size: number
  /** Nanoseconds since the epoch. */
  readonly mtime: bigint
  readonly inode: bigint
}

/** Difference of times that comes from writing nanoseconds as floating-point milliseconds. */
const MILLISECONDS_ROUNDING = 0.001

/** @throws ContentError `io` when it is no regular file. */
export const toStamp = (stat: BigIntStats): Stamp => {
  if (!stat.isFile()) throw new ContentError('io', 'not a regular file')
  return { size: Number(stat.size), mtime: stat.mtimeNs, inode: stat.ino }
}

export const stampOf = (fd: number): Stamp => toStamp(fstatSync(fd, { bigint: true }))
export const stampOfHandle = async (file: FileHandle): Promise<Stamp> =>
  toStamp(await file.stat({ bigint: true }))

export const equalStamps = (a: Stamp, b: Stamp): boolean =>
  a.size === b.size && a.mtime === b.mtime && a.inode === b.inode

/** Whether a file is still what the index knew of it. */
export const isStill = (location: ContentLocation, stamp: Stamp): boolean =>
  stamp.size === location.size &&
  Math.abs(Number(stamp.mtime) / 1e6 - location.mtimeMs) < MILLISECONDS_ROUNDING &&
  String(stamp.inode) === location.inode

/** Never through a link put in the file's place, and without waiting when it is no file at all. */
export const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * Reads from a file that must be in one state before and after; without `expected`, the state found.
 * @throws ContentError `changed`
 */
export function readStable<T>(
  path: string,
  expected: Stamp | undefined,
  read: (fd: number, stamp: Stamp) => T,
): T {
  const fd = openSync(path, READ_FLAGS)
  try {
    const stamp = stampOf(fd)
    if (expected && !equalStamps(stamp, expected)) throw changed()
    const result = read(fd, stamp)
    // By path: the name may lead to another file by now.
    if (!equalStamps(toStamp(lstatSync(path, { bigint: true })), stamp)) throw changed()
    return result
  } finally {
    closeSync(fd)
  }
}

export const changed = (): ContentError => new ContentError('changed', 'the file changed while it was read')
