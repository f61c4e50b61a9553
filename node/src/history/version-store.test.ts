import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { NodeId, ShareId, VersionId } from '@cofolder/protocol'
import { Level } from 'level'
import { systemClock } from '../sync/clock.ts'
import { FileSystemError } from '../sync/file-system.ts'
import { nodeFileSystem } from '../sync/node-file-system.ts'
import { MemoryFileSystem } from '../sync/testing/memory-file-system.ts'
import { nodeId } from '../sync/testing/trees.ts'
import { type KeepRequest, MIN_RETENTION, openVersionStore, type VersionStore } from './version-store.ts'

const SHARE = nodeId(9000) as string as ShareId
const DAY = 24 * 60 * 60_000
const sha256 = (text: string) => new Uint8Array(createHash('sha256').update(text).digest())

interface Desk {
  readonly fs: MemoryFileSystem
  readonly store: VersionStore
  now: number
  /** Writes a file and asks for it to be kept. */
  request(n: number, text: string): KeepRequest
  open(): Promise<VersionStore>
}

async function atDesk(
  run: (desk: Desk) => Promise<void>,
  options: { hardLinks?: boolean; maxBytes?: number } = {},
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'cofolder-history-'))
  const db = new Level(join(dir, 'db'))
  await db.open()
  const { hardLinks = true, maxBytes = 1e9 } = options
  const desk = { now: 1_000_000 } as { now: number }
  const fs = new MemoryFileSystem({ hardLinks, now: () => desk.now })
  fs.makeFolders('/user')
  const clock = { now: () => desk.now, after: () => () => {} }
  const open = () =>
    openVersionStore({ dir: '/profile/versions', db, fs, clock, retention: 30 * DAY, maxBytes })
  try {
    await run(
      Object.assign(desk, {
        fs,
        store: await open(),
        open,
        request(n: number, text: string): KeepRequest {
          const file = `/user/f${n}`
          fs.writeFile(file, text)
          const node = nodeId(n)
          const version = nodeId(n + 500) as string as VersionId
          return {
            share: SHARE,
            node,
            version,
            path: `f${n}`,
            file,
            sha256: sha256(text),
            expected: () => true,
          }
        },
      }),
    )
  } finally {
    await db.close()
    await rm(dir, { recursive: true })
  }
}

const node = (n: number): NodeId => nodeId(n)

for (const hardLinks of [true, false]) {
  test(`what is kept outlives its file, ${hardLinks ? 'with' : 'without'} hard links`, () =>
    atDesk(
      async ({ fs, store, request }) => {
        const results = await store.keep([request(1, 'one'), request(2, 'two'), request(3, 'one')])
        assert.deepEqual(results, [undefined, undefined, undefined])
        for (const n of [1, 2, 3]) await fs.remove(`/user/f${n}`)
        for (const text of ['one', 'two']) {
          const [found] = await store.locate(SHARE, sha256(text))
          assert.equal(found && Buffer.from(fs.readFile(found.path)).toString(), text)
        }
        assert.deepEqual(await store.locate(SHARE, sha256('three')), [])
        assert.deepEqual((await store.list(SHARE)).map(({ path }) => path).sort(), ['f1', 'f2', 'f3'])
        assert.deepEqual(
          (await store.list(SHARE, node(2))).map(({ size }) => size),
          [3],
        )
      },
      { hardLinks },
    ))
}

test('what is still the user’s own file is not offered as a version', () =>
  atDesk(async ({ fs, store, request }) => {
    await store.keep([request(1, 'one')])
    assert.deepEqual(await store.locate(SHARE, sha256('one')), [])
    fs.writeFile('/user/f1', 'one changed')
    await fs.remove('/user/f1')
    // Kept again once it really is "one": the changed bytes under its name are no good.
    await store.keep([request(2, 'one')])
    await fs.remove('/user/f2')
    const [found] = await store.locate(SHARE, sha256('one'))
    assert.equal(found && Buffer.from(fs.readFile(found.path)).toString(), 'one')
  }))

