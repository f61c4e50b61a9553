import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { appendFile, chmod, mkdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Couple, couple } from '../couple.ts'
import { contents, expectEqualFolders, random, untilEqualFolders } from '../folders.ts'

const ARRIVAL_MS = 30_000

async function plant(folder: string): Promise<void> {
  await mkdir(join(folder, 'docs', 'deep', 'er'), { recursive: true })
  await writeFile(join(folder, 'docs', 'one.txt'), 'one\n')
  await writeFile(join(folder, 'docs', 'deep', 'two.txt'), 'two\n')
  await writeFile(join(folder, 'docs', 'deep', 'er', 'three.txt'), 'three\n')
  await writeFile(join(folder, 'top.txt'), 'top\n')
}

test('edits, creations, deletions and renames travel both ways', async () => {
  await using pair = await couple()
  const both = (): Promise<void> => untilEqualFolders(ARRIVAL_MS, pair.a, pair.b)
  await plant(pair.a)
  await pair.settled()
  expectEqualFolders(pair.a, pair.b)

  await appendFile(join(pair.b, 'docs', 'one.txt'), 'and more, by Bob\n')
  await writeFile(join(pair.a, 'new.txt'), 'by Alice\n')
  await both()
  await pair.settled()
  assert.equal(readFileSync(join(pair.a, 'docs', 'one.txt'), 'utf8'), 'one\nand more, by Bob\n')
  assert.equal(readFileSync(join(pair.b, 'new.txt'), 'utf8'), 'by Alice\n')

  await unlink(join(pair.b, 'top.txt'))
  await rename(join(pair.a, 'docs', 'deep'), join(pair.a, 'shallow'))
  await pair.settled()
  expectEqualFolders(pair.a, pair.b)
  assert.equal(existsSync(join(pair.a, 'top.txt')), false)
  assert.equal(readFileSync(join(pair.b, 'shallow', 'er', 'three.txt'), 'utf8'), 'three\n')

  await rename(join(pair.b, 'shallow'), join(pair.b, 'docs', 'back again'))
  await rename(join(pair.b, 'new.txt'), join(pair.b, 'newer.txt'))
  await rm(join(pair.a, 'docs', 'one.txt'))
  await pair.settled()
  expectEqualFolders(pair.a, pair.b)
  assert.deepEqual(
    [...contents(pair.a).keys()],
    [
      'docs',
      'docs/back again',
      'docs/back again/er',
      'docs/back again/er/three.txt',
      'docs/back again/two.txt',
      'newer.txt',
    ],
  )
})

test('what is special about files travels: links, executable bits, empty things, odd names', async () => {
  await using pair = await couple()
  await writeFile(join(pair.a, 'empty'), '')
  await mkdir(join(pair.a, 'empty folder'))
  await writeFile(join(pair.a, 'run.sh'), '#!/bin/sh\n')
  await chmod(join(pair.a, 'run.sh'), 0o755)
  await symlink('run.sh', join(pair.a, 'link'))
  await symlink('/etc/passwd', join(pair.a, 'link outside'))
  await symlink('nowhere', join(pair.a, 'dangling'))
  for (const name of [
    'Case',
    'case',
    'a:b?.txt',
    'naïve',
    ' space ',
    '日本語 🎉',
    '-dash',
    'new\nline',
    'aux.txt',
    'dot.',
  ]) {
    await writeFile(join(pair.a, name), name)
  }
  let deep = pair.a
  for (let level = 0; level < 20; level++) deep = join(deep, `${level}`.padEnd(100, 'x'))
  await mkdir(deep, { recursive: true })
  await writeFile(join(deep, 'bottom'), 'deep')
  await pair.settled()
  expectEqualFolders(pair.a, pair.b)
  await chmod(join(pair.b, 'run.sh'), 0o644)
  await chmod(join(pair.b, 'empty'), 0o755)
  await unlink(join(pair.b, 'link'))
  await symlink('empty', join(pair.b, 'link'))
  await rename(join(pair.b, 'Case'), join(pair.b, 'CASE'))
  await pair.settled()
  expectEqualFolders(pair.a, pair.b)
})

/** A random change by one person, of the kinds people make. */
async function anyChange(folder: string, source: ReturnType<typeof random>, label: string): Promise<void> {
  const all = [...contents(folder)]
  const files = all.filter(([, what]) => what !== 'folder').map(([path]) => path)
  const folders = ['', ...all.filter(([, what]) => what === 'folder').map(([path]) => path)]
  const pick = (from: readonly string[]): string => from[source.below(from.length)] ?? ''
  const fresh = join(folder, pick(folders), `${label}-${source.below(1e9)}`)
  const kind = source.below(6)
  if (files.length < 3 || kind === 0) await writeFile(fresh, source.bytes(source.below(50_000)))
  else if (kind === 1) await mkdir(fresh)
  else if (kind === 2) await writeFile(join(folder, pick(files)), source.bytes(source.below(50_000)))
  else if (kind === 3) await unlink(join(folder, pick(files)))
  else if (kind === 4) await rename(join(folder, pick(files)), fresh)
  else {
    const from = pick(folders)
    if (from !== '' && !fresh.startsWith(`${join(folder, from)}/`)) await rename(join(folder, from), fresh)
  }
}

test('two people who change things at random end up with the same', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9)
  console.log(`SEED=${seed}`)
  const source = random(seed)
  await using pair: Couple = await couple()
  await plant(pair.a)
  // Enough that the deletions drawn below are never most of all files: that would ask, and rightly.
  for (let index = 0; index < 80; index++)
    await writeFile(join(pair.a, 'docs', `${index}`), source.bytes(1000))
  await pair.settled()
  for (let round = 0; round < 5; round++) {
    for (let change = 0; change < 8; change++) {
      // A path may be gone between looking and acting, because the other side's change just arrived.
      await anyChange(pair.a, source, 'alice').catch(ignoreVanished)
      await anyChange(pair.b, source, 'bob').catch(ignoreVanished)
    }
    await pair.settled()
    expectEqualFolders(pair.a, pair.b)
  }
})

/** What the other side's changes may do to a path between looking at it and acting on it. */
const OVERTAKEN = ['ENOENT', 'EEXIST', 'ENOTEMPTY', 'ENOTDIR', 'EISDIR', 'EINVAL']

function ignoreVanished(error: NodeJS.ErrnoException): void {
  if (!OVERTAKEN.includes(error.code ?? '')) throw error
}
