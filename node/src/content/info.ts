/**
 * The info dict (BEP 3) of a payload, the same on every device:
 * `{length, name: 'content', 'piece length': pieceLengthOf(length), pieces: SHA-1 of each ciphertext piece, private: 1}`.
 * Private (BEP 27), because peers come from the share's own devices and tracker alone.
 */
import { createHash } from 'node:crypto'
import { MAX_PIECE_LENGTH, MIN_PIECE_LENGTH, WANTED_PIECES } from './limits.ts'

const SHA1_LENGTH = 20
const SUFFIX = Buffer.from('7:privatei1ee')

/** A power of two that depends on the payload's size alone. */
export function pieceLengthOf(size: number): number {
  let length = MIN_PIECE_LENGTH
  while (length < MAX_PIECE_LENGTH && length * WANTED_PIECES < size) length *= 2
  return length
}

export const pieceCountOf = (size: number): number => Math.ceil(size / pieceLengthOf(size))

const sha1 = (bytes: Uint8Array): Buffer => createHash('sha1').update(bytes).digest()

function prefix(size: number): Buffer {
  const pieces = pieceCountOf(size) * SHA1_LENGTH
  return Buffer.from(
    `d6:lengthi${size}e4:name7:content12:piece lengthi${pieceLengthOf(size)}e6:pieces${pieces}:`,
  )
}

/** Info dict from the concatenated SHA-1s of the pieces. */
function encodeInfo(size: number, pieces: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat([prefix(size), pieces, SUFFIX]))
}

export const infoHashOf = (info: Uint8Array): Uint8Array => new Uint8Array(sha1(info))

/** SHA-1s of the pieces when these bytes are the info dict of a payload of this size, else undefined. */
export function piecesOf(info: Uint8Array, size: number): Uint8Array | undefined {
  const start = prefix(size)
  const end = start.length + pieceCountOf(size) * SHA1_LENGTH
  if (info.length !== end + SUFFIX.length) return undefined
  if (!start.equals(info.subarray(0, start.length)) || !SUFFIX.equals(info.subarray(end))) return undefined
  return info.subarray(start.length, end)
}

/** The .torrent file around an info dict. */
export const torrentFile = (info: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from('d4:info'), info, Buffer.from('e')])

/** Collects the SHA-1s of ciphertext pieces in order. */
export function pieceHasher(size: number): { add(piece: Uint8Array): void; info(): Uint8Array<ArrayBuffer> } {
  const hashes: Buffer[] = []
  return {
    add: (piece) => void hashes.push(sha1(piece)),
    info: () => encodeInfo(size, Buffer.concat(hashes)),
  }
}
