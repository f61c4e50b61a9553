import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createCipheriv, createHash, createHmac } from 'node:crypto'
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { SEGMENT_SIZE, SEGMENTED_FROM, toHex } from '@cofolder/protocol'
import fc from 'fast-check'
import { crypt } from './cipher.ts'
import { ContentError, type DigestResult, type FileDigest } from './content.ts'
import { createHashing, type Hashing, segmentSizeOf } from './hashing.ts'
import { infoHashOf, pieceLengthOf, piecesOf } from './info.ts'
import { contentKey } from './keys.ts'
import { noise, ROOT, SHARE, temporaryFolder } from './testing/peer.ts'

const MAKE_PIPE = '/usr/bin/mkfifo'
let hashing: Hashing
let dir: string

before(() => {
  hashing = createHashing({ threads: 2, keys: () => contentKey(ROOT) })
  dir = temporaryFolder()
})
after(async () => {
  await hashing.close()
  rmSync(dir, { recursive: true, force: true })
})

async function digest(...paths: string[]): Promise<DigestResult[]> {
  const results: DigestResult[] = []
  for await (const result of hashing.digest(paths.map((path) => ({ share: SHARE, path }))))
    results.push(result)
  return results
}

function digestOf(result: DigestResult | undefined): FileDigest {
  if (!result || 'error' in result) throw result?.error ?? new Error('no result')
  return result.digest
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** HKDF-SHA-256 of RFC 5869 with an empty salt, 32 bytes. */
function hkdf(key: Uint8Array, info: string): Buffer {
  const extracted = createHmac('sha256', Buffer.alloc(32)).update(key).digest()
  return createHmac('sha256', extracted).update(`${info}\x01`).digest()
}

/** The info hash as the format is written down, without any of the code under test. */
function infoHash(plain: Uint8Array): string {
  const content = hkdf(ROOT, 'cofolder content')
  const key = hkdf(Buffer.concat([content, createHash('sha256').update(plain).digest()]), 'cofolder payload')
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(plain)
  let length = 65536
  while (length < 4 * 1024 * 1024 && length * 256 < plain.length) length *= 2
  const hashes: Buffer[] = []
  for (let at = 0; at < cipher.length; at += length) {
    hashes.push(
      createHash('sha1')
        .update(cipher.subarray(at, at + length))
        .digest(),
    )
  }
  const pieces = Buffer.concat(hashes)
  const info = Buffer.concat([
    Buffer.from(
      `d6:lengthi${plain.length}e4:name7:content12:piece lengthi${length}e6:pieces${pieces.length}:`,
    ),
    pieces,
    Buffer.from('7:privatei1ee'),
  ])
  return createHash('sha1').update(info).digest('hex')
}

test('a large file: hashes, segments and info hashes are those of the format', async () => {
  const bytes = noise(SEGMENT_SIZE + 3_000_001)
  const path = join(dir, 'large')
  writeFileSync(path, bytes)
  const { size, sha256: whole, segments } = digestOf((await digest(path))[0])
  assert.equal(size, bytes.length)
  assert.equal(toHex(whole), sha256(bytes))
  assert.deepEqual(
    segments.map((segment) => ({
      size: segment.size,
      sha256: toHex(segment.sha256),
      info: toHex(segment.infoHash),
    })),
    [bytes.subarray(0, SEGMENT_SIZE), bytes.subarray(SEGMENT_SIZE)].map((part) => ({
      size: part.length,
      sha256: sha256(part),
      info: infoHash(part),
    })),
  )
})

test('results come in the order of the requests, errors among them', async () => {
  const sizes = [0, 1, 1000, SEGMENTED_FROM - 1, SEGMENTED_FROM, 5, 70_000, 3]
  const files = sizes.map((size) => noise(size))
  const paths = files.map((bytes, index) => {
    const path = join(dir, `small${index}`)
    writeFileSync(path, bytes)
    return path
  })
  const folder = join(dir, 'folder')
  mkdirSync(folder, { recursive: true })
  const results = await digest(paths[0] ?? '', join(dir, 'absent'), ...paths.slice(1), folder)
  const [missing] = results.splice(1, 1)
  const isFolder = results.pop()
  assert.ok(missing && 'error' in missing && missing.error instanceof ContentError)
  assert.ok(isFolder && 'error' in isFolder)
  results.map(digestOf).forEach((found, index) => {
    assert.equal(found.size, sizes[index])
    assert.equal(toHex(found.sha256), sha256(files[index] ?? new Uint8Array()))
    assert.equal(found.segments.length, found.size >= SEGMENTED_FROM ? 1 : 0)
  })
})

test('a few small files and many are hashed alike', async () => {
  const paths = Array.from({ length: 300 }, (_, index) => join(dir, `many${index}`))
  const files = paths.map((path, index) => {
    const bytes = noise(index * 13)
    writeFileSync(path, bytes)
    return bytes
  })
  const many = (await digest(...paths)).map(digestOf)
  assert.deepEqual(
    many.map((found) => toHex(found.sha256)),
    files.map(sha256),
  )
  for (const index of [0, 7, 299]) {
    assert.deepEqual(digestOf((await digest(paths[index] ?? ''))[0]), many[index])
  }
})

test('a pipe in the place of a file is an error, not a wait', async () => {
  const path = join(dir, 'pipe')
  execFileSync(MAKE_PIPE, [path])
  for (const paths of [[path], Array.from({ length: 10 }, () => path)]) {
    for (const result of await digest(...paths)) assert.ok('error' in result)
  }
})

test('a file that changes while it is hashed has no digest', async () => {
  const path = join(dir, 'changing')
  writeFileSync(path, noise(3 * SEGMENT_SIZE))
  const writing = setInterval(() => appendFileSync(path, 'x'), 1)
  try {
    const [result] = await digest(path)
    assert.ok(result && 'error' in result && result.error instanceof ContentError)
    assert.equal(result.error.code, 'changed')
  } finally {
    clearInterval(writing)
  }
})

test('segments grow with files that would have too many', () => {
  assert.equal(segmentSizeOf(1024 ** 3), SEGMENT_SIZE)
  assert.equal(segmentSizeOf(64 * 1024 ** 3), SEGMENT_SIZE)
  assert.equal(segmentSizeOf(64 * 1024 ** 3 + 1), 2 * SEGMENT_SIZE)
})

test('the cipher gives the same bytes from any position', () => {
  const key = noise(32)
  const plain = noise(5000)
  const whole = crypt(key, 0, plain)
  fc.assert(
    fc.property(fc.nat(5000), fc.nat(5000), (a, b) => {
      const [from, to] = a < b ? [a, b] : [b, a]
      assert.deepEqual(crypt(key, from, plain.subarray(from, to)), whole.subarray(from, to))
      assert.deepEqual(crypt(key, from, whole.subarray(from, to)), plain.subarray(from, to))
    }),
  )
})

test('only the exact info dict of a size is taken', async () => {
  const path = join(dir, 'info')
  writeFileSync(path, noise(SEGMENTED_FROM + 5))
  const [segment] = digestOf((await digest(path))[0]).segments
  assert.ok(segment)
  const info = hashing.infos.get(segment.infoHash)
  assert.ok(info)
  assert.deepEqual(infoHashOf(info), new Uint8Array(segment.infoHash))
  assert.ok(piecesOf(info, segment.size))
  assert.equal(piecesOf(info, segment.size + 1), undefined)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) =>
      assert.equal(piecesOf(bytes, segment.size), undefined),
    ),
  )
  for (const size of [1, 65536, 16 * 1024 ** 2, 16 * 1024 ** 2 + 1, 2 ** 40]) {
    assert.equal(Math.log2(pieceLengthOf(size)) % 1, 0)
  }
})
