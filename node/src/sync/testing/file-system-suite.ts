/** What every file system must do; run by each implementation. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type FileSystem, FileSystemError, type FileSystemErrorCode, statIfThere } from '../file-system.ts'

export interface SuiteFileSystem {
  readonly fs: FileSystem
  /** An empty folder. */
  readonly root: string
  write(path: string, text: string): Promise<void>
  read(path: string): Promise<string>
  close(): Promise<void>
}

const refuses = (call: Promise<unknown>, ...codes: readonly FileSystemErrorCode[]) =>
  assert.rejects(call, (error) => error instanceof FileSystemError && codes.includes(error.code))

export function fileSystemSuite(name: string, open: () => Promise<SuiteFileSystem>): void {
  const check = (what: string, run: (system: SuiteFileSystem) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      const system = await open()
      try {
        await run(system)
      } finally {
        await system.close()
      }
    })

  check('tells what is there, following no link', async ({ fs, root, write }) => {
    await write(`${root}/file`, 'four')
    await fs.makeFolder(`${root}/folder`)
    await fs.makeLink('folder', `${root}/link`)
    await fs.makeLink('/no/where', `${root}/dangling`)
    const file = await fs.stat(`${root}/file`)
    assert.deepEqual([file.kind, file.size, file.links], ['file', 4, 1])
    assert.ok(Math.abs(Number(file.mtimeNs) / 1e6 - file.mtimeMs) < 0.001)
    assert.equal((await fs.stat(`${root}/folder`)).kind, 'folder')
    assert.equal((await fs.stat(`${root}/link`)).kind, 'symlink')
    assert.equal(await fs.readLink(`${root}/dangling`), '/no/where')
    const items = await fs.list(root)
    assert.deepEqual(items.map((item) => item.name).sort(), ['dangling', 'file', 'folder', 'link'])
    assert.ok(items.every(({ unicode }) => unicode))
    assert.equal(await statIfThere(fs, `${root}/none`), undefined)
    await refuses(fs.list(`${root}/file`), 'not-a-folder')
    await refuses(fs.stat(`${root}/file/below`), 'not-a-folder')
    await refuses(fs.stat(`${root}/${'x'.repeat(300)}`), 'bad-name')
  })

  check('one object stays the same through renames, another is another', async ({ fs, root, write }) => {
    await write(`${root}/a`, '1')
    const before = await fs.stat(`${root}/a`)
    await fs.rename(`${root}/a`, `${root}/b`)
    const after = await fs.stat(`${root}/b`)
    assert.deepEqual(
      [after.inode, after.birthNs, after.mtimeNs],
      [before.inode, before.birthNs, before.mtimeNs],
    )
    await write(`${root}/a`, '1')
    const other = await fs.stat(`${root}/a`)
    assert.notDeepEqual([other.inode, other.birthNs], [before.inode, before.birthNs])
  })

  check('replaces only what it is told to', async ({ fs, root, write, read }) => {
    await write(`${root}/a`, 'a')
    await write(`${root}/b`, 'b')
    await refuses(fs.renameFree(`${root}/a`, `${root}/b`), 'exists')
    assert.equal(await fs.renameOver(`${root}/a`, `${root}/b`, ({ size }) => size === 7), false)
    assert.equal(await read(`${root}/b`), 'b')
    assert.equal(await fs.renameOver(`${root}/a`, `${root}/b`, ({ size }) => size === 1), true)
    assert.equal(await read(`${root}/b`), 'a')
    assert.equal(await fs.removeIf(`${root}/b`, () => false), false)
    assert.equal(await fs.removeIf(`${root}/b`, () => true), true)
    assert.equal(await fs.removeIf(`${root}/b`, () => true), false)
    await refuses(fs.rename(`${root}/none`, `${root}/x`), 'not-found')
  })

  check('renames to a free name: files, links and folders', async ({ fs, root, write, read }) => {
    await write(`${root}/f`, 'f')
    await fs.makeFolder(`${root}/d`)
    await fs.makeLink('f', `${root}/l`)
    await fs.renameFree(`${root}/f`, `${root}/d/f`)
    await fs.renameFree(`${root}/l`, `${root}/d/l`)
    await fs.renameFree(`${root}/d`, `${root}/e`)
    assert.equal(await read(`${root}/e/f`), 'f')
    assert.equal((await fs.stat(`${root}/e/f`)).links, 1)
    assert.equal(await fs.readLink(`${root}/e/l`), 'f')
    await write(`${root}/d`, 'in the way')
    await refuses(fs.renameFree(`${root}/e`, `${root}/d`), 'exists', 'not-a-folder')
    await refuses(fs.rename(`${root}/e`, `${root}/e/inside`), 'bad-name')
  })

  check('makes and removes; never what is not empty', async ({ fs, root, write }) => {
    await fs.makeFolder(`${root}/d`)
    await refuses(fs.makeFolder(`${root}/d`), 'exists')
    await refuses(fs.makeLink('x', `${root}/d`), 'exists')
    await refuses(fs.createFile(`${root}/d`), 'exists')
    await write(`${root}/d/f`, 'f')
    await refuses(fs.removeFolder(`${root}/d`), 'not-empty')
    await fs.remove(`${root}/d/f`)
    await fs.removeFolder(`${root}/d`)
    await refuses(fs.remove(`${root}/d`), 'not-found')
    await fs.createFile(`${root}/empty`)
    assert.equal((await fs.stat(`${root}/empty`)).size, 0)
    await refuses(fs.removeFolder(`${root}/empty`), 'not-a-folder')
  })

  check('second names and copies', async ({ fs, root, write, read }) => {
    await write(`${root}/a`, 'a')
    await fs.hardLink(`${root}/a`, `${root}/b`)
    await refuses(fs.hardLink(`${root}/a`, `${root}/b`), 'exists')
    assert.equal((await fs.stat(`${root}/a`)).links, 2)
    await fs.copyFile(`${root}/a`, `${root}/c`)
    await refuses(fs.copyFile(`${root}/a`, `${root}/c`), 'exists')
    await fs.remove(`${root}/a`)
    assert.equal(await read(`${root}/b`), 'a')
    assert.equal((await fs.stat(`${root}/c`)).links, 1)
  })

  check('modes and times', async ({ fs, root, write }) => {
    await write(`${root}/a`, 'a')
    const before = await fs.stat(`${root}/a`)
    await fs.setMode(`${root}/a`, 0o755)
    await fs.setModified(`${root}/a`, 1_700_000_000_123)
    const after = await fs.stat(`${root}/a`)
    assert.equal(after.mode & 0o777, 0o755)
    assert.equal(Math.floor(after.mtimeMs), 1_700_000_000_123)
    assert.notEqual(after.ctimeNs, before.ctimeNs)
  })

  check('a pinned folder stays the same, and no link leads into one', async ({ fs, root, write, read }) => {
    await fs.makeFolder(`${root}/d`)
    await fs.makeFolder(`${root}/d/e`)
    await fs.makeFolder(`${root}/outside`)
    const pin = await fs.pin(root, ['d', 'e'])
    await fs.rename(`${root}/d`, `${root}/moved`)
    await fs.makeLink('outside', `${root}/d`)
    await fs.createFile(`${pin.path}/new`)
    await fs.renameFree(`${pin.path}/new`, `${pin.path}/newer`)
    await pin.sync()
    await pin.close()
    await write(`${root}/moved/e/newer`, 'text')
    assert.equal(await read(`${root}/moved/e/newer`), 'text')
    assert.deepEqual(await fs.list(`${root}/outside`), [])
    await refuses(fs.pin(root, ['d']), 'not-a-folder')
    await refuses(fs.pin(root, ['d', 'e']), 'not-a-folder', 'not-found')
    await refuses(fs.pin(root, ['none']), 'not-found')
    await fs.sync(root)
    await fs.sync(`${root}/moved/e/newer`)
  })

  check('tells of changes in a watched folder', async ({ fs, root, write }) => {
    const seen = new Set<string | undefined>()
    const watch = fs.watch(root, (item) => seen.add(item))
    await write(`${root}/a`, 'a')
    await fs.makeFolder(`${root}/d`)
    await fs.rename(`${root}/a`, `${root}/b`)
    const end = Date.now() + 2000
    while (!['a', 'b', 'd'].every((item) => seen.has(item))) {
      assert.ok(Date.now() < end, `only saw ${[...seen]}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    watch.close()
  })

  check('says what it can do and leaves nothing behind', async ({ fs, root }) => {
    const capabilities = await fs.capabilities(root)
    assert.ok(capabilities.maxNameBytes >= 200)
    assert.deepEqual(await fs.list(root), [])
  })
}
