import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeId } from '../ids.ts'
import {
  addFile,
  addFolder,
  close,
  connect,
  DAY,
  edit,
  erase,
  household,
  move,
  newNode,
  paths,
  picture,
  place,
  type Replica,
  text,
  version,
} from './testing.ts'

const HOUR = 3_600_000

/** Alice and Bob with one file that both know; what each does then, the other learns afterwards. */
function apart(act: (alice: Replica, bob: Replica, node: NodeId) => void): {
  alice: Replica
  bob: Replica
  node: NodeId
} {
  const { alice, bob, vera } = household()
  const node = addFile(alice, 'plan.txt', 'first')
  connect([alice, bob])
  act(alice, bob, node)
  connect([alice, bob])
  assert.deepEqual(picture(alice), picture(bob))
  close([vera])
  return { alice, bob, node }
}

const headText = ({ share }: Replica, path: string): unknown => share.tree().byPath.get(path)?.head.content

test('delete against edit: the edit wins', () => {
  const { alice, bob, node } = apart((a, b, n) => {
    erase(a, n)
    edit(b, n, 'second', DAY + 1)
  })
  assert.deepEqual(paths(alice), ['plan.txt'])
  assert.deepEqual(headText(bob, 'plan.txt'), text('second', DAY + 1))
  assert.deepEqual(alice.share.settle(), [])
  // A delete by somebody who has seen the edit holds.
  erase(alice, node)
  connect([alice, bob])
  assert.deepEqual(paths(bob), [])
  close([alice, bob])
})

test('rename against delete: the file lives on under its new name, with its last content', () => {
  const { alice, bob, node } = apart((a, b, n) => {
    erase(a, n)
    move(b, n, 'renamed.txt')
  })
  assert.deepEqual(paths(alice), ['renamed.txt'])
  assert.deepEqual(headText(alice, 'renamed.txt'), text('first'))
  edit(alice, node, 'after', DAY + 5)
  connect([alice, bob])
  assert.deepEqual(headText(bob, 'renamed.txt'), text('after', DAY + 5))
  erase(bob, node)
  connect([alice, bob])
  assert.deepEqual(paths(alice), [])
  close([alice, bob])
})

test('two delete, one of whom had seen the rename: deleted', () => {
  const { alice, bob } = apart((a, b, n) => {
    erase(a, n)
    move(b, n, 'renamed.txt')
    erase(b, n)
  })
  assert.deepEqual(paths(alice), [])
  close([alice, bob])
})

test('rename against rename: the later one holds; rename and edit both survive', () => {
  const { alice, bob } = apart((a, b, n) => {
    move(a, n, 'one.txt', undefined, DAY + 1)
    move(b, n, 'two.txt', undefined, DAY + 2)
    edit(a, n, 'second', DAY + 3)
  })
  assert.deepEqual(paths(alice), ['two.txt'])
  assert.deepEqual(headText(bob, 'two.txt'), text('second', DAY + 3))
  close([alice, bob])
})

test('moved into a folder that somebody deletes: both stay in sight', () => {
  const { alice, bob, vera } = household()
  const folder = addFolder(alice, 'Old')
  const node = addFile(alice, 'plan.txt', 'first')
  connect([alice, bob])
  erase(alice, folder)
  move(bob, node, 'plan.txt', folder)
  connect([alice, bob])
  assert.deepEqual(picture(alice), picture(bob))
  assert.deepEqual(paths(alice), ['Old', 'Old/plan.txt'])
  move(alice, node, 'plan.txt')
  connect([alice, bob])
  assert.deepEqual(paths(bob), ['plan.txt'])
  close([alice, bob, vera])
})

test('two move each the other’s folder into his own: nothing is lost', () => {
  const { alice, bob, vera } = household()
  const [left, right] = [addFolder(alice, 'left'), addFolder(alice, 'right')]
  addFile(alice, 'in left', '', { parent: left })
  connect([alice, bob])
  move(alice, left, 'left', right, DAY + 1)
  move(bob, right, 'right', left, DAY + 2)
  connect([alice, bob])
  assert.deepEqual(picture(alice), picture(bob))
  assert.deepEqual(paths(alice), ['right', 'right/left', 'right/left/in left'])
  close([alice, bob, vera])
})

test('a folder and a file of one name', () => {
  const { alice, bob, vera } = household()
  addFolder(alice, 'x', { at: DAY + 1 })
  addFile(bob, 'x', '', { at: DAY })
  connect([alice, bob])
  assert.deepEqual(picture(alice), picture(bob))
  assert.deepEqual(paths(alice), ['x', 'x (conflict-Alice-2024-05-05)'])
  assert.equal(alice.share.tree().byPath.get('x')?.kind, 'file')
  assert.deepEqual(alice.share.settle(), [])
  close([alice, bob, vera])
})

