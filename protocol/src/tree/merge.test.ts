import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type DeviceId, type NodeId, ROOT_NODE, type VersionId } from '../ids.ts'
import { type Content, isShareName, type NodeKind } from '../records/record.ts'
import type { AuthoredPlace, FactsChange, NodeFacts } from './facts.ts'
import { type MergedTree, mergeTree } from './merge.ts'
import { patchTree } from './patch.ts'
import type { AuthoredVersion } from './tree.ts'

const NODES = 14
const node = (i: number): NodeId => (i === 0 ? ROOT_NODE : (`node${String(i).padStart(17, '0')}A` as NodeId))
const CONTENT: Record<NodeKind, Content> = {
  folder: { kind: 'folder' },
  symlink: { kind: 'symlink', target: 'x' },
  file: { kind: 'file', size: 0, mtime: 0, executable: false, sha256: new Uint8Array(32), segments: [] },
}
const device = (i: number): DeviceId => `device ${i}` as DeviceId
const personOf = (id: DeviceId): string => `Person of ${id}/`

interface Spec {
  readonly node: number
  readonly parent: number
  readonly name: string
  readonly at: number
  readonly kind: NodeKind
  readonly alive: boolean
  readonly author: number
}

/** Few names, times and parents, so that everything that can collide does. */
const spec: fc.Arbitrary<Spec> = fc.record({
  node: fc.integer({ min: 1, max: NODES }),
  parent: fc.integer({ min: 0, max: NODES + 1 }),
  name: fc.constantFrom(
    'a',
    'b.txt',
    'a (conflict-Person of device 0-1970-01-01)',
    '.hidden',
    'c'.repeat(300),
  ),
  at: fc.integer({ min: 0, max: 5 }),
  kind: fc.constantFrom<NodeKind>('folder', 'folder', 'file', 'symlink'),
  alive: fc.boolean(),
  author: fc.integer({ min: 0, max: 1 }),
})
const specs = fc.uniqueArray(spec, { selector: (one) => one.node, maxLength: NODES })

function factsOf(one: Spec): NodeFacts {
  const author = device(one.author)
  const id = node(one.node)
  const { at, kind, name, alive } = one
  const head: AuthoredVersion = {
    ...{ type: 'version', id: `version of ${id}` as VersionId, node: id, parents: [], author, at },
    content: CONTENT[kind],
  }
  const place: AuthoredPlace = { type: 'place', node: id, parent: node(one.parent), name, at, kind, author }
  return { node: id, place, alive, head, heads: [head] }
}

const merged = (list: readonly Spec[]): MergedTree => mergeTree(list.map(factsOf), personOf)
const sorted = ({ tree }: MergedTree): unknown => ({
  byPath: [...tree.byPath]
    .map(([path, { aliases, ...entry }]) => [path, { ...entry, aliases: aliases.toSorted() }])
    .sort(),
  byNode: [...tree.byNode].map(([id, entry]) => [id, entry.path]).sort(),
})

test('any facts give one tree: each live node found once, unique names that a share allows, no cycle', () => {
  fc.assert(
    fc.property(specs, (list) => {
      const { tree } = merged(list)
      const shown = [...tree.byPath.values()].flatMap((entry) => [entry.node, ...entry.aliases])
      assert.equal(new Set(shown).size, shown.length)
      assert.deepEqual([...tree.byNode.keys()].sort(), shown.toSorted())
      for (const one of list) {
        if (one.alive) assert.ok(tree.byNode.has(node(one.node)), 'a live node is not to be seen')
      }
      for (const [path, entry] of tree.byPath) {
        assert.equal(entry.path, path)
        assert.ok(isShareName(entry.name), entry.name)
        const parent = entry.parent === ROOT_NODE ? undefined : tree.byNode.get(entry.parent)
        assert.equal(path, parent ? `${parent.path}/${entry.name}` : entry.name)
        if (entry.parent !== ROOT_NODE) {
          assert.equal(parent?.kind, 'folder')
          assert.equal(parent?.node, entry.parent)
        }
        // What is dead is only there to hold what is not.
        const alive = list.some((one) => one.alive && [entry.node, ...entry.aliases].includes(node(one.node)))
        const holds = [...tree.byPath.values()].some((other) => other.parent === entry.node)
        assert.ok(alive || holds)
      }
    }),
    { numRuns: 1000 },
  )
})

test('the order in which facts come makes no difference', () => {
  fc.assert(
    fc.property(
      specs.chain((list) =>
        fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
      ),
      ([a, b]) => {
        assert.deepEqual(sorted(merged(b)), sorted(merged(a)))
      },
    ),
    { numRuns: 500 },
  )
})

