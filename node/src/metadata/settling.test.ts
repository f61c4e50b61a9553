import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Replica } from './replicas.ts'
import { bring, createWorld, knows, note, type Person, until } from './testing.ts'

async function pair(alice: Person, bob: Person): Promise<[Replica, Replica]> {
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  return [hers, await bring(bob, alice, hers)]
}
const nothing = async (): Promise<void> => undefined

test('who waits is told once the others have looked at their folders and have what was found', async () => {
  await using world = await createWorld()
  const [hers, his] = await pair(await world.person('Alice'), await world.person('Bob'))
  let found: ReturnType<typeof note> | undefined
  his.onSettleRequest(async () => {
    // Bob's folder holds something that nobody has noticed yet.
    await new Promise((resolve) => setTimeout(resolve, 20))
    found ??= note(his)
  })
  let looks = 0
  const local = async () => void looks++
  const started = performance.now()
  assert.deepEqual(await hers.settle({ timeout: 5000, local }), { settled: true, waitingFor: [] })
  assert.ok(found && knows(hers, found))
  assert.ok(looks >= 2, 'what Bob wrote makes Alice look again')
  assert.ok(performance.now() - started < 1500)
})

test('a device with work left is waited for, and named when time runs out', async () => {
  await using world = await createWorld()
  const bob = await world.person('Bob')
  const [hers, his] = await pair(await world.person('Alice'), bob)
  his.setPending(3)
  await until(() => hers.peers()[0]?.pending === 3, "Alice sees Bob's work")
  assert.deepEqual(await hers.settle({ timeout: 200, local: nothing }), {
    settled: false,
    waitingFor: [bob.identity.deviceId],
  })
  const waiting = hers.settle({ timeout: 5000, local: nothing })
  setTimeout(() => his.setPending(0), 50)
  assert.equal((await waiting).settled, true)
})

test('both may wait at once', async () => {
  await using world = await createWorld()
  const [hers, his] = await pair(await world.person('Alice'), await world.person('Bob'))
  for (const replica of [hers, his]) replica.onSettleRequest(nothing)
  note(hers)
  note(his)
  const results = await Promise.all(
    [hers, his, hers].map((one) => one.settle({ timeout: 5000, local: nothing })),
  )
  assert.ok(results.every(({ settled }) => settled))
  assert.equal(hers.share.fingerprint, his.share.fingerprint)
})

test('alone, a device is settled when its own work is done; a failing scan is no answer', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  assert.equal((await hers.settle({ timeout: 1000, local: nothing })).settled, true)
  hers.setPending(1)
  assert.deepEqual(await hers.settle({ timeout: 50, local: nothing }), {
    settled: false,
    waitingFor: [alice.identity.deviceId],
  })
  const failing = async () => {
    throw new Error('the folder is gone')
  }
  await assert.rejects(hers.settle({ timeout: 1000, local: failing }), /the folder is gone/)
  const aborted = hers.settle({ timeout: 5000, local: nothing, signal: AbortSignal.timeout(20) })
  await assert.rejects(aborted, { name: 'TimeoutError' })
})

test('an offline member is not waited for', async () => {
  await using world = await createWorld()
  const bob = await world.person('Bob')
  const [hers] = await pair(await world.person('Alice'), bob)
  await bob.stop()
  await until(() => hers.peers().length === 0, 'Bob is gone')
  assert.equal((await hers.settle({ timeout: 2000, local: nothing })).settled, true)
})
