import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parse, RelayInfoSchema, relayPaths, updateMessage } from '@cofolder/protocol'
import { WebSocket } from 'ws'
import * as Y from 'yjs'
import {
  ask,
  codeOf,
  createTestShare,
  documentsUrl,
  person,
  protocolsFor,
  publish,
  scratch,
  type TestShare,
  temporaryRelay,
  until,
} from './fixture.ts'
import { runRelay } from './main.ts'
import { type Relay, startRelay } from './relay.ts'

async function openDocument(relay: Pick<Relay, 'url' | 'id'>, share: TestShare): Promise<WebSocket> {
  const socket = new WebSocket(`${documentsUrl(relay)}/${share.id}`, protocolsFor(share.token(relay)))
  await once(socket, 'open')
  return socket
}

test('it tells what it is, whether it is well, and how it does', async () => {
  await using relay = await temporaryRelay()
  assert.equal((await ask(relay, 'GET', '/healthz')).status, 200)
  const info = parse(RelayInfoSchema, await (await ask(relay, 'GET', relayPaths.info)).json())
  assert.equal(info.id, relay.id)
  assert.deepEqual(info.tracker, relay.tracker)
  assert.deepEqual(info.libp2p, relay.libp2p)
  assert.ok(info.libp2p.length >= 2 && info.libp2p.every((address) => address.endsWith(info.peerId)))
  assert.ok((info.limits.messageBytes ?? 0) > 0)
  await ask(relay, 'GET', '/nothing')
  const metrics = await (await ask(relay, 'GET', '/metrics')).text()
  assert.match(metrics, /cofolder_relay_refused_total\{reason="not-found"\} 1\n/)
  for (const name of [
    'connections',
    'documents',
    'updates_total',
    'update_bytes_total',
    'mailbox_messages',
    'tracker_peers',
    'reservations',
    'stored_bytes',
  ])
    assert.match(
      metrics,
      new RegExp(`# TYPE cofolder_relay_${name} (counter|gauge)\ncofolder_relay_${name} \\d+\n`),
    )
})

test('browsers of any origin may ask, without credentials; headers are strict', async () => {
  await using relay = await temporaryRelay()
  const headers = { origin: 'https://elsewhere.example' }
  const preflight = await ask(relay, 'OPTIONS', relayPaths.mailbox(person('Bob').userId), {
    headers: {
      ...headers,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization',
    },
  })
  assert.equal(preflight.status, 204)
  assert.equal(preflight.headers.get('access-control-allow-origin'), '*')
  assert.equal(preflight.headers.get('access-control-allow-headers'), 'authorization')
  assert.equal(preflight.headers.get('access-control-allow-credentials'), null)
  const refused = await ask(relay, 'GET', '/v1/mailbox/x', { headers })
  assert.equal(refused.headers.get('access-control-allow-origin'), '*', 'refusals can be read too')
  const page = await ask(relay, 'GET', relayPaths.page(parseInvite()))
  assert.equal(page.status, 200)
  assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'self'/)
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff')
  assert.equal(page.headers.get('referrer-policy'), 'no-referrer')
  assert.equal((await ask(relay, 'GET', '/s/<script>')).status, 400)
})
const parseInvite = () => 'AAAAAAAAAAAAAAAAAAAAAA' as Parameters<typeof relayPaths.page>[0]

test('the built page is served, and nothing beside it', async () => {
  await using place = await scratch()
  const pageDir = join(place.path, 'page')
  await mkdir(join(pageDir, 'assets'), { recursive: true })
  await writeFile(join(pageDir, 'index.html'), '<p>page')
  await writeFile(join(pageDir, 'assets', 'a.js'), 'script')
  await writeFile(join(place.path, 'secret'), 'secret')
  await using relay = await temporaryRelay({ pageDir })
  assert.equal(await (await ask(relay, 'GET', relayPaths.page(parseInvite()))).text(), '<p>page')
  const script = await ask(relay, 'GET', '/assets/a.js')
  assert.equal(await script.text(), 'script')
  assert.match(script.headers.get('content-type') ?? '', /javascript/)
  for (const path of ['/../secret', '/..%2fsecret', '/%2e%2e/secret', '/assets/..%2f..%2fsecret', '//secret'])
    assert.notEqual(await (await ask(relay, 'GET', path)).text(), 'secret')
})

