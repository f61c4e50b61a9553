import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import {
  decodeAs,
  relayPaths,
  StoredMessagesSchema,
  submissionMessage,
  updateMessage,
} from '@cofolder/protocol'
import { WebSocket } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import {
  ask,
  codeOf,
  createTestShare,
  documentsUrl,
  protocolsFor,
  publish,
  scratch,
  type TestShare,
  temporaryRelay,
  until,
} from '../fixture.ts'
import { type Relay, startRelay } from '../relay.ts'
import { createMemoryStorage } from '../storage/memory.ts'

interface Client extends Disposable {
  readonly doc: Y.Doc
  readonly provider: WebsocketProvider
  readonly map: Y.Map<unknown>
}

/** A stock y-websocket client. */
function client(relay: Relay, share: TestShare, token: string, doc = new Y.Doc()): Client {
  const provider = new WebsocketProvider(documentsUrl(relay), share.id, doc, {
    protocols: protocolsFor(token),
    disableBc: true,
  })
  return {
    doc,
    provider,
    map: doc.getMap('batches'),
    [Symbol.dispose]() {
      provider.destroy()
      provider.awareness.destroy()
    },
  }
}
const synced = ({ provider }: Client) => until('the client is synced', () => provider.synced)

/** Opens a raw connection; the status when it is refused. */
async function raw(relay: Relay, share: TestShare, token?: string): Promise<WebSocket | number> {
  const socket = new WebSocket(
    `${documentsUrl(relay)}/${share.id}`,
    token === undefined ? [] : protocolsFor(token),
  )
  return new Promise((resolve, reject) => {
    socket.on('open', () => resolve(socket))
    socket.on('unexpected-response', (request, response) => {
      request.destroy()
      resolve(response.statusCode ?? 0)
    })
    socket.on('error', reject)
  })
}
async function opened(relay: Relay, share: TestShare, token: string): Promise<WebSocket> {
  const socket = await raw(relay, share, token)
  assert.ok(typeof socket === 'object', `refused with ${String(socket)}`)
  return socket
}
async function storedIn(relay: Relay, share: TestShare): Promise<Y.Map<unknown>> {
  using reader = client(relay, share, share.token(relay, 'read'))
  await synced(reader)
  return reader.map
}

test('two stock clients sync through the relay, also after it was restarted', async () => {
  await using place = await scratch()
  const share = createTestShare()
  let relay = await startRelay({ dataDir: place.path })
  const { id } = relay
  await publish(relay, share)
  const docs = [new Y.Doc(), new Y.Doc()] as const
  {
    using a = client(relay, share, share.token(relay), docs[0])
    using b = client(relay, share, share.token(relay), docs[1])
    a.map.set('from a', new Uint8Array([1]))
    await until('b has it', () => b.map.has('from a'))
    b.map.set('from b', new Uint8Array([2]))
    await until('a has it', () => a.map.has('from b'))
    a.provider.awareness.setLocalStateField('p', 'here')
    await until('b sees a', () => b.provider.awareness.getStates().get(a.doc.clientID)?.p === 'here')
  }
  docs[0].getMap('batches').set('offline', new Uint8Array([3]))
  await relay.close()

  relay = await startRelay({ dataDir: place.path })
  assert.equal(relay.id, id, 'it is the same relay')
  {
    using a = client(relay, share, share.token(relay), docs[0])
    await synced(a)
    using b = client(relay, share, share.token(relay), docs[1])
    await until('b has what a wrote offline', () => b.map.has('offline'))
    using fresh = client(relay, share, share.token(relay, 'read'))
    await until('a newcomer has all', () => fresh.map.size === 3)
  }
  await relay.close()
})

test('presence of a connection that leaves is cleared for the others', async () => {
  await using relay = await temporaryRelay()
  const share = createTestShare()
  await publish(relay, share)
  using a = client(relay, share, share.token(relay))
  {
    using b = client(relay, share, share.token(relay))
    b.provider.awareness.setLocalStateField('p', 'b')
    await until('a sees b', () => a.provider.awareness.getStates().has(b.doc.clientID))
    using late = client(relay, share, share.token(relay, 'read'))
    await until('a newcomer sees b', () => late.provider.awareness.getStates().get(b.doc.clientID)?.p === 'b')
    b.provider.ws?.close()
    b.provider.shouldConnect = false
    await until('b is gone', () => !a.provider.awareness.getStates().has(b.doc.clientID))
  }
})

test('no token, an old one, one for another document, right or relay: refused at the door', async () => {
  await using relay = await temporaryRelay()
  const share = createTestShare()
  const other = createTestShare()
  await publish(relay, share)
  await publish(relay, other)
  assert.equal(await raw(relay, share), 401)
  assert.equal(await raw(relay, share, 'rubbish'), 401)
  assert.equal(await raw(relay, share, share.token(relay, 'write', { expires: Date.now() - 3_600_000 })), 401)
  assert.equal(await raw(relay, share, other.token(relay)), 403)
  assert.equal(await raw(relay, share, share.token({ id: share.device })), 403)
  assert.equal(await raw(relay, share, share.token(relay, 'write', { epoch: 1 })), 403)
  const unknown = createTestShare()
  assert.equal(await raw(relay, unknown, unknown.token(relay)), 404)
})

