import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, utf8 } from '../bytes.ts'
import { sealTo } from '../crypto/box.ts'
import { crypto } from '../crypto/index.ts'
import { encodeCbor } from '../encoding/cbor.ts'
import { ProtocolError } from '../errors.ts'
import { signCard, verifyCard } from '../identity/card.ts'
import { createIdentity, userAgreement } from '../identity/identity.ts'
import type { ChangeId, ShareId } from '../ids.ts'
import { decodeInvitePayload, encodeInvitePayload } from './encode.ts'
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

test('a declined invite says which one', () => {
  const letter = { type: 'declined', share: payload.share, invite: inviteIdOfSeed(payload.seed) } as const
  const card = verifyCard(signCard(alice, where))
  const opened = openEnvelope(alice, sealEnvelope(bob, signCard(bob, where), card, letter, 7))
  assert.deepEqual([opened.from.user, opened.at, opened.letter], [bob.userId, 7, letter])
})

test('an envelope for another, sealed on to me, is not taken for mine', () => {
  const letter = { type: 'invite', payload } as const
  const toMe = { user: mallory.userId, agreementKey: userAgreement(bob.user).publicKey }
  assert.throws(
    () => openEnvelope(bob, sealEnvelope(alice, signCard(alice, where), toMe, letter, 5)),
    code('wrong-key'),
  )
})

test('whatever a stranger seals to me is refused in so many words', () => {
  const me = userAgreement(bob.user).publicKey
  const signed = (body: Uint8Array) => ({
    body,
    signature: crypto.ed25519Sign(mallory.user.seed, concatBytes(utf8('cofolder envelope\0'), body)),
  })
  const common = { from: signCard(mallory, where), to: bob.userId, at: 1 }
  const bodies: unknown[] = [
    null,
    {},
    { ...common, type: 'other' },
    { ...common, type: 'invite', payload: new Uint8Array(3) },
    { ...common, type: 'invite', payload: encodeCbor({ ...payload, epochs: [], name: '../x' }) },
    { ...common, type: 'declined', share: 'x', invite: 'y' },
    { ...common, type: 'declined', share: payload.share, invite: payload.share, at: 2 ** 60 },
    { ...common, from: new Uint8Array(9), type: 'declined', share: payload.share, invite: payload.share },
  ]
  const inside: unknown[] = [
    1,
    [],
    { body: 1, signature: 2 },
    ...bodies.map((body) => signed(encodeCbor(body))),
  ]
  for (const value of inside) {
    assert.throws(() => openEnvelope(bob, sealTo(me, encodeCbor(value), 'cofolder envelope')), ProtocolError)
  }
  assert.throws(() => openEnvelope(bob, new Uint8Array(100_000)), code('too-large'))
})

test('an invite to a share of many devices still fits', () => {
  const address = (i: number) => `/ip4/192.0.2.${i}/udp/4001/quic-v1/${'x'.repeat(250)}`
  const devices = Array.from({ length: 50 }, () => ({
    id: createIdentity({ name: 'x', deviceName: 'x', at: 1 }).deviceId,
    addresses: Array.from({ length: 16 }, (_, i) => address(i)),
  }))
  const opened = openEnvelope(bob, seal(alice, { ...payload, devices }))
  assert.ok(opened.letter.type === 'invite')
  const kept = opened.letter.payload.devices
  assert.ok(kept.length > 0 && kept.length <= 32)
  assert.deepEqual(kept, devices.slice(0, kept.length))
  assert.ok(sealLinkPayload({ ...payload, devices }).length <= 64 * 1024)
})

test('what the recipient would refuse is refused at the sender', () => {
  const key = crypto.randomBytes(32)
  const epochs = new Map(Array.from({ length: 257 }, (_, epoch) => [epoch, { key }]))
  assert.throws(() => encodeInvitePayload({ ...payload, epochs }), code('malformed'))
  assert.throws(() => encodeInvitePayload({ ...payload, name: 'a/b' }), code('malformed'))
  assert.deepEqual(decodeInvitePayload(encodeInvitePayload(payload)), payload)
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
  assert.throws(() => parseLink(text.replace('https://', 'https://user:secret@')), code('malformed'))
  assert.throws(() => parseLink(text.replace('https://relay.example', 'https:///')), code('malformed'))
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
