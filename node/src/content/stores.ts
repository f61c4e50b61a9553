/** Chunk stores (webtorrent's interface) over a user's file and over memory. Pieces are ciphertext, files plaintext. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import type { ChunkStore } from 'webtorrent'
import { giveBuffer } from './buffers.ts'
import { crypt } from './cipher.ts'
import { ContentError } from './content.ts'
import { toContentError } from './errors.ts'
import { pieceLengthOf } from './info.ts'
import { changed, equalStamps, READ_FLAGS, stampOf } from './stamp.ts'
import { madeGarbage } from './tidy.ts'
import type { ServedSegment, WantedSegment } from './torrent-jobs.ts'

// Reads are synchronous and encrypted before the next one, so one buffer serves all stores of a thread.
let scratch = Buffer.allocUnsafeSlow(0)

/** Plaintext of a range, valid until the next call. Undefined when the file ends before. */
export function readInto(fd: number, position: number, length: number): Buffer | undefined {
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length)
  let got = 0
  while (got < length) {
    const read = readSync(fd, scratch, got, length - got, position + got)
    if (read === 0) return undefined
    got += read
  }
  return scratch.subarray(0, length)
}

const nothing = (callback: (error: Error | null) => void): void => callback(null)
const readOnly = new ContentError('io', 'this torrent is only served')

/** A piece's range within its payload. */
function rangeOf(size: number, index: number, options: { offset?: number; length?: number } | null) {
  const pieceLength = pieceLengthOf(size)
  const start = index * pieceLength + (options?.offset ?? 0)
  const end = Math.min(size, (index + 1) * pieceLength)
  return { start, length: Math.min(options?.length ?? end - start, end - start) }
}

/**
 * Serves a segment straight from the user's file. `onStale` is called once the file is no longer what it was.
 * @throws ContentError `changed` when it already is not.
 */
export function servedFileStore(segment: ServedSegment, onStale: () => void): ChunkStore {
  const { path, size, offset, key, stamp } = segment
  const fd = openSync(path, READ_FLAGS)
  if (!equalStamps(stampOf(fd), stamp)) {
    closeSync(fd)
    throw changed()
  }
  let isOpen = true
  return {
    chunkLength: pieceLengthOf(size),
    get(index, options, callback) {
      try {
        if (!isOpen) throw changed()
        const { start, length } = rangeOf(size, index, options)
        const plain = readInto(fd, offset + start, length)
        if (!plain || !equalStamps(stampOf(fd), stamp)) throw changed()
        madeGarbage(length)
        callback(null, crypt(key, start, plain))
      } catch (error) {
        callback(toContentError(error))
        onStale()
      }
    },
    put: (_index, _bytes, callback) => callback(readOnly),
    close(callback) {
      if (isOpen) closeSync(fd)
      isOpen = false
      callback(null)
    },
    destroy: nothing,
  }
}

export interface FilledFileStore extends ChunkStore {
  /** The file itself, for checking what is there already. */
  readonly fd: number
}

/** Fills a segment of a temporary file. */
export function filledFileStore({ to, size, offset, key }: WantedSegment): FilledFileStore {
  const fd = openSync(to, 'r+')
  let isOpen = true
  const pieceLength = pieceLengthOf(size)
  return {
    fd,
    chunkLength: pieceLength,
    get(index, options, callback) {
      try {
        const { start, length } = rangeOf(size, index, options)
        const plain = isOpen ? readInto(fd, offset + start, length) : undefined
        if (plain) callback(null, crypt(key, start, plain))
        else callback(new ContentError('io', 'not there yet'))
      } catch (error) {
        callback(toContentError(error))
      }
    },
    put(index, bytes, callback) {
      try {
        if (!isOpen) throw new ContentError('aborted', 'the transfer was stopped')
        const start = index * pieceLength
        const plain = crypt(key, start, bytes)
        for (let done = 0; done < plain.length; ) {
          done += writeSync(fd, plain, done, plain.length - done, offset + start + done)
        }
        madeGarbage(bytes.length)
        callback(null)
        giveBuffer(bytes)
      } catch (error) {
        callback(toContentError(error))
      }
    },
    close(callback) {
      if (isOpen) closeSync(fd)
      isOpen = false
      callback(null)
    },
    destroy: nothing,
  }
}

/** A pack's ciphertext in memory. */
export function memoryStore(bytes: Uint8Array, onClose: () => void = () => {}): ChunkStore {
  const size = bytes.length
  return {
    chunkLength: pieceLengthOf(size),
    get(index, options, callback) {
      const { start, length } = rangeOf(size, index, options)
      callback(null, bytes.subarray(start, start + length))
    },
    put(index, piece, callback) {
      bytes.set(piece, index * pieceLengthOf(size))
      callback(null)
      giveBuffer(piece)
    },
    close(callback) {
      onClose()
      callback(null)
    },
    destroy: nothing,
  }
}
