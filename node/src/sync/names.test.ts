import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isShareName } from '@cofolder/protocol'
import * as fc from 'fast-check'
import type { Capabilities } from './file-system.ts'
import { asideName, localName, otherLocalName, shareName, slotOf } from './names.ts'

const linux: Capabilities = {
  caseSensitive: true,
  maxNameBytes: 255,
  symlinks: true,
  executable: true,
  windowsNames: false,
  newFileMode: 0o644,
}
const windows: Capabilities = { ...linux, caseSensitive: false, executable: false, windowsNames: true }

const anyName = fc
  .string({ unit: 'grapheme', maxLength: 200 })
  .map(shareName)
  .filter((name) => name !== undefined)

test('a name that fits is kept as it is', () => {
  for (const name of ['a', 'CON', 'a:b', 'trailing ', 'x'.repeat(255)])
    assert.equal(localName(name, linux), name)
  assert.equal(localName('a', windows), 'a')
})

test('every share name has a local name that the volume takes, always the same', () => {
  fc.assert(
    fc.property(anyName, fc.boolean(), (name, isRoot) => {
      for (const volume of [linux, windows]) {
        const local = localName(name, volume, isRoot)
        assert.equal(localName(name, volume, isRoot), local)
        assert.ok(Buffer.byteLength(local) <= 255 && local !== '' && local !== '.' && local !== '..')
        assert.ok(!local.includes('/') && !local.includes('\0'))
        if (volume.windowsNames) assert.doesNotMatch(local, /[<>:"\\|?*]|[. ]$|^(con|nul|com1)(\.|$)/i)
        assert.notEqual(slotOf(otherLocalName(name, 'n', volume), volume), slotOf(local, volume))
      }
    }),
  )
})

test('names that a volume cannot hold get others, each its own', () => {
  const names = [
    'a:b',
    'a*b',
    'a?b',
    'con',
    'con.txt',
    'dot.',
    'space ',
    'é'.repeat(200),
    `${'é'.repeat(200)}.txt`,
  ]
  const locals = names.map((name) => localName(name, windows))
  assert.equal(new Set(locals.map((local) => slotOf(local, windows))).size, names.length)
  assert.match(localName('report:1.txt', windows), /^report_1~[0-9a-f]{8}\.txt$/)
  assert.match(localName('x'.repeat(300), linux), /^x{246}~[0-9a-f]{8}$/)
  assert.match(localName('.cofolder.tmp', linux, true), /~/)
  assert.equal(localName('.cofolder.tmp', linux), '.cofolder.tmp')
})

test('local names become share names in one form, or none', () => {
  assert.equal(shareName('é'), 'é')
  assert.equal(shareName('\ud800'), undefined)
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const name = shareName(text)
      assert.ok(name === undefined || isShareName(name))
    }),
  )
})

test('what is set aside says whose it is and when', () => {
  const at = Date.UTC(2024, 1, 29)
  const options = { person: 'Bob/:*', at, attempt: 1, maxNameBytes: 255 }
  assert.equal(asideName('a.txt', options), 'a (conflict-Bob-2024-02-29).txt')
  assert.equal(asideName('a.txt', { ...options, attempt: 2 }), 'a (conflict-Bob-2024-02-29 2).txt')
  assert.equal(Buffer.byteLength(asideName('é'.repeat(127), options)), 255 - 1)
})
