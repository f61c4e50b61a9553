/** A hashing thread: synchronous reads into one small buffer, so memory does not grow with files. */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { crypt } from './cipher.ts'
import { ContentError } from './content.ts'
import { toErrorData } from './errors.ts'
import type { HashJobs, Range, SmallDigest } from './hash-jobs.ts'
import { infoHashOf, pieceHasher, pieceLengthOf } from './info.ts'
import { payloadKey } from './keys.ts'
import { READ_LENGTH } from './limits.ts'
import { readStable } from './stamp.ts'
import { answerJobs } from './thread.ts'
import { madeGarbage } from './tidy.ts'

const buffer = Buffer.allocUnsafeSlow(READ_LENGTH)

function withFile<T>(path: string, flags: string, use: (fd: number) => T): T {
  const fd = openSync(path, flags)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

/** Reads a range in order, in parts of at most `step` bytes that are valid until the next. */
function readRange(
  fd: number,
  offset: number,
  size: number,
  step: number,
  take: (part: Buffer) => void,
): void {
  let done = 0
  while (done < size) {
    const want = Math.min(step, buffer.length, size - done)
    let got = 0
    while (got < want) {
      const read = readSync(fd, buffer, got, want - got, offset + done + got)
      if (read === 0) throw new ContentError('changed', 'the file became shorter while it was read')
      got += read
    }
    take(buffer.subarray(0, want))
    done += want
  }
}

/** Opens a range's file; one with a stamp must be in that state before and after. */
const readRangeOf = <T>({ path, stamp }: Range, read: (fd: number) => T): T =>
  stamp ? readStable(path, stamp, read) : withFile(path, 'r', read)

const finish = (hash: Hash): Uint8Array<ArrayBuffer> => new Uint8Array(hash.digest())

function sha256Of(fd: number, offset: number, size: number): Uint8Array<ArrayBuffer> {
  const hash = createHash('sha256')
  readRange(fd, offset, size, READ_LENGTH, (part) => void hash.update(part))
  return finish(hash)
}

function infoOf(fd: number, { offset, size }: Range, key: Uint8Array): Uint8Array<ArrayBuffer> {
  const pieces = pieceHasher(size)
  const length = pieceLengthOf(size)
  if (length <= buffer.length) {
    let at = 0
    readRange(fd, offset, size, length, (part) => {
      pieces.add(crypt(key, at, part))
      madeGarbage(part.length)
      at += part.length
    })
    return pieces.info()
  }
  for (let at = 0; at < size; at += length) {
    const parts: Buffer[] = []
    let within = at
    readRange(fd, offset + at, Math.min(length, size - at), READ_LENGTH, (part) => {
      parts.push(crypt(key, within, part))
      within += part.length
    })
    pieces.add(Buffer.concat(parts))
    madeGarbage(2 * length)
  }
  return pieces.info()
}

function smallDigest(path: string, largeFrom: number): SmallDigest {
  try {
    return readStable(path, undefined, (fd, stamp) =>
      stamp.size >= largeFrom ? { large: stamp } : { size: stamp.size, sha256: sha256Of(fd, 0, stamp.size) },
    )
  } catch (error) {
    return { error: toErrorData(error) }
  }
}

interface Followed {
  readonly fd: number
  readonly hash: Hash
  position: number
}
const followed = new Map<number, Followed>()

function unfollow(id: number): void {
  const file = followed.get(id)
  if (file) closeSync(file.fd)
  followed.delete(id)
}

answerJobs<HashJobs>({
  small: ({ paths, largeFrom }) => paths.map((path) => smallDigest(path, largeFrom)),
  sha256: (range) => readRangeOf(range, (fd) => sha256Of(fd, range.offset, range.size)),
  segment: (range) =>
    readStable(range.path, range.stamp, (fd) => {
      const sha256 = sha256Of(fd, range.offset, range.size)
      const info = infoOf(fd, range, payloadKey(range.contentKey, sha256))
      return { sha256, info, infoHash: new Uint8Array(infoHashOf(info)) }
    }),
  info: (range) => readStable(range.path, range.stamp, (fd) => infoOf(fd, range, range.key)),
  copy: ({ from, to, toOffset }) =>
    readRangeOf(from, (source) =>
      withFile(to, 'r+', (target) => {
        const hash = createHash('sha256')
        let at = toOffset
        readRange(source, from.offset, from.size, READ_LENGTH, (part) => {
          hash.update(part)
          for (let written = 0; written < part.length; ) {
            written += writeSync(target, part, written, part.length - written, at + written)
          }
          at += part.length
        })
        return finish(hash)
      }),
    ),
  follow({ id, path, upTo }) {
    let file = followed.get(id)
    if (!file) {
      file = { fd: openSync(path, 'r+'), hash: createHash('sha256'), position: 0 }
      followed.set(id, file)
    }
    const { hash } = file
    readRange(file.fd, file.position, upTo - file.position, READ_LENGTH, (part) => void hash.update(part))
    file.position = upTo
    return undefined
  },
  followed({ id, sync }) {
    const file = followed.get(id)
    if (!file) throw new ContentError('io', 'the file is not followed')
    try {
      if (sync) fsyncSync(file.fd)
      return { sha256: finish(file.hash), size: fstatSync(file.fd).size }
    } finally {
      unfollow(id)
    }
  },
  unfollow({ id }) {
    unfollow(id)
    return undefined
  },
})
