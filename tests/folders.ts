/** Folders as tests see them: what lies in one, whether two are equal, and random things to put there. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const CHUNK = 1024 * 1024

/** A folder below the system's temporary one; removed when disposed. */
export async function scratch(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'cofolder-test-'))
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }),
  }
}

function sha256(path: string): string {
  const hash = createHash('sha256')
  const file = openSync(path, 'r')
  const buffer = Buffer.allocUnsafe(CHUNK)
  try {
    for (let read = readSync(file, buffer); read > 0; read = readSync(file, buffer))
      hash.update(buffer.subarray(0, read))
  } finally {
    closeSync(file)
  }
  return hash.digest('hex')
}

/** Every path below a folder with what it is: `folder`, `link → target`, or a file's size, executable bit and hash. */
export function contents(folder: string): Map<string, string> {
  const found = new Map<string, string>()
  const visit = (relative: string): void => {
    for (const name of readdirSync(join(folder, relative)).toSorted()) {
      const path = relative === '' ? name : `${relative}/${name}`
      const full = join(folder, path)
      const stat = lstatSync(full)
      if (stat.isSymbolicLink()) found.set(path, `link → ${readlinkSync(full)}`)
      else if (stat.isDirectory()) {
        found.set(path, 'folder')
        visit(path)
      } else if (stat.isFile()) {
        found.set(path, `${stat.size}${(stat.mode & 0o100) === 0 ? '' : ' executable'} ${sha256(full)}`)
      }
    }
  }
  visit('')
  return found
}

function differences(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  const lines: string[] = []
  for (const [path, what] of a)
    if (b.get(path) !== what) lines.push(`${path}: ${what} ≠ ${b.get(path) ?? 'absent'}`)
  for (const [path, what] of b) if (!a.has(path)) lines.push(`${path}: absent ≠ ${what}`)
  return lines
}

/** Fails with the first differences unless all folders hold the same. */
export function expectEqualFolders(first: string, ...others: readonly string[]): void {
  const expected = contents(first)
  for (const other of others) {
    const different = differences(expected, contents(other))
    assert.equal(different.length, 0, `${first} and ${other} differ:\n${different.slice(0, 20).join('\n')}`)
  }
}

/** Waits until folders hold the same; at the time-out fails with how they differ. */
export async function untilEqualFolders(
  timeout: number,
  first: string,
  ...others: readonly string[]
): Promise<void> {
  const deadline = Date.now() + timeout
  for (;;) {
    try {
      expectEqualFolders(first, ...others)
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
      await delay(100)
    }
  }
}

/** Waits for a condition. @throws Error naming `what` at the time-out. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeout = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeout
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeout / 1000} s`)
    await delay(20)
  }
}

/** A reproducible source of randomness (mulberry32); tests print the seed they used. */
export function random(seed: number): { below(limit: number): number; bytes(length: number): Buffer } {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    below: (limit) => Math.floor(next() * limit),
    bytes(length) {
      const words = new Uint32Array(Math.ceil(length / 4))
      for (let index = 0; index < words.length; index++) words[index] = next() * 2 ** 32
      return Buffer.from(words.buffer, 0, length)
    },
  }
}

/** Writes a file of random bytes, a mebibyte at a time. */
export async function writeRandom(path: string, size: number, seed: number): Promise<void> {
  const source = random(seed)
  const file = await open(path, 'w')
  try {
    for (let written = 0; written < size; written += CHUNK)
      await file.write(source.bytes(Math.min(CHUNK, size - written)))
  } finally {
    await file.close()
  }
}
