import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  createIdentity,
  createToken,
  crypto,
  inviteIdOfSeed,
  joinShare,
  openLinkPayload,
  parseLink,
  rightsOf,
  subprotocols,
} from '@cofolder/protocol'
import { WebSocket } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { couple, must } from '../couple.ts'
import { startRelay } from '../daemon.ts'
import { contents, expectEqualFolders, scratch, until, untilEqualFolders } from '../folders.ts'

interface RelayInfo {
  id: ReturnType<typeof createIdentity>['deviceId']
}

/** What a person with the link and a client of his own making has in hand. */
async function patchedMember(link: string, name: string) {
  const { relay, invite, seed } = parseLink(link)
  const blob = new Uint8Array(await (await fetch(`${relay}/v1/links/${invite}`)).arrayBuffer())
  const payload = openLinkPayload(seed, blob)
  assert.equal(inviteIdOfSeed(payload.seed), invite)
  const identity = createIdentity({ name, deviceName: 'patched', at: Date.now() })
  const { id } = (await (await fetch(`${relay}/v1/relay`)).json()) as RelayInfo
  return { relay, payload, identity, audience: id }
}

function connect(relay: string, share: string, token: string, doc: Y.Doc): WebsocketProvider {
  return new WebsocketProvider(`${relay.replace('http', 'ws')}/v1/documents`, share, doc, {
    WebSocketPolyfill: WebSocket as unknown as typeof globalThis.WebSocket,
    protocols: subprotocols(token),
    disableBc: true,
  })
}

test('a stock y-websocket client with a valid token syncs the document, one without is refused', async () => {
  await using pair = await couple({ role: 'editor' })
  await writeFile(join(pair.a, 'file'), 'content')
  await pair.settled()
  const { relay, payload, identity, audience } = await patchedMember(pair.link, 'Stock')
  const [, keys] = [...payload.epochs].at(-1) ?? []
  assert.ok(keys)
  const claims = {
    document: payload.share,
    right: 'read' as const,
    audience,
    device: identity.deviceId,
    expires: Date.now() + 60_000,
  }
  const doc = new Y.Doc()
  const provider = connect(relay, payload.share, createToken(claims, rightsOf(keys).readSeed), doc)
  await until('synced', () => provider.synced)
  assert.ok(doc.getMap('batches').size > 0)
  provider.destroy()
  doc.destroy()

  for (const token of ['rubbish', createToken(claims, crypto.randomBytes(32))]) {
    const stranger = new Y.Doc()
    const refused = connect(relay, payload.share, token, stranger)
    const errors: unknown[] = []
    refused.on('connection-error', (error: unknown) => errors.push(error))
    await until('refused', () => errors.length > 0)
    assert.equal(refused.synced, false)
    assert.equal(stranger.getMap('batches').size, 0)
    refused.destroy()
    stranger.destroy()
  }
})

test('a viewer cannot change the share, even with a patched client that writes to the document directly', async () => {
  await using pair = await couple({ role: 'viewer' })
  await writeFile(join(pair.a, 'file'), 'from Alice')
  await pair.settled()
  expectEqualFolders(pair.a, pair.b)
  await writeFile(join(pair.b, 'file'), 'changed by the viewer')
  await writeFile(join(pair.b, 'new'), 'made by the viewer')
  await pair.bob.cli('wait', '--timeout', '5')
  await must(pair.alice, 'wait', '--timeout', '30')
  assert.deepEqual([...contents(pair.a).keys()], ['file'])

  const { relay, payload, identity, audience } = await patchedMember(pair.link, 'Mallory')
  const share = joinShare(identity, payload, { at: Date.now() })
  const [, keys] = [...payload.epochs].at(-1) ?? []
  assert.ok(keys)
  const claims = {
    document: payload.share,
    audience,
    device: identity.deviceId,
    expires: Date.now() + 60_000,
  }
  const before = await fetch(`${relay}/healthz`)
  assert.equal(before.status, 200)
  const provider = connect(
    relay,
    payload.share,
    createToken({ ...claims, right: 'read' }, rightsOf(keys).readSeed),
    share.doc,
  )
  await until('synced', () => provider.synced)
  const batches = share.doc.getMap<Uint8Array>('batches')
  const [anyKey] = [...batches.keys()]
  assert.ok(anyKey)
  share.doc.transact(() => {
    batches.delete(anyKey)
    batches.set('AAAAAAAAAAAAAAAAAAAAAA', new Uint8Array([1, 2, 3]))
  })
  assert.throws(() =>
    connect(
      relay,
      payload.share,
      createToken({ ...claims, right: 'write' }, rightsOf(keys).writeSeed ?? new Uint8Array()),
      new Y.Doc(),
    ),
  )
  await writeFile(join(pair.a, 'later'), 'Alice goes on')
  await until('Bob goes on as well', () => contents(pair.b).has('later'))
  await must(pair.alice, 'wait', '--timeout', '30')
  assert.deepEqual([...contents(pair.a).keys()], ['file', 'later'])
  provider.destroy()
  share.close()
})

test("an outsider who knows the share's id and the relay gets nothing; who was removed gets nothing more", async () => {
  await using place = await scratch()
  await using relay = await startRelay({ data: join(place.path, 'relay') })
  await using pair = await couple({ relay: relay.url })
  await writeFile(join(pair.a, 'before'), 'before')
  await pair.settled()
  for (const path of [
    `/v1/documents/${pair.share}/inbox`,
    `/v1/documents/${pair.share}`,
    `/v1/links/${pair.share}`,
  ]) {
    const { status } = await fetch(relay.url + path)
    assert.ok(status === 401 || status === 403 || status === 404 || status === 426, `${path}: ${status}`)
  }
  await must(pair.alice, 'unshare', pair.share, '--with', 'Bob')
  await until('Bob is told', async () => {
    const events = await pair.bob.json<{ type: string }[]>('events')
    return events.some(({ type }) => type === 'revoked')
  })
  await writeFile(join(pair.a, 'after'), 'after')
  await must(pair.alice, 'wait', '--timeout', '30')
  assert.deepEqual([...contents(pair.b).keys()], ['before'])
  await assert.rejects(untilEqualFolders(2_000, pair.a, pair.b))
})
