/** Whatever bytes or text arrive, every decoder of the protocol returns or throws a ProtocolError. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createAccessStatement, rightsOf, verifyAccessStatement } from '../access/rights.ts'
import { createMailboxToken, createToken, verifyMailboxToken, verifyToken } from '../access/token.ts'
import { toBase64url, utf8 } from '../bytes.ts'
import { sealTo, sealWith } from '../crypto/box.ts'
import { crypto } from '../crypto/index.ts'
import { ProtocolError } from '../errors.ts'
import { decodeCard, encodeCard, signCard, verifyCard } from '../identity/card.ts'
import { shareIdOf } from '../identity/derive.ts'
import {
  createIdentity,
  decodeIdentity,
  encodeIdentity,
  userAgreement,
  verifyDeviceCertificate,
} from '../identity/identity.ts'
import type { ChangeId } from '../ids.ts'
import { decodeInvitePayload, encodeInvitePayload } from '../invites/encode.ts'
import { openEnvelope, sealEnvelope } from '../invites/envelope.ts'
import {
  createLink,
  createLinkStatement,
  inviteIdOfSeed,
  openLinkPayload,
  parseLink,
  sealLinkPayload,
  verifyLinkStatement,
} from '../invites/link.ts'
import { MAX_MESSAGE_BYTES } from '../limits.ts'
import { decodeShareKeys, encodeShareKeys } from '../share/keys.ts'
import { openPresence, sealPresence } from '../wire/presence.ts'
import { RelayErrorSchema, RelayInfoSchema, StoredMessagesSchema, TorrentsSchema } from '../wire/relay.ts'
import { HelloSchema, readMessage, submissionMessage } from '../wire/sync.ts'
import { decodeAs, encodeCbor, parse } from './cbor.ts'

const NOW = 1_700_000_000_000
const alice = createIdentity({ name: 'Alice', deviceName: 'laptop', at: NOW })
const where = { relays: ['https://relay.example'], addresses: ['/ip4/192.0.2.1/tcp/4001'] }
const seed = crypto.randomBytes(32)
const share = shareIdOf(crypto.ed25519PublicKey(seed))
const epoch = { key: crypto.randomBytes(32), writeSeed: crypto.randomBytes(32) }
const rights = rightsOf(epoch)
const audience = alice.deviceId
const bearer = { audience, device: alice.deviceId, expires: NOW }
const rightsOfNow = { readKey: rights.readKey, writeKey: rights.writeKey ?? new Uint8Array() }
const payload = {
  ...{ share, seed, root: epoch.key, name: 'Photos', role: 'editor' as const },
  from: { id: alice.userId, name: 'Alice' },
  change: 'AAAAAAAAAAAAAAAAAAAAAQ' as ChangeId,
  epochs: new Map([[0, epoch]]),
  relays: where.relays,
  devices: [{ id: alice.deviceId, addresses: where.addresses }],
}
const declined = { type: 'declined', share, invite: inviteIdOfSeed(seed) } as const
const card = verifyCard(signCard(alice, where))
const presence = { device: alice.deviceId, addresses: where.addresses, fingerprint: 'f', pending: 0 }

interface ByteDecoder {
  readonly decode: (bytes: Uint8Array) => unknown
  readonly valid: Uint8Array
  /** Puts bytes of a stranger's choosing where they are read after the seal was opened. */
  readonly inside?: (bytes: Uint8Array) => Uint8Array
}

const byteDecoders: Readonly<Record<string, ByteDecoder>> = {
  identity: { decode: decodeIdentity, valid: encodeIdentity(alice) },
  'share keys': {
    decode: decodeShareKeys,
    valid: encodeShareKeys({ share, root: epoch.key, epochs: new Map([[0, epoch]]) }),
  },
  card: { decode: verifyCard, valid: signCard(alice, where) },
  'access statement': { decode: verifyAccessStatement, valid: createAccessStatement(seed, 1, epoch) },
  'invite payload': { decode: decodeInvitePayload, valid: encodeInvitePayload(payload) },
  envelope: {
    decode: (bytes) => openEnvelope(alice, bytes),
    valid: sealEnvelope(alice, signCard(alice, where), card, declined, NOW),
    inside: (bytes) => sealTo(userAgreement(alice.user).publicKey, bytes, 'cofolder envelope'),
  },
  'link payload': {
    decode: (bytes) => openLinkPayload(seed, bytes),
    valid: sealLinkPayload(payload),
    inside: (bytes) => sealWith(seed, bytes, utf8(inviteIdOfSeed(seed)), 'cofolder link'),
  },
  'link statement': { decode: verifyLinkStatement, valid: createLinkStatement(seed, NOW, new Uint8Array(9)) },
  presence: {
    decode: (bytes) => openPresence(epoch.key, share, bytes),
    valid: sealPresence(epoch.key, share, presence),
    inside: (bytes) => sealWith(epoch.key, bytes, utf8(share), 'cofolder presence'),
  },
  hello: {
    decode: (bytes) => decodeAs(HelloSchema, bytes, MAX_MESSAGE_BYTES),
    valid: encodeCbor({ share, changes: [new Uint8Array(9)] }),
  },
  'stored messages': {
    decode: (bytes) => decodeAs(StoredMessagesSchema, bytes, MAX_MESSAGE_BYTES),
    valid: encodeCbor([{ id: 'a', bytes: new Uint8Array(9) }]),
  },
  'sync message': { decode: readMessage, valid: submissionMessage(new Uint8Array(9)) },
}