test('a token that may only read changes nothing and is cut off', async () => {
  const grace = 300
  await using relay = await temporaryRelay({ limits: { readerGrace: grace } })
  const share = createTestShare()
  await publish(relay, share)
  using writer = client(relay, share, share.token(relay))
  await synced(writer)
  writer.map.set('good', new Uint8Array([1]))
  await until('it is stored', async () => (await storedIn(relay, share)).has('good'))

  using reader = client(relay, share, share.token(relay, 'read'))
  await until('the reader reads', () => reader.map.has('good'))
  const closed = new Promise((resolve) =>
    reader.provider.on('connection-close', (event) => resolve(event?.code)),
  )
  reader.map.set('bad', new Uint8Array([2]))
  assert.equal(await closed, 4403)
  assert.ok(!writer.map.has('bad') && !(await storedIn(relay, share)).has('bad'))

  // What a writer brings too is no attempt to write.
  const socket = await opened(relay, share, share.token(relay, 'read'))
  const ahead = new Y.Doc()
  ahead.getMap('batches').set('ahead', new Uint8Array([3]))
  socket.send(updateMessage(Y.encodeStateAsUpdate(ahead)))
  Y.applyUpdate(writer.doc, Y.encodeStateAsUpdate(ahead))
  await until('it is stored', async () => (await storedIn(relay, share)).has('ahead'))
  await delay(2 * grace) // a refusal would have come by now
  assert.equal(socket.readyState, WebSocket.OPEN)
  socket.terminate()
})

test('a new epoch ends the connections of the one before', async () => {
  await using relay = await temporaryRelay()
  const share = createTestShare()
  await publish(relay, share)
  const before = await opened(relay, share, share.token(relay))
  const closed = once(before, 'close')
  await publish(relay, share, 1)
  const [code] = await closed
  assert.equal(code, 4403)
  assert.equal(await raw(relay, share, share.token(relay)), 403)
  const after = await opened(relay, share, share.token(relay, 'write', { epoch: 1 }))
  after.terminate()
  const late = await ask(relay, 'PUT', relayPaths.access(share.id), { body: share.statement(0) })
  assert.equal(late.status, 409)
  const again = await ask(relay, 'PUT', relayPaths.access(share.id), { body: share.statement(1) })
  assert.equal(again.status, 204, 'the same statement again is no conflict')
  const foreign = await ask(relay, 'PUT', relayPaths.access(share.id), {
    body: createTestShare().statement(2),
  })
  assert.equal(foreign.status, 403)
})

test('garbage ends the connection with a code and changes nothing', async () => {
  await using relay = await temporaryRelay({ limits: { messageBytes: 100_000 } })
  const share = createTestShare()
  await publish(relay, share)
  const messages = [
    randomBytes(1000),
    Buffer.alloc(0),
    Buffer.from('text'),
    new Uint8Array([0, 0, 250, 1]),
    new Uint8Array([0, 2, 3, 1, 1, 1]),
    new Uint8Array([1, 3, 255, 255, 255]),
    updateMessage(new Uint8Array(randomBytes(100))),
  ]
  for (const message of messages) {
    const socket = await opened(relay, share, share.token(relay))
    const closed = once(socket, 'close')
    socket.send(message)
    const [code] = await closed
    assert.equal(code, 4400)
  }
  const socket = await opened(relay, share, share.token(relay))
  const closed = once(socket, 'close')
  socket.send(randomBytes(200_000))
  const [code] = await closed
  assert.equal(code, 1009)
  assert.equal((await storedIn(relay, share)).size, 0)
})

test('limits: messages, document size, connections', async () => {
  await using relay = await temporaryRelay({
    limits: { messages: { burst: 20, perSecond: 1 }, documentBytes: 10_000, connectionsPerDocument: 3 },
  })
  const share = createTestShare()
  await publish(relay, share)
  const flood = await opened(relay, share, share.token(relay))
  const flooded = once(flood, 'close')
  for (let i = 0; i < 50; i++) flood.send(new Uint8Array([3]))
  assert.equal((await flooded)[0], 4429)

  const doc = new Y.Doc()
  doc.getMap('batches').set('large', new Uint8Array(randomBytes(20_000)))
  const large = await opened(relay, share, share.token(relay))
  const full = once(large, 'close')
  large.send(updateMessage(Y.encodeStateAsUpdate(doc)))
  assert.equal((await full)[0], 4507)

  const several = await Promise.all([1, 2, 3].map(() => opened(relay, share, share.token(relay))))
  const fourth = await opened(relay, share, share.token(relay))
  assert.equal((await once(fourth, 'close'))[0], 4429)
  for (const socket of several) socket.terminate()
})

