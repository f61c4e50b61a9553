import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { DeviceId, NodeId, VersionId } from '../ids.ts'
import type { Content } from '../records/record.ts'
import type { AuthoredVersion } from '../tree/tree.ts'
import { oldestFirst, resolveHeads } from './graph.ts'

const version = (
  id: string,
  parents: string[],
  content: Content = { kind: 'folder' },
  at = 0,
): AuthoredVersion => ({
  ...{ type: 'version', id: id as VersionId, node: 'n' as NodeId, content, at, author: 'd' as DeviceId },
  parents: parents.map((parent) => parent as VersionId),
})
const gone = (place: number): Content => ({ kind: 'deleted', place })
const file = (mtime: number): Content => ({
  ...{ kind: 'file', size: 0, mtime, executable: false, sha256: new Uint8Array(32), segments: [] },
})
const told = (versions: readonly AuthoredVersion[], placedAt = 0) => {
  const found = resolveHeads(versions, placedAt)
  return found && { alive: found.alive, heads: found.heads.map(({ id }) => id) }
}

test('the newest of several heads comes first', () => {
  const history = [version('a', [], file(1)), version('b', ['a'], file(2)), version('c', ['a'], file(3))]
  assert.deepEqual(told(history), { alive: true, heads: ['c', 'b'] })
})

test('a tombstone yields to a live head and to a newer place, and otherwise holds', () => {
  const history = [version('a', [], file(1)), version('t', ['a'], gone(5))]
  assert.deepEqual(told(history, 5), { alive: false, heads: ['a'] })
  assert.deepEqual(told(history, 6), { alive: true, heads: ['a'] })
  assert.deepEqual(told([...history, version('b', ['a'], file(2))], 5), { alive: true, heads: ['b'] })
  assert.deepEqual(told([...history, version('u', ['a'], gone(6))], 6), { alive: false, heads: ['a'] })
  // One tombstone upon another, and on something already replaced.
  assert.deepEqual(told([...history, version('v', ['t'], gone(5))], 6), { alive: true, heads: ['a'] })
  const later = [...history, version('b', ['a'], file(2)), version('w', ['b'], gone(5))]
  assert.deepEqual(told(later, 6), { alive: true, heads: ['b'] })
})

test('nothing but tombstones is nothing', () => {
  assert.equal(told([]), undefined)
  assert.equal(told([version('t', ['missing'], gone(1))], 9), undefined)
})

test('history lists every version once, after those it builds on', () => {
  const graph = fc
    .array(fc.tuple(fc.array(fc.nat(20), { maxLength: 3 }), fc.nat(3)), { minLength: 1, maxLength: 20 })
    .map((list) =>
      list.map(([parents, at], i) => {
        const earlier = i === 0 ? [] : [...new Set(parents.map((parent) => `v${parent % i}`))]
        return version(`v${i}`, [...earlier, 'missing'], { kind: 'folder' }, at)
      }),
    )
  fc.assert(
    fc.property(graph, (versions) => {
      const sorted = oldestFirst(versions)
      assert.equal(new Set(sorted).size, versions.length)
      for (const [position, { parents }] of sorted.entries()) {
        for (const parent of parents) assert.ok(sorted.findIndex(({ id }) => id === parent) < position)
      }
    }),
  )
})
