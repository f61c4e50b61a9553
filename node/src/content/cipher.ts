/** AES-256-CTR with random access: the counter block of a position is its offset divided by 16, big-endian. */
import { createCipheriv } from 'node:crypto'

const BLOCK = 16

/** Encrypts, or decrypts, bytes that stand at `offset` of a payload. */
export function crypt(key: Uint8Array, offset: number, bytes: Uint8Array): Buffer {
  const skip = offset % BLOCK
  const counter = Buffer.alloc(BLOCK)
  counter.writeBigUInt64BE(BigInt((offset - skip) / BLOCK), BLOCK - 8)
  const cipher = createCipheriv('aes-256-ctr', key, counter)
  if (skip > 0) cipher.update(Buffer.alloc(skip))
  return cipher.update(bytes)
}