test('its key is its own, kept for good, and only one relay uses a folder', async () => {
  await using place = await scratch()
  const first = await startRelay({ dataDir: place.path })
  const { id, libp2p } = first
  const key = await stat(join(place.path, 'relay.key'))
  assert.equal(key.mode & 0o777, 0o600)
  await assert.rejects(startRelay({ dataDir: place.path }))
  await first.close()
  await first.close()
  const second = await startRelay({ dataDir: place.path })
  assert.equal(second.id, id)
  assert.equal(second.libp2p[0]?.split('/').at(-1), libp2p[0]?.split('/').at(-1))
  const { port } = new URL(second.url)
  await using elsewhere = await scratch()
  await assert.rejects(startRelay({ dataDir: elsewhere.path, port: Number(port) }), /EADDRINUSE/)
  await second.close()
  const again = await startRelay({ dataDir: elsewhere.path, port: Number(port) })
  await again.close()
  await writeFile(join(place.path, 'relay.key'), 'short')
  await assert.rejects(startRelay({ dataDir: place.path }), /holds no key/)
})

test('garbage on every port disturbs nobody', async () => {
  await using relay = await temporaryRelay()
  const share = createTestShare()
  await publish(relay, share)
  const socket = await openDocument(relay, share)
  const ports = new Set(
    [relay.url, ...relay.libp2p].map((text) => Number(/(?:tcp\/|:)(\d{2,5})/.exec(text)?.[1])),
  )
  const say = (port: number, bytes: Uint8Array | string): Promise<void> =>
    new Promise((resolve) => {
      const garbage = connect(port, '127.0.0.1', () => garbage.end(bytes))
      garbage
        .on('error', () => resolve())
        .on('close', () => resolve())
        .resume()
      garbage.setTimeout(300, () => garbage.destroy())
    })
  for (const port of ports) {
    await Promise.all([
      ...Array.from({ length: 10 }, (_, i) => say(port, randomBytes(10 ** (i % 5)))),
      say(port, 'GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'),
      say(
        port,
        'GET /v1/documents/x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
      ),
      say(port, 'GET // HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'),
      say(port, 'POST /v1/mailbox/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{'),
      say(port, `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`),
      say(port, '\x13/multistream/1.0.0\n'),
    ])
  }
  assert.equal((await ask(relay, 'GET', '/healthz')).status, 200)
  assert.equal(socket.readyState, WebSocket.OPEN)
  socket.terminate()
})

test('limits on addresses: requests, connections, new documents', async () => {
  await using relay = await temporaryRelay({
    limits: { requests: { burst: 8, perSecond: 0.1 }, documentsPerHour: 2 },
  })
  await publish(relay, createTestShare())
  await publish(relay, createTestShare())
  const share = createTestShare()
  const third = await ask(relay, 'PUT', relayPaths.access(share.id), { body: share.statement(0) })
  assert.equal(third.status, 429)
  assert.equal(await codeOf(third), 'rate-limited')
  const rest = await Promise.all(Array.from({ length: 8 }, () => ask(relay, 'GET', '/healthz')))
  const refused = rest.filter(({ status }) => status === 429)
  assert.equal(refused.length, 3)
  assert.ok(Number(refused[0]?.headers.get('retry-after')) > 0)

  await using narrow = await temporaryRelay({ limits: { connectionsPerAddress: 2 } })
  const port = Number(new URL(narrow.url).port)
  const two = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  await Promise.all(two.map((socket) => once(socket, 'connect')))
  await assert.rejects(ask(narrow, 'GET', '/healthz'))
  for (const socket of two) socket.destroy()
  await until('there is room again', () =>
    ask(narrow, 'GET', '/healthz').then(
      ({ ok }) => ok,
      () => false,
    ),
  )
})

test('a full relay takes nothing new, and goes on otherwise', async () => {
  await using relay = await temporaryRelay({ limits: { storedBytes: 1 } })
  const share = createTestShare()
  const response = await ask(relay, 'PUT', relayPaths.access(share.id), { body: share.statement(0) })
  assert.equal(response.status, 507)
  assert.equal(await codeOf(response), 'full')
  const letter = await ask(relay, 'POST', relayPaths.mailbox(person('Bob').userId), {
    body: new Uint8Array([1]),
  })
  assert.equal(letter.status, 507)
  assert.equal((await ask(relay, 'GET', '/healthz')).status, 200)
})

test('closing ends everything, also in the middle of connections', async () => {
  const relay = await temporaryRelay()
  const share = createTestShare()
  await publish(relay, share)
  const socket = await openDocument(relay, share)
  const silent = connect(Number(new URL(relay.url).port), '127.0.0.1')
  await once(silent, 'connect')
  const ended = Promise.all([once(socket, 'close'), once(silent, 'close')])
  const at = Date.now()
  await relay.close()
  const [[code]] = await ended
  assert.equal(code, 1001)
  assert.ok(Date.now() - at < 3000)
  await assert.rejects(ask(relay, 'GET', '/healthz'))
})

