import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import {
  decodeAs,
  type Identity,
  MAX_ENVELOPE_BYTES,
  relayPaths,
  type StoredMessage,
  StoredMessageSchema,
  StoredMessagesSchema,
} from '@cofolder/protocol'
import { WebSocket } from 'ws'
import {
  ask,
  codeOf,
  mailboxToken,
  person,
  protocolsFor,
  scratch,
  temporaryRelay,
  until,
  webSocketUrl,
} from '../fixture.ts'
import { type Relay, startRelay } from '../relay.ts'

const MAX_ANSWER = 1024 * 1024

const send = (relay: Relay, to: Identity, body: Uint8Array) =>
  ask(relay, 'POST', relayPaths.mailbox(to.userId), { body })

async function fetched(relay: Relay, owner: Identity): Promise<StoredMessage[]> {
  const token = mailboxToken(relay, owner)
  const response = await ask(relay, 'GET', relayPaths.mailbox(owner.userId), { token })
  assert.equal(response.status, 200)
  return decodeAs(StoredMessagesSchema, new Uint8Array(await response.arrayBuffer()), MAX_ANSWER)
}

function pushed(relay: Relay, owner: Identity): { socket: WebSocket; messages: StoredMessage[] } {
  const url = webSocketUrl(relay) + relayPaths.mailbox(owner.userId)
  const socket = new WebSocket(url, protocolsFor(mailboxToken(relay, owner)))
  const messages: StoredMessage[] = []
  socket.on('message', (data: Buffer) =>
    messages.push(decodeAs(StoredMessageSchema, new Uint8Array(data), MAX_ENVELOPE_BYTES * 2)),
  )
  return { socket, messages }
}

test('envelopes wait for an offline user, also over a restart, and are pushed to one who is online', async () => {
  await using place = await scratch()
  const bob = person('Bob')
  const bytes = [1, 2, 3].map(() => new Uint8Array(randomBytes(500)))
  let relay = await startRelay({ dataDir: place.path })
  for (const envelope of bytes.slice(0, 2)) {
    const response = await send(relay, bob, envelope)
    assert.equal(response.status, 201)
  }
  assert.equal((await send(relay, bob, bytes[0] ?? new Uint8Array())).status, 201, 'sent again, kept once')
  await relay.close()
  relay = await startRelay({ dataDir: place.path })
  const waiting = await fetched(relay, bob)
  assert.deepEqual(
    waiting.map((message) => message.bytes),
    bytes.slice(0, 2),
  )

  const { socket, messages } = pushed(relay, bob)
  await until('the stored ones come', () => messages.length === 2)
  await send(relay, bob, bytes[2] ?? new Uint8Array())
  await until('a new one comes', () => messages.length === 3)
  assert.deepEqual(
    messages.map((message) => message.bytes),
    bytes,
  )
  const token = mailboxToken(relay, bob)
  for (const { id } of messages) {
    const path = relayPaths.mailboxMessage(bob.userId, id)
    assert.equal((await ask(relay, 'DELETE', path)).status, 401)
    assert.equal((await ask(relay, 'DELETE', path, { token })).status, 204)
    assert.equal((await ask(relay, 'DELETE', path, { token })).status, 404)
  }
  assert.deepEqual(await fetched(relay, bob), [])
  const closed = once(socket, 'close')
  await relay.close()
  assert.equal((await closed)[0], 1001)
})

test("nobody opens another's mailbox", async () => {
  await using relay = await temporaryRelay()
  const [bob, eve] = [person('Bob'), person('Eve')]
  await send(relay, bob, new Uint8Array(randomBytes(100)))
  const path = relayPaths.mailbox(bob.userId)
  assert.equal((await ask(relay, 'GET', path)).status, 401)
  assert.equal((await ask(relay, 'GET', path, { token: 'v1.rubbish.x' })).status, 401)
  const stolen = await ask(relay, 'GET', path, { token: mailboxToken(relay, eve) })
  assert.equal(stolen.status, 403)
  const forOther = await ask(relay, 'GET', path, { token: mailboxToken({ id: bob.deviceId }, bob) })
  assert.equal(forOther.status, 403)
  const socket = new WebSocket(webSocketUrl(relay) + path, protocolsFor(mailboxToken(relay, eve)))
  const [, response] = await once(socket, 'unexpected-response')
  assert.equal(response.statusCode, 403)
  socket.on('error', () => {})
  socket.terminate()
})

test('limits: size, depth, rate, age', async () => {
  let shift = 0
  await using relay = await temporaryRelay({
    limits: { mailboxDepth: 5, envelopesPerMailbox: { burst: 7, perSecond: 0.001 }, mailboxAge: 60_000 },
    clock: () => Date.now() + shift,
  })
  const bob = person('Bob')
  const large = await send(relay, bob, new Uint8Array(MAX_ENVELOPE_BYTES + 1))
  assert.equal(large.status, 413)
  assert.equal(await codeOf(large), 'too-large')
  assert.equal((await send(relay, bob, new Uint8Array())).status, 400)
  const statuses = await Promise.all(
    Array.from({ length: 7 }, async () => (await send(relay, bob, new Uint8Array(randomBytes(10)))).status),
  )
  assert.equal(statuses.filter((status) => status === 201).length, 5)
  assert.ok(statuses.includes(507))
  const often = await send(relay, bob, new Uint8Array(randomBytes(10)))
  assert.equal(often.status, 429)
  assert.ok(Number(often.headers.get('retry-after')) > 0)
  assert.equal(await codeOf(often), 'rate-limited')
  assert.equal((await fetched(relay, bob)).length, 5)
  shift = 61_000
  assert.equal((await fetched(relay, bob)).length, 0, 'they are too old')
  const path = '/v1/mailbox/not-a-user'
  assert.equal((await ask(relay, 'POST', path, { body: new Uint8Array([1]) })).status, 400)
})
