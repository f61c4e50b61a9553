import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type NodeId, ROOT_NODE, type ShareRecord, type ShareTree, versionId } from '@cofolder/protocol'
import * as fc from 'fast-check'
import { type Action, arrange, type Install } from './arrange.ts'
import { type BaseEntry, type BaseTree, sameContent } from './base.ts'
import { type Finding, type Fresh, type LocalTree, NO_DIFFERENCES } from './match.ts'
import { type Policy, plan, type Remote, type Step } from './plan.ts'
import { baseOf, changes, fileOf, grown, nodeId, stampFor, swapped, treeOf } from './testing/trees.ts'

const policy: Policy = { mode: 'two-way', mayWrite: true, executable: true, now: 1000, versionId }
const volume = {
  caseSensitive: true,
  maxNameBytes: 255,
  symlinks: true,
  executable: true,
  windowsNames: false,
  newFileMode: 0o644,
}

const remoteOf = (tree: ShareTree, known: Iterable<string> = []): Remote => {
  const versions = new Set<string>([...known, ...[...tree.byPath.values()].map(({ head }) => head.id)])
  return { tree, knows: (id) => versions.has(id), placedAt: (node) => tree.byNode.get(node)?.placedAt ?? 1 }
}
const versionsOf = (base: BaseTree): string[] => [...base.entries()].map(({ version }) => version)

/** Does an action to the base as it would be done to the folder, and checks that it can be done. */
function carryOut(base: BaseTree, action: Action): void {
  const isFree = (parent: NodeId, local: string, node: NodeId): void => {
    assert.ok(parent === ROOT_NODE || base.get(parent)?.content.kind === 'folder', 'its folder is there')
    assert.ok(base.pathOf(parent), 'its folder can be reached')
    const holder = base.child(parent, local)
    assert.ok(!holder || holder.node === node, `the name ${local} is free`)
  }
  if (action.do === 'park') {
    const old = base.get(action.node) ?? assert.fail('parked what is not there')
    base.set({ ...old, parent: 'parked' })
  } else if (action.do === 'remove' || action.do === 'set-aside') {
    assert.equal(base.children(action.node).size, 0, 'a removed folder is empty')
    base.delete(action.node)
  } else {
    const { entry } = action
    const old = base.get(entry.node)
    const content = entry.head.content.kind === 'deleted' ? assert.fail() : entry.head.content
    const follow = { version: entry.head.id, parents: entry.head.parents, content }
    if (action.do === 'move') {
      const { parent, local } = action.to
      isFree(parent, local, entry.node)
      assert.ok(old, 'moved what is not there')
      base.set({ ...old, parent, local, name: entry.name, placedAt: entry.placedAt })
      assert.ok(base.pathOf(entry.node), 'a folder is never moved into itself')
    } else if (old) base.set({ ...old, ...follow })
    else if ('to' in action) {
      const { parent, local } = action.to
      isFree(parent, local, entry.node)
      const { node, name, placedAt } = entry
      base.set({ node, parent, local, name, placedAt, stamp: { ...stampFor(1), inode: node }, ...follow })
    }
  }
}

/** Agrees and follows until nothing is left to do. Answers what was published and what was lost to view. */
function run(base: BaseTree, first: LocalTree, remote: Remote, policy: Policy) {
  let local = first
  const records: ShareRecord[] = []
  const replaced: BaseEntry[] = []
  for (let round = 0; round < 30; round++) {
    const { agree, left, steps } = plan(base, local, remote, policy)
    for (const agreement of agree) {
      if (agreement.do === 'publish') records.push(...agreement.records)
      const after =
        agreement.do === 'publish' ? agreement.after : 'entry' in agreement ? agreement.entry : undefined
      if (agreement.do === 'rekey') {
        for (const child of base.children(agreement.from).values()) {
          const entry = base.get(child)
          if (entry) base.set({ ...entry, parent: agreement.entry.node })
        }
        base.delete(agreement.from)
      }
      if (after) base.set(after)
      else if ('node' in agreement) base.delete(agreement.node)
    }
    local = left
    if (agree.length > 0) continue
    const todo: (Step | Install)[] = steps.map((step) =>
      step.do === 'fetch' ? { do: 'install', entry: step.entry, temp: '' } : step,
    )
    const { waves, blocked } = arrange(todo, base, volume)
    assert.deepEqual(blocked, [], 'nothing blocks what the share wants')
    for (const action of waves.flat()) {
      const old =
        'node' in action
          ? base.get(action.node)
          : action.do === 'install'
            ? base.get(action.entry.node)
            : undefined
      if (old && action.do !== 'park') replaced.push(old)
      carryOut(base, action)
    }
    if (todo.length === 0) return { records, replaced }
  }
  return assert.fail('never ends')
}

