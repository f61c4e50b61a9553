/** Content that lies on this machine already: copied, and checked while it is. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, copyFile, open } from 'node:fs/promises'
import { equalBytes, type FileContent, SEGMENTED_FROM, type ShareId } from '@cofolder/protocol'
import { stampIfStill } from './answers.ts'
import type { ContentIndex } from './content.ts'
import { toContentError } from './errors.ts'
import type { Hashing } from './hashing.ts'
import { TEMPORARY_MODE, writeSynced } from './unpack.ts'

/** Copies a whole file, sharing its blocks where the file system can. */
export async function cloneFile(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE)
  await chmod(to, TEMPORARY_MODE)
}

export async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r+')
  await file.sync()
}

async function readSmall(path: string, size: number): Promise<Uint8Array> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  const bytes = Buffer.alloc(size)
  let got = 0
  while (got < size) {
    const { bytesRead } = await file.read(bytes, got, size - got, got)
    if (bytesRead === 0) break
    got += bytesRead
  }
  return bytes.subarray(0, got)
}

/** Fills the temporary file from a file here with the same content; false when there is none. */
export async function copyFromHere(
  index: ContentIndex,
  hashing: Hashing,
  share: ShareId,
  { sha256, size }: FileContent,
  to: string,
): Promise<boolean> {
  for (const location of await index.locate(share, sha256)) {
    if (location.size !== size || !(await stampIfStill(location))) continue
    let bytes: Uint8Array | undefined
    try {
      if (size < SEGMENTED_FROM) {
        bytes = await readSmall(location.path, size)
        if (!equalBytes(createHash('sha256').update(bytes).digest(), sha256)) continue
      }
    } catch {
      // Unreadable by now: as if it were not here.
      continue
    }
    if (bytes) {
      await writeSynced(to, bytes)
      return true
    }
    try {
      await cloneFile(location.path, to)
    } catch (error) {
      if (toContentError(error).code === 'disk-full') throw error
      continue
    }
    if (equalBytes(await hashing.sha256({ path: to, offset: 0, size }), sha256)) {
      await syncFile(to)
      return true
    }
  }
  return false
}
