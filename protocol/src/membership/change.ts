/**
 * One entry of a share's membership log: signed by those whose word it is, sealed under the share's root key.
 * Its id is the hash of the sealed bytes. The nonce follows from the plaintext, so that one signed change has one
 * sealed form: nobody can have it counted twice by sealing it again.
 */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { concatBytes, equalBytes, toBase64url, utf8 } from '../bytes.ts'
import { decodeAs, encodeCbor, parse } from '../encoding/cbor.ts'
import { bytesOf, bytesUpTo, MillisSchema, PersonNameSchema } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { deviceIdOfKey, shareIdOf, shortHash, userIdOfKey } from '../identity/derive.ts'
import type { DeviceCertificate } from '../identity/device.ts'
import { verifyDeviceCertificate } from '../identity/identity.ts'
import {
  type ChangeId,
  ChangeIdSchema,
  DeviceIdSchema,
  InviteIdSchema,
  type ShareId,
  ShareIdSchema,
  type UserId,
  UserIdSchema,
} from '../ids.ts'
import { MAX_CHANGE_BYTES } from '../limits.ts'

const KEY_LENGTH = 32
const NONCE_LENGTH = 12
const SEAL_CONTEXT = 'cofolder membership'
const NONCE_CONTEXT = 'cofolder membership nonce'
const SIGNATURE_CONTEXT = utf8('cofolder change\0')
/** Heads of the log one change may name: as many people may join at once before somebody's change joins them. */
const MAX_LOG_HEADS = 2048
/** Recipients of one change's wraps. */
const MAX_WRAPS = 4096
const MAX_WRAP_BYTES = 64 * 1024

const EpochSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(2 ** 31))
const SeqSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
/** Epoch keys, each sealed to the agreement key of a device or of an open invite, under its id. */
const WrapsSchema = v.pipe(
  v.array(v.strictTuple([v.union([DeviceIdSchema, InviteIdSchema]), bytesUpTo(MAX_WRAP_BYTES)])),
  v.maxLength(MAX_WRAPS),
)
/** The last sequence number that counts of each device; of a device not named, none counts. */
const CutoffsSchema = v.pipe(v.array(v.strictTuple([DeviceIdSchema, SeqSchema])), v.maxLength(MAX_WRAPS))
const GuestRoleSchema = v.picklist(['editor', 'viewer'])

const common = {
  share: ShareIdSchema,
  at: MillisSchema,
  /** Heads of the log its author knew. */
  prev: v.pipe(v.array(ChangeIdSchema), v.maxLength(MAX_LOG_HEADS)),
}
const newEpoch = { epoch: EpochSchema, wraps: WrapsSchema }

const BodySchema = v.variant('kind', [
  v.strictObject({
    kind: v.literal('create'),
    ...common,
    user: UserIdSchema,
    name: PersonNameSchema,
    certificate: v.unknown(),
    ...newEpoch,
  }),
  v.strictObject({
    kind: v.literal('invite'),
    ...common,
    /** Ed25519; whoever can sign with it may join. */
    inviteKey: bytesOf(KEY_LENGTH),
    /** X25519; later epochs are wrapped to it while the invite is open. */
    agreementKey: bytesOf(KEY_LENGTH),
    role: GuestRoleSchema,
    for: v.optional(UserIdSchema),
    expires: v.optional(MillisSchema),
    wraps: WrapsSchema,
  }),
  v.strictObject({ kind: v.literal('revoke-invite'), ...common, invite: InviteIdSchema }),
  v.strictObject({
    kind: v.literal('join'),
    ...common,
    inviteKey: bytesOf(KEY_LENGTH),
    user: UserIdSchema,
    name: PersonNameSchema,
    certificate: v.unknown(),
  }),
  v.strictObject({
    kind: v.literal('device'),
    ...common,
    user: UserIdSchema,
    certificate: v.unknown(),
    wraps: WrapsSchema,
  }),
  /** A viewer becomes an editor; his devices get the right to write. */
  v.strictObject({ kind: v.literal('promote'), ...common, user: UserIdSchema, wraps: WrapsSchema }),
  v.strictObject({
    kind: v.literal('demote'),
    ...common,
    user: UserIdSchema,
    cutoffs: CutoffsSchema,
    ...newEpoch,
  }),
  v.strictObject({
    kind: v.literal('remove'),
    ...common,
    user: UserIdSchema,
    cutoffs: CutoffsSchema,
    ...newEpoch,
  }),
  v.strictObject({ kind: v.literal('leave'), ...common, user: UserIdSchema }),
  /** New keys, for example after somebody left; `cutoffs` name the devices of those who did. */
  v.strictObject({ kind: v.literal('epoch'), ...common, cutoffs: CutoffsSchema, ...newEpoch }),
])
export type ChangeBody = v.InferOutput<typeof BodySchema>
export type Wraps = v.InferOutput<typeof WrapsSchema>

export interface MembershipChange {
  readonly id: ChangeId
  readonly body: ChangeBody
  /** Of the device that a create, join or device change adds; verified. */
  readonly certificate: DeviceCertificate | undefined
}