function assertEqualTrees(base: BaseTree, tree: ShareTree): void {
  const here = [...base.entries()].map((entry) => [
    base.pathOf(entry.node)?.join('/'),
    entry.node,
    entry.version,
  ])
  const there = [...tree.byPath.values()].map((entry) => [entry.path, entry.node, entry.head.id])
  const sort = (list: unknown[][]) => list.map(String).sort()
  assert.deepEqual(sort(here), sort(there))
}

test('an untouched placement becomes what the share is, whatever was renamed, swapped, made and deleted', () => {
  fc.assert(
    fc.property(changes(fc, 25), changes(fc, 20), changes(fc, 6), (first, second, swaps) => {
      const start = grown([], first, 1)
      const later = swapped(grown(start, second, 1000), swaps)
      const base = baseOf(start)
      const contents = [...base.entries()]
      const remote = remoteOf(treeOf(later), versionsOf(base))
      const { records, replaced } = run(base, NO_DIFFERENCES, remote, policy)
      assert.deepEqual(records, [], 'who changed nothing says nothing')
      assertEqualTrees(base, remote.tree)
      for (const { node, content } of contents) {
        const stays = base.get(node)
        const hasHeir = [...base.entries()].some((entry) => sameContent(entry.content, content))
        const isKept = stays && sameContent(stays.content, content)
        assert.ok(
          isKept || hasHeir || replaced.some((one) => one.node === node),
          'what goes is replaced or removed knowingly',
        )
      }
    }),
    { numRuns: 300 },
  )
})

test('what was changed here is said once, and then there is nothing left to say', () => {
  fc.assert(
    fc.property(changes(fc, 25), changes(fc, 15), fc.boolean(), (first, second, mayWrite) => {
      const start = grown([], first, 1)
      const later = grown(start, second, 1000)
      const base = baseOf(start)
      const remote = remoteOf(treeOf(start), versionsOf(base))
      const { agree, left, steps } = plan(base, differences(base, treeOf(later)), remote, {
        ...policy,
        mayWrite,
      })
      const told = new Set(agree.flatMap((one) => (one.do === 'publish' ? one.node : [])))
      if (!mayWrite) assert.equal(told.size, 0, 'a viewer says nothing')
      else {
        assert.deepEqual([...left.known, ...left.fresh], [])
        assert.deepEqual(steps, [], 'nothing comes back from a share that did not change')
        const expected = differingNodes(treeOf(start), treeOf(later))
        assert.deepEqual([...told].sort(), [...expected].sort())
      }
    }),
    { numRuns: 300 },
  )
})

/** What a look at a folder that holds `tree` would tell. */
function differences(base: BaseTree, tree: ShareTree): LocalTree {
  const known = new Map<NodeId, Finding>()
  const fresh: Fresh[] = []
  for (const { node } of base.entries()) if (!tree.byNode.has(node)) known.set(node, { state: 'missing' })
  const sorted = [...tree.byPath.values()].sort((a, b) => a.path.split('/').length - b.path.split('/').length)
  for (const { node, parent, name: local, path, head } of sorted) {
    const entry = base.get(node)
    const content = head.content.kind === 'deleted' ? assert.fail() : head.content
    const seen = { parent, local, path, stamp: { ...stampFor(2), inode: node }, content }
    if (!entry) fresh.push({ node, ...seen })
    else if (entry.parent !== parent || entry.local !== local || !sameContent(content, entry.content))
      known.set(node, { state: 'present', ...seen })
  }
  return { known, fresh }
}

function differingNodes(before: ShareTree, after: ShareTree): Set<NodeId> {
  const nodes = new Set<NodeId>()
  for (const { node } of before.byPath.values()) if (!after.byNode.has(node)) nodes.add(node)
  for (const entry of after.byPath.values()) {
    const old = before.byNode.get(entry.node)
    const same = old && old.parent === entry.parent && old.name === entry.name
    if (!same || !sameContent(old.head.content, entry.head.content)) nodes.add(entry.node)
  }
  return nodes
}