interface RelayProcess {
  readonly child: ChildProcess
  readonly url: string
}

async function spawnRelay(dataDir: string): Promise<RelayProcess> {
  const script = `import { runRelay } from ${JSON.stringify(import.meta.resolve('./index.ts'))}
    process.exitCode = await runRelay(process.argv.slice(1))`
  const args = [
    '--input-type=module',
    '-e',
    script,
    '--',
    '--port',
    '0',
    '--host',
    '127.0.0.1',
    '--data',
    dataDir,
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const { url, tracker, libp2p } = JSON.parse(String(line))
  assert.ok(tracker.http && tracker.udp && tracker.ws && libp2p.length > 0)
  return { child, url }
}

test('the command runs a relay until it is told to stop; what was stored survives kill -9', async () => {
  await using place = await scratch()
  const share = createTestShare()
  const doc = new Y.Doc()
  let stored = 0
  for (let round = 0; round < 3; round++) {
    const { child, url } = await spawnRelay(place.path)
    const { id } = parse(RelayInfoSchema, await (await fetch(url + relayPaths.info)).json())
    await ask({ url }, 'PUT', relayPaths.access(share.id), { body: share.statement(0) })
    const writer = await openDocument({ url, id }, share)
    const reader = await openDocument({ url, id }, share)
    const replica = new Y.Doc()
    reader.on('message', (data: Buffer) => applyMessage(replica, new Uint8Array(data)))
    reader.send(new Uint8Array([0, 0, 1, 0]))
    await until('what was stored is there', () => replica.getMap('batches').size >= stored)
    const updates: Uint8Array[] = []
    const collect = (update: Uint8Array) => updates.push(update)
    doc.on('update', collect)
    for (let i = 0; i < 200; i++) doc.getMap('batches').set(`${round}-${i}`, new Uint8Array(randomBytes(300)))
    doc.off('update', collect)
    writer.send(updateMessage(Y.encodeStateAsUpdate(doc)))
    for (const update of updates) writer.send(updateMessage(update))
    // What others were told was stored before.
    await until('some arrive', () => replica.getMap('batches').size > stored)
    stored = replica.getMap('batches').size
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
    for (const socket of [writer, reader]) socket.terminate()
  }
  const { child } = await spawnRelay(place.path)
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  assert.equal((await exit)[0], 0)
  for (const name of await readdir(join(place.path, 'database'))) {
    const bytes = await readFile(join(place.path, 'database', name))
    assert.ok(!bytes.includes('token'), 'no token is stored')
  }
})

function applyMessage(doc: Y.Doc, message: Uint8Array): void {
  const [type, kind] = message
  if (type !== 0 || (kind !== 1 && kind !== 2)) return
  let start = 2
  while ((message[start] ?? 0) & 0x80) start++
  Y.applyUpdate(doc, message.subarray(start + 1))
}

test('the command says what is wrong with its arguments', async () => {
  let said = ''
  const stream = {
    write(text: string) {
      said += text
    },
  }
  const run = (args: string[]) => runRelay(args, { stdout: stream, stderr: stream })
  for (const args of [
    ['--port', 'x'],
    ['--port', '70000'],
    ['--unknown'],
    ['--public-url', 'ftp://x'],
    ['extra'],
  ])
    assert.equal(await run(args), 2)
  assert.match(said, /--port needs a number/)
  assert.equal(await run(['--help']), 0)
  said = ''
  assert.equal(await run(['--data', '/dev/null/x', '--port', '0']), 1)
  assert.match(said, /^the relay could not run: .*\n$/)
})

test('memory does not grow with the documents it hosts', async () => {
  await using relay = await temporaryRelay({ limits: { documentsPerHour: 100_000 } })
  setFlagsFromString('--expose-gc')
  const gc: () => void = runInNewContext('gc')
  const used = (): number => {
    gc()
    return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
  }
  const doc = new Y.Doc()
  doc.getMap('batches').set('a', new Uint8Array(randomBytes(100_000)))
  const update = updateMessage(Y.encodeStateAsUpdate(doc))
  const host = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const share = createTestShare()
      await publish(relay, share)
      const socket = await openDocument(relay, share)
      const closed = once(socket, 'close')
      socket.send(update)
      socket.close()
      await closed
    }
    await until('none is in memory', async () =>
      /cofolder_relay_live_documents 0\n/.test(await (await ask(relay, 'GET', '/metrics')).text()),
    )
  }
  await host(50)
  const before = used()
  await host(300)
  const grown = used() - before
  assert.ok(grown < 15_000_000, `${grown} bytes more after 300 documents of 100 KB`)
})