const EnvelopeSchema = v.strictTuple([v.literal(1), bytesUpTo(MAX_CHANGE_BYTES)])
const SignedSchema = v.strictTuple([
  bytesUpTo(MAX_CHANGE_BYTES),
  v.pipe(v.array(v.strictTuple([bytesOf(KEY_LENGTH), bytesOf(64)])), v.maxLength(3)),
])

export interface SealedChange extends MembershipChange {
  /** What stands in the document under `id`. */
  readonly value: Uint8Array
}

export const changeIdOf = (value: Uint8Array): ChangeId => toBase64url(shortHash(value)) as ChangeId

/**
 * Signs with each of the seeds, in the order that the kind asks for (see `isSignedBy`), and seals.
 * @throws ProtocolError `malformed` or `too-large`
 */
export function sealChange(root: Uint8Array, body: ChangeBody, seeds: readonly Uint8Array[]): SealedChange {
  const bytes = encodeCbor(parse(BodySchema, body))
  const message = concatBytes(SIGNATURE_CONTEXT, bytes)
  const signatures = seeds.map((seed) => [crypto.ed25519PublicKey(seed), crypto.ed25519Sign(seed, message)])
  const plaintext = encodeCbor([bytes, signatures])
  const nonce = nonceOf(root, plaintext)
  const sealed = crypto.aesGcmSeal(sealKey(root), nonce, plaintext, utf8(body.share))
  const value = encodeCbor([1, concatBytes(nonce, sealed)])
  if (value.length > MAX_CHANGE_BYTES) throw new ProtocolError('too-large', 'too many members for one change')
  return { id: changeIdOf(value), body, certificate: certificateOf(body), value }
}

/** Opens a change and checks all that does not depend on the rest of the log. @throws ProtocolError */
export function openChange(root: Uint8Array, share: ShareId, value: Uint8Array): MembershipChange {
  const [, sealed] = decodeAs(EnvelopeSchema, value, MAX_CHANGE_BYTES)
  if (sealed.length < NONCE_LENGTH) throw new ProtocolError('malformed', 'not a membership change')
  const nonce = sealed.subarray(0, NONCE_LENGTH)
  const plaintext = crypto.aesGcmOpen(sealKey(root), nonce, sealed.subarray(NONCE_LENGTH), utf8(share))
  if (!plaintext) throw new ProtocolError('wrong-key', 'the change is sealed under another key')
  if (!equalBytes(nonce, nonceOf(root, plaintext)))
    throw new ProtocolError('malformed', 'sealed a second time')
  const [bytes, signatures] = decodeAs(SignedSchema, plaintext, MAX_CHANGE_BYTES)
  const message = concatBytes(SIGNATURE_CONTEXT, bytes)
  if (!signatures.every(([key, signature]) => crypto.ed25519Verify(key, message, signature))) {
    throw new ProtocolError('bad-signature', 'the change is not signed by those it names')
  }
  const body = decodeAs(BodySchema, bytes, MAX_CHANGE_BYTES)
  if (body.share !== share) throw new ProtocolError('malformed', 'a change of another share')
  const certificate = certificateOf(body)
  const keys = signatures.map(([key]) => key)
  if (!isSignedBy(keys, body, certificate)) {
    throw new ProtocolError('bad-signature', `a change of kind ${body.kind} by somebody else`)
  }
  return { id: changeIdOf(value), body, certificate }
}

function certificateOf(body: ChangeBody): DeviceCertificate | undefined {
  return 'certificate' in body ? verifyDeviceCertificate(body.certificate) : undefined
}

/** Whose word each kind is, in this order: the share's admin key or the invite's, the user's, the added device's. */
function isSignedBy(
  keys: readonly Uint8Array[],
  body: ChangeBody,
  certificate: DeviceCertificate | undefined,
): boolean {
  const [first, second, third, ...more] = keys
  if (!first || more.length > 0) return false
  const isAdmin = (key: Uint8Array) => shareIdOf(key) === body.share
  const isUser = (key: Uint8Array | undefined, user: UserId) => key !== undefined && userIdOfKey(key) === user
  const isDevice = (key: Uint8Array | undefined, user: UserId) =>
    key !== undefined && certificate?.user === user && certificate.device === deviceIdOfKey(key)
  switch (body.kind) {
    case 'create':
      return isAdmin(first) && isUser(second, body.user) && isDevice(third, body.user)
    case 'join':
      return equalBytes(first, body.inviteKey) && isUser(second, body.user) && isDevice(third, body.user)
    case 'device':
      return isUser(first, body.user) && isDevice(second, body.user) && third === undefined
    case 'leave':
      return isUser(first, body.user) && second === undefined
    default:
      return isAdmin(first) && second === undefined
  }
}

const sealKey = (root: Uint8Array): Uint8Array => crypto.hkdf(root, SEAL_CONTEXT, KEY_LENGTH)

function nonceOf(root: Uint8Array, plaintext: Uint8Array): Uint8Array {
  return crypto.hkdf(concatBytes(root, crypto.sha256(plaintext)), NONCE_CONTEXT, NONCE_LENGTH)
}
