import assert from 'node:assert/strict'
import { cpSync, existsSync, lstatSync, readdirSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { couple } from '../couple.ts'
import { contents, expectEqualFolders, writeRandom } from '../folders.ts'

const GIB = 1024 ** 3
const WANTED_ENTRIES = 12_000

test('1 GiB of random bytes arrives identical', async () => {
  await using pair = await couple()
  await writeRandom(join(pair.a, 'large.bin'), GIB, 1)
  await pair.settled(120)
  expectEqualFolders(pair.a, pair.b)
  assert.equal(existsSync(join(pair.b, '.cofolder.tmp')), false)
})

test('a real tree of over 10,000 files, links included, arrives identical', async () => {
  const modules = join(import.meta.dirname, '../../node_modules')
  await using pair = await couple()
  let entries = 0
  for (const name of readdirSync(modules)) {
    if (entries > WANTED_ENTRIES) break
    // Links of the workspace itself lead into this checkout; as links they are content like any other.
    cpSync(join(modules, name), join(pair.a, 'tree', name), { recursive: true, verbatimSymlinks: true })
    if (lstatSync(join(modules, name)).isDirectory()) {
      entries += readdirSync(join(modules, name), { recursive: true }).length
    }
  }
  await mkdir(join(pair.a, 'tree', 'an empty folder'))
  assert.ok(contents(pair.a).size > 10_000)
  await pair.settled(180)
  expectEqualFolders(pair.a, pair.b)
})
