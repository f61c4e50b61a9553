import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLinkStatement, crypto, inviteIdOf, relayPaths } from '@cofolder/protocol'
import { ask, temporaryRelay } from '../fixture.ts'

test('a link is put, read by anybody, renewed and withdrawn; old statements do not come back', async () => {
  await using relay = await temporaryRelay()
  const seed = crypto.randomBytes(32)
  const path = relayPaths.link(inviteIdOf(crypto.ed25519PublicKey(seed)))
  const at = Date.now()
  const put = (body: Uint8Array) => ask(relay, 'PUT', path, { body })
  const blob = async (): Promise<number[]> => [
    ...new Uint8Array(await (await ask(relay, 'GET', path)).arrayBuffer()),
  ]

  assert.equal((await ask(relay, 'GET', path)).status, 404)
  const first = createLinkStatement(seed, at, new Uint8Array([1]))
  assert.equal((await put(first)).status, 204)
  assert.deepEqual(await blob(), [1])
  const second = createLinkStatement(seed, at + 1, new Uint8Array([2]))
  assert.equal((await put(second)).status, 204)
  assert.equal((await put(second)).status, 204, 'the same again')
  assert.equal((await put(first)).status, 409, 'an old one')
  assert.deepEqual(await blob(), [2])

  const gone = createLinkStatement(seed, at + 2)
  assert.equal((await put(gone)).status, 400, 'a withdrawal is no put')
  assert.equal((await ask(relay, 'DELETE', path, { body: second })).status, 400)
  assert.equal((await ask(relay, 'DELETE', path, { body: gone })).status, 204)
  assert.equal((await ask(relay, 'GET', path)).status, 404)
  for (const old of [first, second]) assert.equal((await put(old)).status, 409)
  assert.equal((await put(createLinkStatement(seed, at + 3, new Uint8Array([3])))).status, 204)
  assert.deepEqual(await blob(), [3])
})

test('only the link’s own key speaks for it', async () => {
  await using relay = await temporaryRelay({ limits: { links: { burst: 8, perSecond: 0.01 } } })
  const seed = crypto.randomBytes(32)
  const path = relayPaths.link(inviteIdOf(crypto.ed25519PublicKey(seed)))
  const put = async (body: Uint8Array) => (await ask(relay, 'PUT', path, { body })).status
  const good = createLinkStatement(seed, Date.now(), new Uint8Array([1]))
  assert.equal(await put(createLinkStatement(crypto.randomBytes(32), Date.now(), new Uint8Array([1]))), 403)
  assert.equal(await put(good.map((byte, i) => (i === 30 ? byte ^ 1 : byte))), 403)
  assert.equal(await put(crypto.randomBytes(100)), 400)
  assert.equal(await put(new Uint8Array()), 400)
  assert.equal(await put(new Uint8Array(270_000)), 413)
  assert.equal(await put(createLinkStatement(seed, Date.now() + 86_400_000, new Uint8Array([1]))), 400)
  assert.equal((await ask(relay, 'GET', path)).status, 404)
  assert.equal((await ask(relay, 'GET', '/v1/links/..%2f..')).status, 400)
  for (let i = 0; i < 8; i++) await put(good)
  assert.equal(await put(good), 429)
})
