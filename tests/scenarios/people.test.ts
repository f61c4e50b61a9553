import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { couple, must } from '../couple.ts'
import { startDaemon } from '../daemon.ts'
import { contents, scratch, until } from '../folders.ts'

interface Version {
  version: string
  kind: string
  current: boolean
}

test('old versions and deleted files are listed and come back, for both', async () => {
  await using pair = await couple()
  const file = join(pair.a, 'letter.txt')
  await writeFile(file, 'first')
  await pair.settled()
  await writeFile(join(pair.b, 'letter.txt'), 'second, by Bob')
  await pair.settled()
  assert.equal(readFileSync(file, 'utf8'), 'second, by Bob')

  const path = `${pair.share}/letter.txt`
  const versions = await pair.alice.json<Version[]>('history', path)
  assert.deepEqual(
    versions.map(({ kind, current }) => [kind, current]),
    [
      ['file', true],
      ['file', false],
    ],
  )
  await must(pair.alice, 'restore', path, versions[1]?.version ?? '')
  await pair.settled()
  assert.equal(readFileSync(join(pair.b, 'letter.txt'), 'utf8'), 'first')

  await rm(file)
  await pair.settled()
  assert.equal(existsSync(join(pair.b, 'letter.txt')), false)
  const after = await pair.bob.json<Version[]>('history', path)
  assert.equal(after[0]?.kind, 'deleted')
  const second = versions[0]?.version ?? ''
  await must(pair.bob, 'restore', path, second)
  await pair.settled()
  assert.equal(readFileSync(file, 'utf8'), 'second, by Bob')

  const { code, stderr } = await pair.alice.cli('restore', path, 'nonsense')
  assert.equal(code, 1)
  assert.match(stderr, /has no version nonsense/)
})

test('decline, leave and unshare: each is told, everybody keeps his files', async () => {
  await using place = await scratch()
  const at = (...parts: string[]): string => join(place.path, ...parts)
  await using alice = await startDaemon({ home: at('alice'), name: 'Alice' })
  await using bob = await startDaemon({ home: at('bob'), name: 'Bob' })
  for (const [index, name] of ['one', 'two', 'three'].entries()) {
    await mkdir(at(name))
    await writeFile(at(name, 'file'), `${index}`)
  }
  const { card } = await bob.json<{ card: string }>('card')
  await must(alice, 'contact', 'add', card, '--name', 'Bobby')
  assert.deepEqual(
    (await alice.json<{ name: string }[]>('contact', 'list')).map(({ name }) => name),
    ['Bobby'],
  )
  for (const name of ['one', 'two', 'three']) await must(alice, 'share', at(name), '--with', 'Bobby')
  const invites = (): Promise<{ id: string; name: string }[]> => bob.json('invites')
  await until('three invites', async () => (await invites()).length === 3)

  await must(bob, 'decline', 'one')
  await must(bob, 'accept', 'two', '--to', at('bob-two'))
  await must(bob, 'accept', 'three', '--to', at('bob-three'))
  await must(bob, 'wait', '--timeout', '60')
  const told = async (type: string): Promise<boolean> =>
    (await alice.json<{ type: string }[]>('events')).some((event) => event.type === type)
  await until('Alice is told of the decline', () => told('declined'))
  await until('Alice is told of the acceptance', () => told('accepted'))

  await must(bob, 'leave', 'two')
  await until('Alice is told that Bob left', () => told('left'))
  assert.equal(readFileSync(at('bob-two', 'file'), 'utf8'), '1')
  await must(alice, 'unshare', 'three')
  await writeFile(at('three', 'file'), 'changed after the end')
  await until('Bob is told', async () =>
    (await bob.json<{ type: string }[]>('events')).some((event) => event.type === 'revoked'),
  )
  assert.equal(readFileSync(at('bob-three', 'file'), 'utf8'), '2')
  assert.deepEqual([...contents(at('bob-three')).keys()], ['file'])
  assert.deepEqual(await invites(), [])
})

test('wrong input gets one clear line and changes nothing; down leaves nothing', async () => {
  await using place = await scratch()
  const at = (...parts: string[]): string => join(place.path, ...parts)
  const alice = await startDaemon({ home: at('alice'), name: 'Alice' })
  try {
    for (const [args, code, message] of [
      [['share', at('nowhere')], 1, /is not there/],
      [['share', '/'], 1, /whole disk/],
      [['share', at('alice')], 1, /own folder/],
      [['accept', 'http://127.0.0.1:1/s/AAAAAAAAAAAAAAAAAAAAAA#x', '--to', at('x')], 1, /altered or cut off/],
      [['accept', 'nobody', '--to', at('x')], 1, /no invite/],
      [['members', 'nothing'], 1, /no share/],
      [['contact', 'add', 'rubbish'], 1, /not a contact card/],
      [['share', at('x'), '--role', 'king'], 2, /choices/i],
      [['nonsense'], 2, /unknown command/],
      [['wait', '--timeout', 'soon'], 2, /seconds/],
    ] as const) {
      const result = await alice.cli(...args)
      assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`)
      assert.match(result.stderr, message)
      assert.equal(result.stdout, '')
    }
    assert.equal(existsSync(at('x')), false)
    assert.deepEqual(await alice.json('shares'), [])
    for (const secret of ['identity', 'api-token'])
      assert.equal(statSync(at('alice', secret)).mode & 0o777, 0o600, secret)
    assert.equal(statSync(at('alice')).mode & 0o777, 0o700)
    const twin = await alice.cli('up', '--no-open', '--port', '0')
    assert.equal(twin.code, 1)
    assert.match(twin.stderr, /already running/)
  } finally {
    await alice.down()
  }
  assert.throws(() => process.kill(alice.pid, 0), 'the process is gone')
  assert.equal(existsSync(at('alice', 'daemon.json')), false)
  const again = await startDaemon({ home: at('alice'), name: 'Alice' })
  await again.down()
})