test('a file with several names is copied, so that nobody writes into the version', () =>
  atDesk(async ({ fs, store, request }) => {
    const wanted = request(1, 'one')
    await fs.hardLink('/user/f1', '/user/other')
    await store.keep([wanted])
    await fs.remove('/user/f1')
    fs.writeFile('/user/other', 'changed')
    const [found] = await store.locate(SHARE, sha256('one'))
    assert.equal(found && Buffer.from(fs.readFile(found.path)).toString(), 'one')
  }))

test('one that changed or cannot be kept does not stop the others', () =>
  atDesk(async ({ fs, store, request }) => {
    fs.intercept = (operation, path) => {
      if (operation === 'hardLink' && path.endsWith(Buffer.from(sha256('two')).toString('hex')))
        throw new FileSystemError('full', 'no space')
    }
    const results = await store.keep([
      { ...request(1, 'one'), expected: () => false },
      request(2, 'two'),
      request(3, 'three'),
    ])
    assert.deepEqual(
      results.map((error) => error instanceof FileSystemError && error.code),
      ['io', 'full', false],
    )
    assert.equal((await store.list(SHARE)).length, 1)
  }))

test('it is there after a restart, and after a crash once keep has resolved', () =>
  atDesk(async ({ fs, store, request, open }) => {
    const wanted = request(1, 'one')
    await fs.sync('/user/f1')
    await store.keep([wanted])
    await fs.remove('/user/f1')
    fs.crash(() => 1)
    const again = await open()
    const [found] = await again.locate(SHARE, sha256('one'))
    assert.equal(found && Buffer.from(fs.readFile(found.path)).toString(), 'one')
  }))

test('old versions go, young ones stay whatever room they take', () =>
  atDesk(
    async (desk) => {
      const { fs, store, request } = desk
      await store.keep([request(1, 'old'.repeat(10))])
      desk.now += 20 * DAY
      await store.keep([request(2, 'middle'.repeat(10))])
      desk.now += 11 * DAY
      await store.keep([request(3, 'young'.repeat(30)), request(4, 'new'.repeat(40))])
      for (const n of [1, 2, 3, 4]) await fs.remove(`/user/f${n}`)
      await store.prune()
      // The first is older than the retention, the second had to make room; the young ones are above the limit.
      assert.deepEqual((await store.list(SHARE)).map(({ path }) => path).sort(), ['f3', 'f4'])
      assert.deepEqual(await store.locate(SHARE, sha256('old'.repeat(10))), [])
      desk.now += MIN_RETENTION
      await store.prune()
      assert.equal((await store.list(SHARE)).length, 1)
      assert.equal((await fs.list('/profile/versions')).length, 1)
    },
    { maxBytes: 150 },
  ))

const OTHER_DEVICE = '/dev/shm'
const skip = !existsSync(OTHER_DEVICE) || statSync(OTHER_DEVICE).dev === statSync(tmpdir()).dev

test('files on another file system than the profile are copied', { skip }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cofolder-history-'))
  const user = await mkdtemp(join(OTHER_DEVICE, 'cofolder-history-'))
  const db = new Level(join(dir, 'db'))
  await db.open()
  try {
    const options = { db, fs: nodeFileSystem, clock: systemClock, retention: DAY, maxBytes: 1e9 }
    const store = await openVersionStore({ dir: join(dir, 'versions'), ...options })
    const file = join(user, 'f')
    await writeFile(file, 'one')
    const request = {
      share: SHARE,
      node: node(1),
      version: nodeId(2) as string as VersionId,
      path: 'f',
      file,
    }
    const results = await store.keep([{ ...request, sha256: sha256('one'), expected: () => true }])
    assert.deepEqual(results, [undefined])
    await rm(file)
    const [found] = await store.locate(SHARE, sha256('one'))
    assert.equal(found && (await readFile(found.path, 'utf8')), 'one')
  } finally {
    await db.close()
    await rm(dir, { recursive: true })
    await rm(user, { recursive: true })
  }
})
