import assert from 'node:assert/strict'
import * as fsp from 'node:fs/promises'
import { test } from 'node:test'
import { Group } from './testing/people.ts'

test('files, folders and links travel both ways', async () => {
  await using group = await Group.make({ alice: 'owner', bob: 'editor' })
  const [alice, bob] = [group.person('alice'), group.person('bob')]
  await alice.write('notes.txt', 'hello')
  await alice.write('deep/er/file', 'x')
  await alice.write('zero', '')
  await fsp.mkdir(alice.at('empty'))
  await fsp.symlink('notes.txt', alice.at('link'))
  await fsp.symlink('/nowhere/at/all', alice.at('dangling'))
  await alice.write('run.sh', '#!/bin/sh')
  await fsp.chmod(alice.at('run.sh'), 0o755)
  await group.settle()
  assert.deepEqual(await bob.files(), await alice.files())
  assert.equal((await bob.files())['run.sh'], '*#!/bin/sh')
  assert.equal(alice.placement.state().state, 'in-sync')
  assert.equal(bob.placement.state().state, 'in-sync')
  assert.equal(await bob.has('.cofolder.tmp'), false)

  await bob.write('notes.txt', 'hello from bob')
  await fsp.rm(bob.at('deep'), { recursive: true })
  await fsp.chmod(bob.at('run.sh'), 0o644)
  await fsp.rename(bob.at('zero'), bob.at('empty/nought'))
  await group.settle()
  assert.deepEqual(await alice.files(), await bob.files())
  assert.equal(await alice.read('notes.txt'), 'hello from bob')
  assert.equal(await alice.has('deep'), false)
  assert.equal((await alice.files())['empty/nought'], '')
})
