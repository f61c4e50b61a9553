/** A person on one device: the user's keys, the device's keys, and the certificate that joins them. */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { fromBase64url, utf8 } from '../bytes.ts'
import { decodeAs, encodeCbor, parse } from '../encoding/cbor.ts'
import { bytesOf, MillisSchema, PersonNameSchema } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { type DeviceId, DeviceIdSchema, type UserId, UserIdSchema } from '../ids.ts'
import { deviceIdOfKey, userIdOfKey } from './derive.ts'
import type { DeviceCertificate } from './device.ts'

const SEED_LENGTH = 32
const MAX_IDENTITY_BYTES = 4096
const CERTIFICATE_CONTEXT = utf8('cofolder device certificate\0')

export interface UserKeys {
  /** Ed25519 seed, 32 bytes. */
  readonly seed: Uint8Array
}
export interface DeviceKeys {
  /** Ed25519 seed, 32 bytes; also the libp2p private key. */
  readonly seed: Uint8Array
}
/** An X25519 key pair. */
export interface AgreementKeys {
  readonly secret: Uint8Array
  readonly publicKey: Uint8Array
}

export interface Identity {
  readonly user: UserKeys
  readonly device: DeviceKeys
  readonly userId: UserId
  readonly deviceId: DeviceId
  readonly name: string
  readonly certificate: DeviceCertificate
}

export const createUserKeys = (): UserKeys => ({ seed: crypto.randomBytes(SEED_LENGTH) })
export const createDeviceKeys = (): DeviceKeys => ({ seed: crypto.randomBytes(SEED_LENGTH) })
export const userIdOf = (keys: UserKeys): UserId => userIdOfKey(crypto.ed25519PublicKey(keys.seed))
export const deviceIdOf = (keys: DeviceKeys): DeviceId => deviceIdOfKey(crypto.ed25519PublicKey(keys.seed))

function agreementKeys(seed: Uint8Array, context: string): AgreementKeys {
  const secret = crypto.hkdf(seed, context, SEED_LENGTH)
  return { secret, publicKey: crypto.x25519PublicKey(secret) }
}

export const userAgreement = (keys: UserKeys): AgreementKeys =>
  agreementKeys(keys.seed, 'cofolder user agreement')
export const deviceAgreement = (keys: DeviceKeys): AgreementKeys =>
  agreementKeys(keys.seed, 'cofolder device agreement')

const CertificateSchema = v.object({
  user: UserIdSchema,
  device: DeviceIdSchema,
  agreementKey: bytesOf(32),
  name: PersonNameSchema,
  at: MillisSchema,
  signature: bytesOf(64),
})

function certificateMessage(certificate: Omit<DeviceCertificate, 'signature'>): Uint8Array {
  const { user, device, agreementKey, name, at } = certificate
  const body = encodeCbor({ user, device, agreementKey, name, at })
  const message = new Uint8Array(CERTIFICATE_CONTEXT.length + body.length)
  message.set(CERTIFICATE_CONTEXT)
  message.set(body, CERTIFICATE_CONTEXT.length)
  return message
}

/** The user's signed word that a device acts for him. `at` in milliseconds since the epoch. */
export function certifyDevice(
  user: UserKeys,
  device: DeviceKeys,
  name: string,
  at: number,
): DeviceCertificate {
  const unsigned = {
    user: userIdOf(user),
    device: deviceIdOf(device),
    agreementKey: deviceAgreement(device).publicKey,
    name,
    at,
  }
  return { ...unsigned, signature: crypto.ed25519Sign(user.seed, certificateMessage(unsigned)) }
}

/** Parses a certificate and checks its signature. @throws ProtocolError `malformed` or `bad-signature` */
export function verifyDeviceCertificate(value: unknown): DeviceCertificate {
  const certificate = parse(CertificateSchema, value)
  const key = fromBase64url(certificate.user)
  if (!crypto.ed25519Verify(key, certificateMessage(certificate), certificate.signature)) {
    throw new ProtocolError('bad-signature', 'the device is not certified by its user')
  }
  return certificate
}

/** New keys for a person on his first device. */
export function createIdentity(options: { name: string; deviceName: string; at: number }): Identity {
  return identityFromKeys({ user: createUserKeys(), device: createDeviceKeys(), ...options })
}

/** The identity that follows from keys. */
export function identityFromKeys(options: {
  user: UserKeys
  device: DeviceKeys
  name: string
  deviceName: string
  at: number
}): Identity {
  const { user, device, name, deviceName, at } = options
  return {
    user,
    device,
    userId: userIdOf(user),
    deviceId: deviceIdOf(device),
    name: parse(PersonNameSchema, name),
    certificate: certifyDevice(user, device, parse(PersonNameSchema, deviceName), at),
  }
}

const StoredIdentitySchema = v.object({
  version: v.literal(1),
  user: bytesOf(SEED_LENGTH),
  device: bytesOf(SEED_LENGTH),
  name: PersonNameSchema,
  deviceName: PersonNameSchema,
  at: MillisSchema,
})

/** Secret bytes for the profile; the caller keeps them in a file of mode 0600. */
export function encodeIdentity(identity: Identity): Uint8Array {
  const { user, device, name, certificate } = identity
  return encodeCbor({
    version: 1,
    user: user.seed,
    device: device.seed,
    name,
    deviceName: certificate.name,
    at: certificate.at,
  })
}

/** Inverse of `encodeIdentity`. @throws ProtocolError `malformed` */
export function decodeIdentity(bytes: Uint8Array): Identity {
  const stored = decodeAs(StoredIdentitySchema, bytes, MAX_IDENTITY_BYTES)
  return identityFromKeys({ ...stored, user: { seed: stored.user }, device: { seed: stored.device } })
}
