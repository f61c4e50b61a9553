import assert from 'node:assert/strict'
import * as fsp from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { nodeFileSystem } from './node-file-system.ts'
import { fileSystemSuite } from './testing/file-system-suite.ts'
import { MemoryFileSystem } from './testing/memory-file-system.ts'

fileSystemSuite('node', async () => {
  const root = await fsp.mkdtemp(join(tmpdir(), 'cofolder-fs-'))
  return {
    fs: nodeFileSystem,
    root,
    write: (path, text) => fsp.writeFile(path, text),
    read: (path) => fsp.readFile(path, 'utf8'),
    close: () => fsp.rm(root, { recursive: true }),
  }
})

fileSystemSuite('memory', async () => {
  const fs = new MemoryFileSystem()
  fs.makeFolders('/root')
  return {
    fs,
    root: '/root',
    write: async (path, text) => fs.writeFile(path, text),
    read: async (path) => Buffer.from(fs.readFile(path)).toString(),
    close: async () => {},
  }
})

test('memory: what was not synced may be gone after a crash, the latest first', async () => {
  const fs = new MemoryFileSystem()
  fs.makeFolders('/root')
  fs.writeFile('/root/a', 'durable')
  await fs.sync('/root/a')
  await fs.makeFolder('/root/first')
  await fs.rename('/root/a', '/root/first/a')
  fs.crash(() => 0)
  assert.deepEqual(
    (await fs.list('/root')).map(({ name }) => name),
    ['a'],
  )
  assert.equal(Buffer.from(fs.readFile('/root/a')).toString(), 'durable')

  fs.writeFile('/root/a', 'not yet durable')
  await fs.makeFolder('/root/kept')
  await fs.sync('/root')
  fs.crash(() => 0)
  assert.equal(Buffer.from(fs.readFile('/root/a')).toString(), 'durable')
  assert.deepEqual((await fs.list('/root')).map(({ name }) => name).sort(), ['a', 'kept'])
})

test('memory: a volume that ignores case answers to any', async () => {
  const fs = new MemoryFileSystem({ caseSensitive: false })
  fs.makeFolders('/root')
  fs.writeFile('/root/Name', 'x')
  assert.equal((await fs.stat('/root/nAME')).kind, 'file')
  assert.deepEqual(await fs.list('/root'), [{ name: 'Name', unicode: true }])
  await fs.rename('/root/Name', '/root/NAME')
  assert.deepEqual(await fs.list('/root'), [{ name: 'NAME', unicode: true }])
})
