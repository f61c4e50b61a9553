import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { couple, must } from '../couple.ts'
import { startDaemon, startRelay } from '../daemon.ts'
import { contents, expectEqualFolders, scratch, until, untilEqualFolders } from '../folders.ts'

test('with the relay gone, two nodes that reach each other go on, and find each other again after a restart', async () => {
  await using place = await scratch()
  await using relay = await startRelay({ data: join(place.path, 'relay') })
  await using pair = await couple({ relay: relay.url })
  await writeFile(join(pair.a, 'before'), 'before')
  await pair.settled()
  await relay.kill9()
  await writeFile(join(pair.a, 'from Alice'), 'a')
  await writeFile(join(pair.b, 'from Bob'), 'b')
  await untilEqualFolders(30_000, pair.a, pair.b)
  assert.equal(contents(pair.a).size, 3)

  await pair.bob.down()
  await writeFile(join(pair.b, 'while down'), 'c')
  const bob = await startDaemon({ home: join(pair.directory, 'bob'), name: 'Bob' })
  try {
    await untilEqualFolders(60_000, pair.a, pair.b)
    assert.equal(readFileSync(join(pair.a, 'while down'), 'utf8'), 'c')
  } finally {
    await bob.down()
  }
})

test('both offline with edits, renames and deletes on both sides: they merge, and no version is lost', async () => {
  await using pair = await couple()
  const write = (folder: string, name: string, text: string): Promise<void> =>
    writeFile(join(folder, name), text)
  await mkdir(join(pair.a, 'folder'))
  for (const name of [
    'both',
    'edited-deleted',
    'deleted-edited',
    'renamed-edited',
    'renamed-both',
    'folder/inside',
  ]) {
    await write(pair.a, name, `${name}, first\n`)
  }
  await pair.settled()
  await Promise.all([pair.alice.down(), pair.bob.down()])

  await write(pair.a, 'both', 'by Alice\n')
  await write(pair.b, 'both', 'by Bob, later\n')
  await write(pair.a, 'edited-deleted', 'Alice edited\n')
  await unlink(join(pair.b, 'edited-deleted'))
  await unlink(join(pair.a, 'deleted-edited'))
  await write(pair.b, 'deleted-edited', 'Bob edited\n')
  await rename(join(pair.a, 'renamed-edited'), join(pair.a, 'renamed-by-alice'))
  await write(pair.b, 'renamed-edited', 'edited by Bob\n')
  await rename(join(pair.a, 'renamed-both'), join(pair.a, 'name by Alice'))
  await rename(join(pair.b, 'renamed-both'), join(pair.b, 'name by Bob'))
  await rename(join(pair.a, 'folder'), join(pair.a, 'folder of Alice'))
  await write(pair.b, 'folder/new', 'created in the folder that was renamed\n')
  await write(pair.a, 'same name', 'Alice made this\n')
  await write(pair.b, 'same name', 'Bob made this\n')

  const alice = await startDaemon({ home: join(pair.directory, 'alice'), name: 'Alice' })
  const bob = await startDaemon({ home: join(pair.directory, 'bob'), name: 'Bob' })
  try {
    await until(
      'in sync',
      async () => {
        await must(alice, 'wait', '--timeout', '60')
        return contents(pair.b).size === contents(pair.a).size
      },
      60_000,
    )
    await untilEqualFolders(60_000, pair.a, pair.b)
    const texts = new Set(
      [...contents(pair.a)]
        .filter(([, what]) => what !== 'folder')
        .map(([path]) => readFileSync(join(pair.a, path), 'utf8')),
    )
    for (const text of [
      'by Alice\n',
      'by Bob, later\n',
      'Alice edited\n',
      'Bob edited\n',
      'edited by Bob\n',
      'renamed-both, first\n',
      'created in the folder that was renamed\n',
      'Alice made this\n',
      'Bob made this\n',
      'folder/inside, first\n',
    ]) {
      assert.ok(texts.has(text), `nowhere: ${text} in ${[...contents(pair.a).keys()].join(', ')}`)
    }
    assert.ok(existsSync(join(pair.a, 'renamed-by-alice')), 'the rename holds')
    assert.ok(
      existsSync(join(pair.a, 'folder of Alice', 'new')),
      'what was created follows the renamed folder',
    )
    const names = [...contents(pair.a).keys()]
    assert.equal(
      names.filter((name) => name.startsWith('name by') || name === 'renamed-both').length,
      1,
      'one file, one name',
    )
    assert.ok(
      names.some((name) => /^both \(conflict-(Alice|Bob)-\d{4}-\d\d-\d\d\)$/.test(name)),
      names.join(', '),
    )
    assert.equal(names.filter((name) => name.includes('conflict')).length, 2, names.join(', '))
    expectEqualFolders(pair.a, pair.b)
  } finally {
    await Promise.all([alice.down(), bob.down()])
  }
})