test('any local and any remote change together: always a plan, and nothing of the local side is dropped', () => {
  fc.assert(
    fc.property(changes(fc, 20), changes(fc, 12), changes(fc, 12), (first, mine, theirs) => {
      const start = grown([], first, 1)
      const base = baseOf(start)
      const here = treeOf(grown(start, mine, 1000))
      const remote = remoteOf(treeOf(grown(start, theirs, 2000)), versionsOf(base))
      const { agree, steps } = plan(base, differences(base, here), remote, policy)
      const published = agree.flatMap((one) => (one.do === 'publish' ? one.records : []))
      for (const entry of here.byPath.values()) {
        const before = base.get(entry.node)
        const { content } = entry.head
        if (before && sameContent(before.content, content)) continue
        const isTold = published.some(
          (record) => record.type === 'version' && sameContent(record.content, content),
        )
        const isThere = [...remote.tree.byPath.values()].some(({ head }) =>
          sameContent(head.content, content),
        )
        assert.ok(isTold || isThere, `what was written at ${entry.path} is told`)
        const touched = steps.some((step) => step.do === 'remove' && step.node === entry.node)
        assert.ok(!touched, 'what was just changed here is not removed')
      }
    }),
    { numRuns: 300 },
  )
})

test('a delete of what somebody else has changed meanwhile brings the other version', () => {
  const twig = { node: nodeId(1), parent: -1, name: 'a', content: fileOf(1), dead: false }
  const base = baseOf([twig])
  const remote = remoteOf(treeOf([{ ...twig, content: fileOf(2) }]), versionsOf(base))
  const local = { known: new Map([[twig.node, { state: 'missing' } as const]]), fresh: [] }
  const { agree } = plan(base, local, remote, policy)
  assert.deepEqual(agree, [{ do: 'forget', node: twig.node }])
})

test('nothing is done to what could not be read', () => {
  const twig = { node: nodeId(1), parent: -1, name: 'a', content: fileOf(1), dead: false }
  const base = baseOf([twig])
  const local = { known: new Map([[twig.node, { state: 'busy' } as const]]), fresh: [] }
  for (const theirs of [
    { ...twig, content: fileOf(2) },
    { ...twig, name: 'b' },
    { ...twig, dead: true },
  ]) {
    const { agree, steps, left } = plan(base, local, remoteOf(treeOf([theirs]), versionsOf(base)), policy)
    assert.deepEqual([agree, steps], [[], []])
    assert.deepEqual(left, local)
  }
})

test('a share that lost what was written is told again, and nothing is removed', () => {
  const twig = { node: nodeId(1), parent: -1, name: 'a', content: fileOf(1), dead: false }
  const base = baseOf([twig])
  const empty: Remote = { tree: treeOf([]), knows: () => false, placedAt: () => 0 }
  const { agree, steps } = plan(base, NO_DIFFERENCES, empty, policy)
  assert.deepEqual(steps, [])
  assert.deepEqual(
    agree.flatMap((one) => (one.do === 'publish' ? one.records.map(({ type }) => type) : [])),
    ['place', 'version'],
  )
  const viewer = plan(base, NO_DIFFERENCES, empty, { ...policy, mayWrite: false })
  assert.deepEqual([viewer.agree, viewer.steps], [[], []])
})

test('ten thousand nodes are planned quickly', () => {
  const twigs = Array.from({ length: 10_000 }, (_, i) => {
    const folder = i < 100
    const content = folder ? ({ kind: 'folder' } as const) : fileOf(i)
    return { node: nodeId(i), parent: folder ? -1 : i % 100, name: `n${i}`, content, dead: false }
  })
  const base = baseOf(twigs)
  const remote = remoteOf(treeOf(twigs))
  plan(base, NO_DIFFERENCES, remote, policy)
  const start = performance.now()
  const { agree, steps } = plan(base, NO_DIFFERENCES, remote, policy)
  const time = performance.now() - start
  assert.deepEqual([agree, steps], [[], []])
  assert.ok(time < 100, `${time} ms`)
})