const textDecoders: Readonly<Record<string, { decode: (text: string) => unknown; valid: string }>> = {
  card: { decode: decodeCard, valid: encodeCard(alice, where) },
  link: { decode: parseLink, valid: createLink('https://relay.example', seed) },
  token: {
    decode: (text) => verifyToken(text, { document: share, audience, now: NOW, ...rightsOfNow }),
    valid: createToken({ ...bearer, document: share, right: 'write' }, epoch.writeSeed),
  },
  'mailbox token': {
    decode: (text) => verifyMailboxToken(text, { mailbox: alice.userId, audience, now: NOW }),
    valid: createMailboxToken({ ...bearer, mailbox: alice.userId }, alice.user.seed),
  },
}

const valueDecoders: Readonly<Record<string, (value: unknown) => unknown>> = {
  certificate: verifyDeviceCertificate,
  'relay info': (value) => parse(RelayInfoSchema, value),
  'relay error': (value) => parse(RelayErrorSchema, value),
  torrents: (value) => parse(TorrentsSchema, value),
}

function survives(decode: () => unknown): void {
  try {
    decode()
  } catch (error) {
    assert.ok(error instanceof ProtocolError, String(error))
    assert.ok(error.message.length > 0)
  }
}

/** CBOR of any shape, with the field names that our formats use. */
const name = fc.constantFrom(
  ...[
    'user',
    'device',
    'name',
    'card',
    'signature',
    'body',
    'type',
    'from',
    'to',
    'at',
    'share',
    'epochs',
    'key',
  ],
  ...['statement', 'invite', 'changes', 'id', 'bytes', 'version', '__proto__', 'constructor', 'length'],
)
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.constant(null),
    ),
    fc.oneof(
      fc.string(),
      fc.uint8Array({ maxLength: 70 }),
      fc.constantFrom('invite', 'declined', alice.userId, share),
    ),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(name, tie('value'), { maxKeys: 6 }),
  ),
}))

for (const [what, { decode, valid, inside }] of Object.entries(byteDecoders)) {
  test(`${what}: any bytes`, () => {
    decode(valid)
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        value,
        fc.nat(),
        fc.nat(255),
        (bytes, shaped, at, bit) => {
          const flipped = valid.map((byte, i) => (i === at % valid.length ? byte ^ bit : byte))
          const cut = valid.subarray(0, at % valid.length)
          const cbor = encodeCbor(shaped)
          for (const hostile of [bytes, flipped, cut, cbor, Uint8Array.of(...valid, 0)])
            survives(() => decode(hostile))
          if (inside) for (const hostile of [bytes, cbor]) survives(() => decode(inside(hostile)))
        },
      ),
      { numRuns: 100 },
    )
    survives(() => decode(new Uint8Array(MAX_MESSAGE_BYTES + 1)))
  })
}

for (const [what, { decode, valid }] of Object.entries(textDecoders)) {
  test(`${what}: any text`, () => {
    decode(valid)
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), value, fc.nat(), (text, shaped, at) => {
        const place = at % valid.length
        const changed = `${valid.slice(0, place)}${text.slice(0, 1)}${valid.slice(place + 1)}`
        const cbor = toBase64url(encodeCbor(shaped))
        const built = [`cofolder:card:${cbor}`, `v1.${cbor}.${cbor}`, `https://x/s/${share}#${cbor}`]
        for (const hostile of [text, changed, valid.slice(0, place), valid + text, ...built]) {
          survives(() => decode(hostile))
        }
      }),
      { numRuns: 100 },
    )
    survives(() => decode('x'.repeat(1_000_000)))
    survives(() => decode(valid.repeat(10_000)))
  })
}

for (const [what, decode] of Object.entries(valueDecoders)) {
  test(`${what}: any value`, () => {
    fc.assert(
      fc.property(fc.oneof(value, fc.anything()), (hostile) => survives(() => decode(hostile))),
      { numRuns: 300 },
    )
  })
}
