import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { relayPaths } from '@cofolder/protocol'
import Client from 'bittorrent-tracker'
import { WebSocket } from 'ws'
import { ask, createTestShare, publish, type TestShare, temporaryRelay, until } from '../fixture.ts'
import type { Relay } from '../relay.ts'

async function allow(relay: Relay, share: TestShare, ...infoHashes: string[]): Promise<void> {
  const response = await ask(relay, 'POST', relayPaths.torrents(share.id), {
    token: share.token(relay, 'read'),
    body: JSON.stringify({ infoHashes }),
  })
  assert.equal(response.status, 204)
}

interface Announcing extends AsyncDisposable {
  readonly peers: string[]
  readonly warnings: string[]
  readonly answers: number
}

function announce(url: string, infoHash: string, port: number): Announcing {
  const client = new Client({ infoHash, peerId: randomBytes(20), announce: [url], port, wrtc: false })
  const state = { peers: [] as string[], warnings: [] as string[], answers: 0 }
  client.on('error', (error: Error) => state.warnings.push(error.message))
  client.on('warning', (error: Error) => state.warnings.push(error.message))
  client.on('peer', (peer: string) => state.peers.push(peer))
  client.on('update', () => state.answers++)
  client.start()
  return {
    get peers() {
      return state.peers
    },
    get warnings() {
      return state.warnings
    },
    get answers() {
      return state.answers
    },
    [Symbol.asyncDispose]: () => new Promise((resolve) => client.destroy(() => resolve())),
  }
}

test('peers find each other over HTTP and UDP for allowed torrents, and for no others', async () => {
  await using relay = await temporaryRelay()
  const share = createTestShare()
  await publish(relay, share)
  const infoHash = randomBytes(20).toString('hex')
  const foreign = randomBytes(20).toString('hex')
  await allow(relay, share, infoHash)
  await using overHttp = announce(relay.tracker.http, infoHash, 7001)
  await until('an answer over HTTP', () => overHttp.answers > 0)
  await using overUdp = announce(relay.tracker.udp, infoHash, 7002)
  await until('the other peer over UDP', () => overUdp.peers.includes('127.0.0.1:7001'))
  await using third = announce(relay.tracker.http, infoHash, 7003)
  await until('both over HTTP', () =>
    ['127.0.0.1:7001', '127.0.0.1:7002'].every((peer) => third.peers.includes(peer)),
  )
  for (const url of [relay.tracker.http, relay.tracker.udp]) {
    await using refused = announce(url, foreign, 7004)
    await until('the foreign torrent is refused', () =>
      refused.warnings.some((text) => text.includes('does not know')),
    )
    assert.deepEqual(refused.peers, [])
  }
  const all = await (await fetch(relay.tracker.http.replace('announce', 'scrape'))).text()
  assert.match(all, /failure reason/)
})

/** Speaks the WebSocket tracker protocol as WebTorrent does. */
function trackerSocket(
  relay: Relay,
  peerId: Buffer,
): { socket: WebSocket; heard: Record<string, unknown>[]; say(message: object): void } {
  const socket = new WebSocket(relay.tracker.ws)
  const heard: Record<string, unknown>[] = []
  socket.on('message', (data: Buffer) => heard.push(JSON.parse(data.toString())))
  return {
    socket,
    heard,
    say: (message) => socket.send(JSON.stringify({ peer_id: peerId.toString('latin1'), ...message })),
  }
}

test('WebRTC offers and answers pass over the WebSocket tracker', async () => {
  await using relay = await temporaryRelay()
  const share = createTestShare()
  await publish(relay, share)
  const hash = randomBytes(20)
  await allow(relay, share, hash.toString('hex'))
  const info_hash = hash.toString('latin1')
  const ids = [randomBytes(20), randomBytes(20)] as const
  const a = trackerSocket(relay, ids[0])
  const b = trackerSocket(relay, ids[1])
  await Promise.all([once(a.socket, 'open'), once(b.socket, 'open')])
  a.say({ action: 'announce', event: 'started', info_hash, numwant: 0, left: null, offers: [] })
  await until('a is known', () => a.heard.some((message) => message.interval !== undefined))
  const offers = [{ offer: { type: 'offer', sdp: 'sdp' }, offer_id: 'one' }]
  b.say({ action: 'announce', event: 'started', info_hash, numwant: 1, left: 0, offers })
  await until('a hears the offer', () => a.heard.some((message) => message.offer_id === 'one'))
  const answer = { type: 'answer', sdp: 'sdp' }
  a.say({ action: 'announce', info_hash, answer, offer_id: 'one', to_peer_id: ids[1].toString('latin1') })
  await until('b hears the answer', () => b.heard.some((message) => message.answer !== undefined))
  b.say({ action: 'announce', event: 'started', info_hash: randomBytes(20).toString('latin1'), offers: [] })
  await until('a foreign torrent is refused', () =>
    b.heard.some((message) => message['failure reason'] !== undefined),
  )
  a.socket.terminate()
  b.socket.terminate()
})

