/**
 * A piece in transfer, asked for in blocks of 128 KiB instead of webtorrent's 16 KiB: an eighth of the messages and
 * of the work for each. Reservations count 16 KiB blocks as webtorrent does, so its hot swap works.
 */
import type { PieceState, Wire } from 'webtorrent'
import { takeBuffer } from './buffers.ts'
import { BLOCK_LENGTH } from './limits.ts'

const UNIT = 16 * 1024
const UNITS = BLOCK_LENGTH / UNIT
export interface BigPieceOptions {
  readonly length: number
  /** A wire gave a block of this piece. */
  readonly onBlock: (wire: Wire) => void
  /** Where a block's bytes came from may be used again. */
  readonly release: (block: Uint8Array) => void
}

export function createBigPiece({ length, onBlock, release }: BigPieceOptions): PieceState {
  const blocks = Math.ceil(length / BLOCK_LENGTH)
  const returned: number[] = []
  const got = new Set<number>()
  let nextBlock = 0
  let missing = length
  let bytes: Uint8Array | null = null
  let flushed = false

  const reserve = (): number => {
    if (flushed) return -1
    const again = returned.pop()
    if (again !== undefined) return again
    return nextBlock < blocks ? nextBlock++ * UNITS : -1
  }
  // A hot swap gives back single units; the block they belong to is what was asked for.
  const cancel = (reservation: number): void => {
    const block = reservation - (reservation % UNITS)
    if (!flushed && !got.has(block) && !returned.includes(block)) returned.push(block)
  }
  const chunkOffset = (reservation: number): number => reservation * UNIT
  const chunkLength = (reservation: number): number => Math.min(BLOCK_LENGTH, length - reservation * UNIT)

  return {
    length,
    get missing() {
      return missing
    },
    reserve,
    cancel,
    chunkOffset,
    chunkLength,
    // Only web seeds ask for the rest of a piece at once.
    reserveRemaining: reserve,
    cancelRemaining: cancel,
    chunkLengthRemaining: chunkLength,
    set(reservation, chunk, source) {
      if (flushed || got.has(reservation)) return false
      bytes ??= takeBuffer(length)
      bytes.set(chunk, chunkOffset(reservation))
      got.add(reservation)
      missing -= chunk.length
      onBlock(source)
      release(chunk)
      return got.size === blocks
    },
    flush() {
      flushed = true
      const whole = bytes
      bytes = null
      return whole
    },
  }
}
