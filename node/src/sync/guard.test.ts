import assert from 'node:assert/strict'
import * as fsp from 'node:fs/promises'
import { test } from 'node:test'
import { DeleteGuard, type Gone } from './guard.ts'
import { DELETE_GRACE, MASS_DELETE_WINDOW } from './limits.ts'
import { Group } from './testing/people.ts'
import { nodeId } from './testing/trees.ts'

const gone = (from: number, count: number): Gone[] =>
  Array.from({ length: count }, (_, i) => ({ node: nodeId(from + i), isFile: true, isReplaced: false }))

/** The verdict once nothing more goes. */
function judged(guard: DeleteGuard, list: readonly Gone[], known: number, at: number) {
  const first = guard.judge(list, known, at)
  assert.equal(first.release.size, 0)
  assert.equal(first.lookAgainAt, at + DELETE_GRACE)
  return guard.judge(list, known, at + DELETE_GRACE)
}

test('a few deletes go after a moment, most of everything does not', () => {
  assert.equal(judged(new DeleteGuard(), gone(0, 9), 10, 0).release.size, 9)
  assert.equal(judged(new DeleteGuard(), gone(0, 10), 20, 0).release.size, 10)
  assert.equal(judged(new DeleteGuard(), gone(0, 11), 20, 0).release.size, 0)
  assert.equal(judged(new DeleteGuard(), gone(0, 4), 4, 0).release.size, 4)
  assert.equal(judged(new DeleteGuard(), gone(0, 5), 5, 0).release.size, 0)
})

test('deletes that come bit by bit are counted together, for a while', () => {
  const guard = new DeleteGuard()
  assert.equal(judged(guard, gone(0, 8), 20, 0).release.size, 8)
  assert.equal(judged(guard, gone(8, 8), 12, 5000).release.size, 0)
  assert.equal(guard.held, 8)
  const later = new DeleteGuard()
  assert.equal(judged(later, gone(0, 8), 20, 0).release.size, 8)
  assert.equal(judged(later, gone(8, 6), 12, 1000 + MASS_DELETE_WINDOW).release.size, 6)
})

test('what is confirmed goes, what came back does not ask any more', () => {
  const guard = new DeleteGuard()
  const list = gone(0, 12)
  judged(guard, list, 12, 0)
  guard.isBack(nodeId(3))
  assert.equal(guard.held, 11)
  assert.equal(guard.confirm(), 11)
  const rest = list.filter((_, i) => i !== 3)
  assert.equal(guard.judge(rest, 12, 1000).release.size, 11)
  assert.equal(guard.held, 0)
})

test('what was replaced under its name is gone at once', () => {
  const [one] = gone(0, 1)
  assert.ok(one)
  assert.equal(new DeleteGuard().judge([{ ...one, isReplaced: true }], 10, 0).release.size, 1)
})

test('an emptied folder asks first; confirmed, it is emptied for everybody', async () => {
  await using group = await Group.make({ alice: 'owner', bob: 'editor' })
  const [alice, bob] = [group.person('alice'), group.person('bob')]
  for (let i = 0; i < 12; i++) await alice.write(`d/f${i}`, `content ${i}`)
  await group.settle()
  await fsp.rename(bob.at('d'), `${bob.root}-d`)
  await bob.write('new', 'other things go on')
  await group.settle()
  const { state, needsConfirmation, error } = bob.placement.state()
  assert.deepEqual([state, needsConfirmation], ['error', { deletes: 12 }])
  assert.match(error ?? '', /12 files are gone/)
  assert.equal(bob.events.filter(({ type }) => type === 'error').length, 1)
  assert.equal(Object.keys(await alice.files()).length, 14)

  // Put back: nothing to confirm any more.
  await fsp.rename(`${bob.root}-d`, bob.at('d'))
  await group.settle()
  assert.equal(bob.placement.state().state, 'in-sync')
  assert.deepEqual(await bob.files(), await alice.files())

  await fsp.rm(bob.at('d'), { recursive: true })
  await group.settle()
  assert.equal(bob.placement.state().needsConfirmation?.deletes, 12)
  await bob.stop()
  await bob.start()
  await group.settle()
  assert.equal(bob.placement.state().needsConfirmation?.deletes, 12, 'asks again after a restart')
  await bob.placement.confirm()
  await group.settle()
  assert.deepEqual(await alice.files(), { new: 'other things go on' })
  assert.equal((await alice.history.list(alice.share.id)).length, 12)
})

test('deletes that others made need no confirmation here', async () => {
  await using group = await Group.make({ alice: 'owner', bob: 'editor' })
  const [alice, bob] = [group.person('alice'), group.person('bob')]
  for (let i = 0; i < 12; i++) await alice.write(`f${i}`, `content ${i}`)
  await group.settle()
  for (let i = 0; i < 12; i++) await fsp.rm(alice.at(`f${i}`))
  await alice.placement.scan()
  await alice.placement.confirm()
  await group.settle()
  assert.deepEqual(await bob.files(), {})
  assert.equal(bob.placement.state().state, 'in-sync')
})

test('another folder in the place of the root is merged only when confirmed', async () => {
  await using group = await Group.make({ alice: 'owner', bob: 'editor' })
  const [alice, bob] = [group.person('alice'), group.person('bob')]
  for (let i = 0; i < 3; i++) await alice.write(`f${i}`, `content ${i}`)
  await group.settle()
  await fsp.rm(bob.root, { recursive: true })
  await bob.write('other', 'of another folder')
  await group.settle()
  assert.equal(bob.placement.state().state, 'error')
  assert.match(bob.placement.state().error ?? '', /not the folder that was synced/)
  assert.deepEqual(Object.keys(await alice.files()), ['f0', 'f1', 'f2'])
  await bob.placement.confirm()
  await group.settle()
  assert.deepEqual(await bob.files(), await alice.files())
  assert.equal(Object.keys(await bob.files()).length, 4)
})
