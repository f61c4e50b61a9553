/** The small files of a pack, or of an inline answer: decrypted, checked, written, and on disk. */
import { createHash } from 'node:crypto'
import { closeSync, fsync, openSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { crypt } from './cipher.ts'
import { ContentError } from './content.ts'
import { toErrorData } from './errors.ts'
import { payloadKey } from './keys.ts'
import { createSlots } from './slots.ts'
import type { PackedResult, PackedTarget } from './torrent-jobs.ts'

/** Temporary files are for their owner alone until they get their place and mode. */
export const TEMPORARY_MODE = 0o600
/** Files written at once: enough for the disk to join their syncs. */
const WRITES_AT_ONCE = 32
const slots = createSlots(WRITES_AT_ONCE)

const sync = promisify(fsync)

/**
 * Writes a small file and syncs it. Only the sync is left to the pool of file system threads: it is what takes time,
 * and the more of them run together, the more of them the disk does at once (measured: three times as many files).
 */
export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const fd = openSync(path, 'w', TEMPORARY_MODE)
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, done)
    await sync(fd)
  } finally {
    closeSync(fd)
  }
}

/** One small file out of its ciphertext. @throws ContentError `corrupt` when it is not what was asked for. */
export async function unpackOne(
  contentKey: Uint8Array,
  cipher: Uint8Array,
  target: PackedTarget,
): Promise<void> {
  const { size, sha256, to } = target
  await slots.use(() => {
    const plain = crypt(payloadKey(contentKey, sha256), 0, cipher)
    const isRight = plain.length === size && createHash('sha256').update(plain).digest().equals(sha256)
    if (!isRight) throw new ContentError('corrupt', 'a holder sent other content than asked for')
    return writeSynced(to, plain)
  })
}

/** All files of a pack; each succeeds or fails alone. */
export function unpack(
  contentKey: Uint8Array,
  payload: Uint8Array,
  files: readonly PackedTarget[],
): Promise<readonly PackedResult[]> {
  let at = 0
  return Promise.all(
    files.map(async (file) => {
      const cipher = payload.subarray(at, at + file.size)
      at += file.size
      try {
        await unpackOne(contentKey, cipher, file)
        return {}
      } catch (error) {
        return { error: toErrorData(error) }
      }
    }),
  )
}