test('messages that are never finished cannot fill the memory', async () => {
  await using relay = await temporaryRelay({ limits: { unfinishedBytes: 1_000_000 } })
  const share = createTestShare()
  await publish(relay, share)
  const modest = await opened(relay, share, share.token(relay))
  const greedy = await opened(relay, share, share.token(relay))
  const cut = once(greedy, 'close')
  modest.send(new Uint8Array(1000), { fin: false })
  greedy.send(new Uint8Array(5_000_000), { fin: false })
  assert.equal((await cut)[0], 1006)
  assert.equal(modest.readyState, WebSocket.OPEN)
  modest.terminate()
})

test('submissions wait in the inbox and go to connected writers', async () => {
  await using relay = await temporaryRelay()
  const share = createTestShare()
  await publish(relay, share)
  const [read, write] = [share.token(relay, 'read'), share.token(relay)]
  const heard: Buffer[] = []
  const writer = await opened(relay, share, write)
  writer.on('message', (data: Buffer) => heard.push(data))
  const reader = await opened(relay, share, read)
  const overSocket = new Uint8Array(randomBytes(100))
  reader.send(submissionMessage(overSocket))
  const isSubmission = (bytes: Uint8Array) => (data: Buffer) => data.equals(submissionMessage(bytes))
  await until('the writer has it', () => heard.some(isSubmission(overSocket)))
  const overHttp = new Uint8Array(randomBytes(100))
  const sent = await ask(relay, 'POST', relayPaths.inbox(share.id), { body: overHttp, token: read })
  assert.equal(sent.status, 201)
  await until('the writer has it', () => heard.some(isSubmission(overHttp)))
  assert.ok(!reader.isPaused)

  const inbox = relayPaths.inbox(share.id)
  assert.equal((await ask(relay, 'GET', inbox, { token: read })).status, 403)
  assert.equal((await ask(relay, 'GET', inbox)).status, 401)
  assert.equal((await ask(relay, 'POST', inbox, { body: overHttp })).status, 401)
  const response = await ask(relay, 'GET', inbox, { token: write })
  const waiting = decodeAs(StoredMessagesSchema, new Uint8Array(await response.arrayBuffer()), 10_000)
  assert.deepEqual(
    waiting.map(({ bytes }) => bytes),
    [overSocket, overHttp],
  )
  const { id } = (await sent.json()) as { id: string }
  const message = relayPaths.inboxMessage(share.id, id)
  assert.equal((await ask(relay, 'DELETE', message, { token: read })).status, 403)
  assert.equal((await ask(relay, 'DELETE', message, { token: write })).status, 204)
  const again = await ask(relay, 'DELETE', message, { token: write })
  assert.equal(again.status, 404)
  assert.equal(await codeOf(again), 'not-found')
  for (const socket of [writer, reader]) socket.terminate()
})

test('a share of 100,000 records and a burst of 10,000 changes pass', async () => {
  await using relay = await temporaryRelay()
  const share = createTestShare()
  await publish(relay, share)
  const doc = new Y.Doc()
  doc.transact(() => {
    for (let i = 0; i < 100_000; i++) doc.getMap('batches').set(`record-${i}-abcdefgh`, new Uint8Array(200))
  })
  using a = client(relay, share, share.token(relay), doc)
  await synced(a)
  using b = client(relay, share, share.token(relay))
  await until('all records arrive', () => b.map.size === 100_000, 30_000)
  for (let i = 0; i < 10_000; i++) a.map.set(`burst-${i}`, new Uint8Array(100))
  await until('the burst arrives', () => b.map.size === 110_000, 30_000)
})

test('relays that share a storage serve one document together', async () => {
  const storage = createMemoryStorage()
  await using first = await temporaryRelay({ storage })
  await using second = await temporaryRelay({ storage })
  const share = createTestShare()
  await publish(first, share)
  using a = client(first, share, share.token(first))
  using b = client(second, share, share.token(second))
  a.map.set('from a', new Uint8Array([1]))
  await until('b has it', () => b.map.has('from a'))
  b.map.set('from b', new Uint8Array([2]))
  await until('a has it', () => a.map.has('from b'))
  a.provider.awareness.setLocalStateField('p', 'a')
  await until('b sees a', () => b.provider.awareness.getStates().get(a.doc.clientID)?.p === 'a')
  using late = client(second, share, share.token(second, 'read'))
  await until('a newcomer sees a', () => late.provider.awareness.getStates().get(a.doc.clientID)?.p === 'a')
  const closed = new Promise((resolve) => b.provider.on('connection-close', (event) => resolve(event?.code)))
  await publish(first, share, 1)
  assert.equal(await closed, 4403)
})
