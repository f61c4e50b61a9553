/**
 * How one value rests in the database: a short checksum over key and bytes, then the bytes. A damaged value, or one
 * that stands under another key, is told apart from a good one. Integrity only: what comes from peers is signed.
 */
import { hash } from 'node:crypto'
import { concatBytes, equalBytes, utf8 } from '@cofolder/protocol'

/** Bytes of SHA-256 kept: a flipped bit goes unnoticed once in 2^64. */
const CHECKSUM_LENGTH = 8

const checksum = (key: string, bytes: Uint8Array): Uint8Array =>
  hash('sha256', concatBytes(utf8(`${key}\0`), bytes), 'buffer').subarray(0, CHECKSUM_LENGTH)

export const sealEntry = (key: string, bytes: Uint8Array): Uint8Array =>
  concatBytes(checksum(key, bytes), bytes)

/** The bytes of an entry; undefined when it is damaged. */
export function openEntry(key: string, value: Uint8Array): Uint8Array | undefined {
  if (value.length < CHECKSUM_LENGTH) return undefined
  // Copied: database buffers may be views into memory of other values.
  const bytes = value.slice(CHECKSUM_LENGTH)
  return equalBytes(value.subarray(0, CHECKSUM_LENGTH), checksum(key, bytes)) ? bytes : undefined
}
