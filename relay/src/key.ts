/** The relay's own key: made at the first start, so that it stays the same relay afterwards. */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { fromBase64url, toBase64url } from '@cofolder/protocol'

const KEY_FILE = 'relay.key'
const SEED_LENGTH = 32

/** Reads or makes the Ed25519 seed (32 bytes) in the data directory. @throws Error when the file is damaged. */
export async function loadKey(dataDir: string): Promise<Uint8Array> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const path = join(dataDir, KEY_FILE)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return undefined
  })
  if (text === undefined) return makeKey(path)
  const seed = readSeed(text.trim())
  if (!seed) throw new Error(`${path} holds no key: restore it, or remove it for a new one`)
  return seed
}

function readSeed(text: string): Uint8Array | undefined {
  try {
    const seed = fromBase64url(text)
    return seed.length === SEED_LENGTH ? seed : undefined
  } catch {
    return undefined
  }
}

/** Written aside and renamed, so that a crash leaves no half key. */
async function makeKey(path: string): Promise<Uint8Array> {
  const seed = new Uint8Array(randomBytes(SEED_LENGTH))
  const draft = `${path}.new`
  const file = await open(draft, 'w', 0o600)
  try {
    await file.writeFile(`${toBase64url(seed)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
  return seed
}
