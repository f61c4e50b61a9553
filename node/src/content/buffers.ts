/**
 * Buffers of a thread that are used again. Fresh ones for every block, piece and pack keep the garbage collector
 * busier than the transfer, and memory high. A buffer that is not given back is simply collected.
 */
import { MAX_PACK_BYTES } from './limits.ts'

/** Free buffers kept of one length. */
const KEPT = 32
const KEPT_PACKS = 4

const free = new Map<number, Uint8Array[]>()

/** A buffer of exactly this length that nobody else uses. */
export function takeBuffer(length: number): Uint8Array {
  return free.get(length)?.pop() ?? Buffer.allocUnsafeSlow(length)
}

/** Gives a buffer from `takeBuffer` back; the caller must hold the last reference. */
export function giveBuffer(bytes: Uint8Array, kept = KEPT): void {
  let list = free.get(bytes.length)
  if (!list) {
    list = []
    free.set(bytes.length, list)
  }
  if (list.length < kept) list.push(bytes)
}

/** Memory for a pack; the usual ones share one length. */
export function takePackBuffer(size: number): Uint8Array {
  return takeBuffer(Math.max(size, MAX_PACK_BYTES)).subarray(0, size)
}

export function givePackBuffer(memory: Uint8Array): void {
  if (memory.buffer.byteLength === MAX_PACK_BYTES) giveBuffer(new Uint8Array(memory.buffer), KEPT_PACKS)
}