test('hostile requests to the tracker harm nobody', async () => {
  await using relay = await temporaryRelay({ limits: { trackerMessages: { burst: 30, perSecond: 0.1 } } })
  const share = createTestShare()
  await publish(relay, share)
  const hash = randomBytes(20)
  await allow(relay, share, hash.toString('hex'))
  const info_hash = hash.toString('latin1')
  const victim = trackerSocket(relay, randomBytes(20))
  const hostile = trackerSocket(relay, randomBytes(20))
  await Promise.all([once(victim.socket, 'open'), once(hostile.socket, 'open')])
  victim.say({ action: 'announce', event: 'started', info_hash, offers: [] })
  await until('the victim is known', () => victim.heard.length > 0)
  for (const message of [
    { action: 'announce', info_hash, offers: [null, null], numwant: 2 },
    { action: 'announce', info_hash, offers: 'many' },
    { action: 'announce', info_hash, peer_id: 7 },
    { action: 'announce', info_hash: 'short' },
    { action: 'announce', info_hash, answer: 1, to_peer_id: '' },
    { action: 'scrape' },
    { action: 'constructor' },
  ])
    hostile.say(message)
  hostile.socket.send('{')
  hostile.socket.send('null')
  hostile.socket.send(randomBytes(100))
  await until(
    'each is refused',
    () => hostile.heard.filter((message) => message['failure reason']).length === 10,
  )
  hostile.say({ action: 'announce', info_hash, event: 'started', offers: [] })
  hostile.say({ action: 'announce', info_hash, peer_id: randomBytes(20).toString('latin1') })
  await until('one peer for each connection', () =>
    hostile.heard.some((message) => String(message['failure reason']).includes('one peer')),
  )
  const closed = once(hostile.socket, 'close')
  hostile.socket.send(Buffer.alloc(2_000_000))
  await closed
  victim.say({ action: 'scrape', info_hash })
  await until('the tracker still answers', () => victim.heard.some((message) => message.files !== undefined))
  victim.socket.terminate()

  for (const path of [
    '/announce',
    '/announce?info_hash=%00',
    '/scrape',
    '/scrape?info_hash=x',
    '/announce?info_hash[__proto__]=1',
  ])
    assert.match(await (await ask(relay, 'GET', path)).text(), /failure reason/)

  const udp = createSocket('udp4')
  const { port } = new URL(relay.tracker.udp.replace('udp:', 'http:'))
  const answers: Buffer[] = []
  udp.on('message', (packet) => answers.push(packet))
  for (let i = 0; i < 200; i++) udp.send(randomBytes(i), Number(port), '127.0.0.1')
  // The id that the library itself would take from anybody.
  const magic = Buffer.from('0000041727101980', 'hex')
  const forged = Buffer.concat([magic, Buffer.from('0000000100000001', 'hex'), hash, randomBytes(62)])
  udp.send(forged, Number(port), '127.0.0.1')
  udp.send(Buffer.concat([magic, Buffer.from('0000000000000002', 'hex')]), Number(port), '127.0.0.1')
  await until('a proper packet is answered', () => answers.length > 0)
  assert.equal(answers.length, 1)
  assert.equal(answers[0]?.readUInt32BE(4), 2)
  udp.close()
})

test('who may allow torrents', async () => {
  await using relay = await temporaryRelay({ limits: { torrents: { burst: 10, perSecond: 0.01 } } })
  const share = createTestShare()
  await publish(relay, share)
  const path = relayPaths.torrents(share.id)
  const token = share.token(relay, 'read')
  const post = async (body: string, shown?: string) =>
    (await ask(relay, 'POST', path, { body, ...(shown === undefined ? {} : { token: shown }) })).status
  const hash = randomBytes(20).toString('hex')
  assert.equal(await post(JSON.stringify({ infoHashes: [hash] })), 401)
  assert.equal(await post(JSON.stringify({ infoHashes: [hash] }), createTestShare().token(relay)), 403)
  assert.equal(await post(JSON.stringify({ infoHashes: ['x'] }), token), 400)
  assert.equal(await post('{', token), 400)
  assert.equal(await post(JSON.stringify({ infoHashes: Array(5000).fill(hash) }), token), 413)
  assert.equal(await post(JSON.stringify({ infoHashes: Array(10).fill(hash) }), token), 204)
  assert.equal(await post(JSON.stringify({ infoHashes: [hash] }), token), 429)
})
