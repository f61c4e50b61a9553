import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crypto } from '../crypto/index.ts'
import { ProtocolError } from '../errors.ts'
import { signCard, verifyCard } from '../identity/card.ts'
import { createIdentity } from '../identity/identity.ts'
import type { ChangeId, ShareId } from '../ids.ts'
import { openEnvelope, sealEnvelope } from './envelope.ts'
import {
  createLink,
  createLinkStatement,
  inviteIdOfSeed,
  openLinkPayload,
  parseLink,
  sealLinkPayload,
  verifyLinkStatement,
} from './link.ts'
import type { InvitePayload } from './payload.ts'

const person = (name: string) => createIdentity({ name, deviceName: 'laptop', at: 1 })
const [alice, bob, mallory] = [person('Alice'), person('Bob'), person('Mallory')]
const where = { relays: ['http://127.0.0.1:1'], addresses: ['/ip4/127.0.0.1/tcp/1'] }
const payload: InvitePayload = {
  share: 'AAAAAAAAAAAAAAAAAAAAAA' as ShareId,
  name: 'Photos',
  role: 'editor',
  from: { id: alice.userId, name: 'Alice' },
  seed: crypto.randomBytes(32),
  change: 'AAAAAAAAAAAAAAAAAAAAAQ' as ChangeId,
  root: crypto.randomBytes(32),
  epochs: new Map([
    [0, { key: crypto.randomBytes(32) }],
    [1, { key: crypto.randomBytes(32), writeSeed: crypto.randomBytes(32) }],
  ]),
  relays: where.relays,
  devices: [{ id: alice.deviceId, addresses: where.addresses }],
}
const code = (wanted: string) => (error: unknown) => error instanceof ProtocolError && error.code === wanted
const seal = (from = alice, letter = payload) =>
  sealEnvelope(
    from,
    signCard(from, where),
    verifyCard(signCard(bob, where)),
    { type: 'invite', payload: letter },
    5,
  )

test('an envelope opens to its recipient alone, with a proven sender', () => {
  const sealed = seal()
  const opened = openEnvelope(bob, sealed)
  assert.equal(opened.from.user, alice.userId)
  assert.deepEqual(opened.letter, { type: 'invite', payload })
  assert.throws(() => openEnvelope(mallory, sealed), code('wrong-key'))
  for (let index = 0; index < sealed.length; index += 7) {
    const altered = sealed.slice()
    altered[index] = (altered[index] ?? 0) ^ 1
    assert.throws(() => openEnvelope(bob, altered), ProtocolError)
  }
})

test('nobody can invite in the name of another', () => {
  assert.throws(() => openEnvelope(bob, seal(mallory)), code('bad-signature'))
})

test('a link carries everything, and the relay can read nothing of it', () => {
  const text = createLink('https://relay.example/', payload.seed)
  const link = parseLink(` ${text}\n`)
  assert.equal(link.relay, 'https://relay.example')
  assert.equal(link.invite, inviteIdOfSeed(payload.seed))
  const blob = sealLinkPayload(payload)
  assert.deepEqual(openLinkPayload(link.seed, blob), payload)
  assert.equal(Buffer.from(blob).includes('Photos'), false)
  assert.throws(() => openLinkPayload(crypto.randomBytes(32), blob), code('wrong-key'))
})

test('links that were cut off or altered say so', () => {
  const text = createLink('https://relay.example', payload.seed)
  assert.throws(() => parseLink(text.slice(0, text.indexOf('#'))), /after #/)
  assert.throws(() => parseLink(text.slice(0, -1)), /cut off/)
  assert.throws(() => parseLink(text.replace('/s/', '/s/x')), /altered/)
  for (const rubbish of ['', 'hello', 'https://relay.example/x', 'javascript:alert(1)', 'h'.repeat(10_000)]) {
    assert.throws(() => parseLink(rubbish), code('malformed'))
  }
})

test("only a link's own key can replace or withdraw what the relay keeps", () => {
  const blob = sealLinkPayload(payload)
  assert.deepEqual(verifyLinkStatement(createLinkStatement(payload.seed, 9, blob)), {
    invite: inviteIdOfSeed(payload.seed),
    at: 9,
    blob,
  })
  const withdrawn = createLinkStatement(payload.seed, 10)
  assert.deepEqual(verifyLinkStatement(withdrawn), { invite: inviteIdOfSeed(payload.seed), at: 10 })
  for (let index = 0; index < withdrawn.length; index++) {
    const altered = withdrawn.slice()
    altered[index] = (altered[index] ?? 0) ^ 1
    assert.throws(() => verifyLinkStatement(altered), ProtocolError, `byte ${index}`)
  }
})