test('both edit: settled alike on both devices, the newer stays and the other is kept beside it', () => {
  const { alice, bob } = apart((a, b, n) => {
    edit(a, n, 'from Alice', DAY + HOUR)
    edit(b, n, 'from Bob', DAY + 2 * HOUR)
  })
  assert.equal(alice.share.tree().byPath.get('plan.txt')?.heads.length, 2)
  const [first, second] = [alice.share.settle(), bob.share.settle()]
  assert.deepEqual(first, second)
  alice.share.write(first)
  bob.share.write(second)
  connect([alice, bob])
  assert.deepEqual(picture(alice), picture(bob))
  const copy = 'plan (conflict-Alice-2024-05-05).txt'
  assert.deepEqual(paths(bob), [copy, 'plan.txt'])
  assert.deepEqual(headText(bob, 'plan.txt'), text('from Bob', DAY + 2 * HOUR))
  assert.deepEqual(headText(bob, copy), text('from Alice', DAY + HOUR))
  assert.equal(alice.share.tree().byPath.get('plan.txt')?.heads.length, 1)
  for (const replica of [alice, bob]) assert.deepEqual(replica.share.settle(), [])
  assert.equal(alice.share.history(bob.share.tree().byPath.get('plan.txt')?.node ?? newNode()).length, 4)
  close([alice, bob])
})

test('both write the same: one version, no copy', () => {
  const { alice, bob, node } = apart((a, b, n) => {
    edit(a, n, 'same', DAY + 1)
    edit(b, n, 'same', DAY + 2)
  })
  assert.equal(alice.share.history(node).length, 2)
  assert.deepEqual(alice.share.settle(), [])
  // On different grounds they are two versions, of which one is made.
  const other = addFile(alice, 'other', '1')
  connect([alice, bob])
  edit(alice, other, 'in between', DAY + 1)
  edit(alice, other, 'end', DAY + 2)
  edit(bob, other, 'end', DAY + 3)
  connect([alice, bob])
  assert.equal(bob.share.tree().byNode.get(other)?.heads.length, 2)
  alice.share.write(alice.share.settle())
  connect([alice, bob])
  assert.equal(bob.share.tree().byNode.get(other)?.heads.length, 1)
  assert.deepEqual(paths(bob), ['other', 'plan.txt'])
  close([alice, bob])
})

test('both make the same file: one stays', () => {
  const { alice, bob, vera } = household()
  addFile(alice, 'twin.txt', 'same', { at: DAY + 5 })
  const older = addFile(bob, 'twin.txt', 'same', { at: DAY })
  connect([alice, bob])
  assert.equal(paths(alice).length, 2)
  for (const { share } of [alice, bob]) share.write(share.settle())
  connect([alice, bob])
  for (const replica of [alice, bob]) {
    assert.deepEqual(paths(replica), ['twin.txt'])
    assert.equal(replica.share.tree().byPath.get('twin.txt')?.node, older)
    assert.deepEqual(replica.share.settle(), [])
  }
  close([alice, bob, vera])
})

test('both make a different file of one name: both stay', () => {
  const { alice, bob, vera } = household()
  addFile(alice, 'same.txt', 'one', { at: DAY + 5 })
  addFile(bob, 'same.txt', 'two', { at: DAY })
  connect([alice, bob])
  assert.deepEqual(paths(bob), ['same (conflict-Alice-2024-05-05).txt', 'same.txt'])
  assert.deepEqual(bob.share.settle(), [])
  close([alice, bob, vera])
})

test('conflicts settled by people who each knew a part of it breed no further copies', () => {
  const { alice, bob, vera } = household()
  const node = newNode()
  const base = version(node, text('base'))
  alice.share.write([place(node, 'plan.txt'), base])
  connect([alice, bob, vera])
  const edits = ['one', 'two', 'three'].map((words, i) =>
    version(node, text(words, DAY + i), { parents: [base.id], at: DAY + i }),
  )
  const [one, two, three] = edits
  if (!one || !two || !three) throw new Error('three edits')
  alice.share.write([one, two])
  bob.share.write([two, three])
  for (const { share } of [alice, bob]) share.write(share.settle())
  connect([alice, bob])
  for (let round = 0; round < 3; round++) {
    for (const { share } of [alice, bob]) {
      const records = share.settle()
      if (records.length > 0) share.write(records)
    }
    connect([alice, bob])
  }
  assert.deepEqual(picture(alice), picture(bob))
  const contents = [...alice.share.tree().byPath.values()].map(({ head }) => head.content)
  assert.equal(contents.length, 3, paths(alice).join(', '))
  for (const words of ['one', 'two', 'three']) {
    const wanted = text(words, DAY + ['one', 'two', 'three'].indexOf(words))
    assert.ok(contents.some((content) => JSON.stringify(content) === JSON.stringify(wanted)))
  }
  assert.equal(alice.share.tree().byPath.get('plan.txt')?.head.content.kind, 'file')
  assert.deepEqual(headText(alice, 'plan.txt'), text('three', DAY + 2))
  close([alice, bob, vera])
})
