import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as Y from 'yjs'
import { ProtocolError } from '../errors.ts'
import { type NodeId, ROOT_NODE } from '../ids.ts'
import { openShare } from './open.ts'
import {
  addFile,
  addFolder,
  close,
  connect,
  DAY,
  deliver,
  edit,
  erase,
  invited,
  move,
  ownerOf,
  person,
  picture,
  type Replica,
} from './testing.ts'

/** One step of a history: who, does what, to which of what he sees, with which of a few names. */
const step = fc.record({
  who: fc.nat(3),
  act: fc.constantFrom(
    ...['file', 'file', 'folder', 'edit', 'edit', 'move', 'move', 'erase', 'settle'],
    ...[
      'hear',
      'hear',
      'hear',
      'stray',
      'placement',
      'role',
      'remove',
      'rotate',
      'leave',
      'invite',
      'reopen',
    ],
  ),
  which: fc.nat(50),
  whom: fc.nat(3),
  name: fc.constantFrom('a', 'b.txt', 'c'),
  at: fc.integer({ min: 0, max: 3 }),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

const pick = <T>(list: readonly T[], index: number): T | undefined => list[index % list.length]

function nodeSeen({ share }: Replica, which: number): NodeId | undefined {
  return pick([...share.tree().byNode.keys()], which)
}

function folderSeen({ share }: Replica, which: number): NodeId {
  const folders = [...share.tree().byPath.values()].filter(({ kind }) => kind === 'folder')
  return pick([ROOT_NODE, ...folders.map(({ node }) => node)], which) ?? ROOT_NODE
}

/** What a person does; what his role does not allow, the share refuses. */
function act(replicas: Replica[], { who, act: kind, which, whom, name, at }: Step): void {
  const self = pick(replicas, who)
  const other = pick(replicas, whom)
  if (!self || !other) return
  const { share, identity } = self
  const node = nodeSeen(self, which)
  const parent = folderSeen(self, which + 1)
  const time = DAY + at
  switch (kind) {
    case 'file':
      addFile(self, name, `${who} ${which % 3}`, { at: time, parent })
      break
    case 'folder':
      addFolder(self, name, { at: time, parent })
      break
    case 'edit':
      if (node && share.tree().byNode.get(node)?.kind === 'file') edit(self, node, `${who} ${which}`, time)
      break
    case 'move':
      if (node) move(self, node, name, parent, time)
      break
    case 'erase':
      if (node) erase(self, node, time)
      break
    case 'settle': {
      const records = share.settle()
      if (records.length > 0) share.write(records, time)
      break
    }
    case 'hear':
      deliver(other, self)
      break
    case 'stray': {
      // One single update out of another's history, out of order.
      const updates = Y.encodeStateAsUpdate(other.share.doc)
      if (which % 2 === 0) Y.applyUpdate(share.doc, updates)
      break
    }
    case 'placement':
      share.write(
        [
          {
            type: 'placement',
            device: identity.deviceId,
            where: 'local',
            label: name,
            mode: 'copy',
            at: time,
          },
        ],
        time,
      )
      break
    case 'role':
      share.setRole(other.identity.userId, which % 2 === 0 ? 'editor' : 'viewer', time)
      break
    case 'remove':
      share.remove(other.identity.userId, time)
      break
    case 'rotate':
      share.rotate(time)
      break
    case 'leave':
      share.leave(time)
      break
    case 'invite':
      if (share.role === 'owner' && other.share.role !== 'owner') {
        replicas[whom % replicas.length] = {
          ...invited(self, other.identity, which % 2 === 0 ? 'editor' : 'viewer'),
        }
        other.share.close()
      }
      break
    case 'reopen': {
      const options = { update: Y.encodeStateAsUpdate(share.doc), outbox: share.outbox }
      replicas[who % replicas.length] = { identity, share: openShare(identity, share.keys, options) }
      share.close()
      break
    }
  }
}

function forgiving(replicas: Replica[], one: Step): void {
  try {
    act(replicas, one)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  }
}

/** What everybody in the share must agree on; whoever was put out has not the keys of what came after. */
function insiders(replicas: readonly Replica[], owner: Replica): Replica[] {
  return replicas.filter(
    ({ identity }) => owner.share.membership.members.get(identity.userId)?.status === 'active',
  )
}

test('whatever people do apart, all who are in the share come to see the same', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
      const alice = ownerOf(person('Alice'))
      const replicas = [
        alice,
        invited(alice, person('Bob'), 'editor'),
        invited(alice, person('Carl'), 'editor'),
        invited(alice, person('Vera'), 'viewer'),
      ]
      connect(replicas)
      for (const one of steps) forgiving(replicas, one)
      connect(replicas)
      const owner = replicas[0]
      assert.ok(owner)
      if (owner.share.membership.rotationDue) owner.share.rotate(DAY)
      connect(replicas)
      const expected = picture(owner)
      for (const replica of insiders(replicas, owner)) {
        assert.deepEqual(picture(replica), expected, replica.identity.name)
        assert.equal(replica.share.membership.rotationDue, false)
      }
      // Opened anew, in one go instead of step by step, it is the same.
      const update = Y.encodeStateAsUpdate(owner.share.doc)
      const anew: Replica = {
        identity: owner.identity,
        share: openShare(owner.identity, owner.share.keys, { update }),
      }
      assert.deepEqual(picture(anew), expected)

      // Two settle at once, and again: there is an end to it.
      const settlers = insiders(replicas, owner)
        .filter(({ share }) => share.role !== 'viewer')
        .slice(0, 2)
      for (let round = 0; round < 3; round++) {
        for (const { share } of settlers) {
          const records = share.settle()
          if (records.length > 0) share.write(records, DAY)
        }
        connect(replicas)
      }
      assert.deepEqual(owner.share.settle(), [])
      for (const entry of owner.share.tree().byPath.values()) assert.equal(entry.heads.length, 1)
      close([...replicas, anew])
    }),
    { numRuns: 60 },
  )
})

test('the order in which updates arrive makes no difference', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 5, maxLength: 40 }),
      fc.infiniteStream(fc.nat(1000)),
      (steps, choices) => {
        const alice = ownerOf(person('Alice'))
        const replicas = [
          alice,
          invited(alice, person('Bob'), 'editor'),
          invited(alice, person('Vera'), 'viewer'),
        ]
        connect(replicas)
        const bob = replicas[1]
        assert.ok(bob)
        const start = {
          identity: bob.identity,
          update: Y.encodeStateAsUpdate(bob.share.doc),
          keys: bob.share.keys,
        }
        const updates: Uint8Array[] = []
        alice.share.doc.on('update', (update: Uint8Array) => updates.push(update))
        const harmless = steps.filter(({ act: kind }) => kind !== 'invite' && kind !== 'reopen')
        for (const one of harmless) forgiving(replicas, one)
        connect([alice, ...replicas])

        const copies = [0, 1].map(() => openShare(start.identity, start.keys, { update: start.update }))
        for (const copy of copies) {
          const left = [...updates]
          while (left.length > 0) {
            const [update] = left.splice((choices.next().value ?? 0) % left.length, 1)
            if (update) Y.applyUpdate(copy.doc, update)
          }
        }
        const [one, two] = copies.map((share) => picture({ identity: start.identity, share }))
        assert.deepEqual(one, two)
        const active = alice.share.membership.members.get(bob.identity.userId)?.status === 'active'
        if (active) assert.deepEqual(one, picture(alice))
        for (const copy of copies) copy.close()
        close(replicas)
      },
    ),
    { numRuns: 40 },
  )
})