test('a tree brought up to date step by step is the one made at once', () => {
  fc.assert(
    fc.property(specs, fc.array(fc.array(spec, { maxLength: 3 }), { maxLength: 12 }), (list, steps) => {
      const facts = new Map(list.map((one) => [one.node, factsOf(one)]))
      let last = mergeTree([...facts.values()], personOf)
      for (const step of steps) {
        const changes = new Map<number, FactsChange>()
        for (const one of step) {
          const before = changes.get(one.node)?.before ?? facts.get(one.node)
          const after = factsOf(one)
          changes.set(one.node, { before, after })
          facts.set(one.node, after)
        }
        const snapshot = sorted(last)
        const old = last
        last =
          patchTree(last, [...changes.values()], personOf) ?? mergeTree([...facts.values()], personOf, last)
        const atOnce = mergeTree([...facts.values()], personOf)
        assert.deepEqual(sorted(last), sorted(atOnce))
        assert.equal(last.tree.byPath.size, [...last.tree.byPath.keys()].length)
        assert.deepEqual(
          new Set(last.collisions.map((nodes) => nodes.map((one) => one.node).join())),
          new Set(atOnce.collisions.map((nodes) => nodes.map((one) => one.node).join())),
        )
        assert.deepEqual(sorted(old), snapshot, 'an earlier tree changed')
      }
    }),
    { numRuns: 1000 },
  )
})

const base = { parent: 0, at: 1, alive: true, author: 0, kind: 'file' } as const
const pathsOf = (list: readonly Spec[]) => [...merged(list).tree.byPath.keys()].sort()

test('of one name the older place holds it, the others get the name of who placed them', () => {
  assert.deepEqual(
    pathsOf([
      { ...base, node: 1, name: 'a.txt', at: 86_400_000 },
      { ...base, node: 2, name: 'a.txt' },
      { ...base, node: 3, name: 'a.txt', at: 86_400_000, author: 1 },
      { ...base, node: 4, name: 'a.txt', at: 86_400_000 },
    ]),
    [
      'a (conflict-Person of device 0-1970-01-02 2).txt',
      'a (conflict-Person of device 0-1970-01-02).txt',
      'a (conflict-Person of device 1-1970-01-02).txt',
      'a.txt',
    ],
  )
})

test('folders of one name are shown as one, the older; a file of that name steps aside', () => {
  const { tree } = merged([
    { ...base, node: 1, name: 'x', kind: 'folder', at: 2 },
    { ...base, node: 2, name: 'x', kind: 'folder', at: 1 },
    { ...base, node: 3, name: 'x', at: 3 },
    { ...base, node: 4, name: 'in the newer', parent: 1 },
    { ...base, node: 5, name: 'in the older', parent: 2 },
  ])
  assert.deepEqual([...tree.byPath.keys()].sort(), [
    'x',
    'x (conflict-Person of device 0-1970-01-01)',
    'x/in the newer',
    'x/in the older',
  ])
  assert.deepEqual(tree.byPath.get('x')?.aliases, [node(1)])
  assert.equal(tree.byNode.get(node(1)), tree.byNode.get(node(2)))
  assert.equal(tree.byPath.get('x/in the newer')?.parent, node(2))
})

test('what was moved into a deleted folder keeps it in sight, and an unknown parent is the root', () => {
  assert.deepEqual(
    pathsOf([
      { ...base, node: 1, name: 'gone', kind: 'folder', alive: false },
      { ...base, node: 2, name: 'inner', kind: 'folder', parent: 1, alive: false },
      { ...base, node: 3, name: 'file', parent: 2 },
      { ...base, node: 4, name: 'empty and gone', kind: 'folder', alive: false },
      { ...base, node: 5, name: 'stray', parent: 9 },
      { ...base, node: 6, name: 'below a file', parent: 5 },
    ]),
    ['below a file', 'gone', 'gone/inner', 'gone/inner/file', 'stray'],
  )
})

test('the newest place of a cycle falls back to the root', () => {
  assert.deepEqual(
    pathsOf([
      { ...base, node: 1, name: 'a', kind: 'folder', parent: 3, at: 1 },
      { ...base, node: 2, name: 'b', kind: 'folder', parent: 1, at: 3 },
      { ...base, node: 3, name: 'c', kind: 'folder', parent: 2, at: 2 },
      { ...base, node: 4, name: 'self', kind: 'folder', parent: 4 },
    ]),
    ['b', 'b/c', 'b/c/a', 'self'],
  )
})

test('depth is bounded, and nothing is lost by it', () => {
  const count = 1500
  const list = Array.from({ length: count }, (_, i) => {
    const id = (n: number) => (n === 0 ? ROOT_NODE : (`deep${String(n).padStart(17, '0')}A` as NodeId))
    const one = factsOf({ ...base, node: 1, name: 'd', kind: 'folder', at: i })
    return { ...one, node: id(i + 1), place: { ...one.place, node: id(i + 1), parent: id(i) } }
  })
  const { tree } = mergeTree(list, personOf)
  assert.equal(tree.byNode.size, count)
  const depth = Math.max(...[...tree.byPath.keys()].map((path) => path.split('/').length))
  assert.ok(depth <= 512, String(depth))
})
