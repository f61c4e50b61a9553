/** Sealing: to somebody's agreement key, or under a shared key. The context keeps uses of one key apart. */
import { crypto } from '#crypto'
import { concatBytes } from '../bytes.ts'
import { ProtocolError } from '../errors.ts'

const KEY_LENGTH = 32
const NONCE_LENGTH = 12
const NO_AAD = new Uint8Array()
/** The key of a sealed box is used once, so its nonce may be constant. */
const ZERO_NONCE = new Uint8Array(NONCE_LENGTH)

/** Whether anything can be sealed to an X25519 public key: not to one of low order, which has no secret side. */
export const isAgreementKey = (publicKey: Uint8Array): boolean =>
  crypto.x25519(crypto.randomBytes(KEY_LENGTH), publicKey) !== undefined

/**
 * Seals to an X25519 public key: ephemeral public key ‖ AES-256-GCM. Only the holder of its secret can open it.
 * @throws ProtocolError `malformed` when it is no usable key
 */
export function sealTo(recipient: Uint8Array, plaintext: Uint8Array, context: string): Uint8Array {
  const secret = crypto.randomBytes(KEY_LENGTH)
  const ephemeral = crypto.x25519PublicKey(secret)
  const shared = crypto.x25519(secret, recipient)
  if (!shared) throw new ProtocolError('malformed', 'nothing can be sealed to this key')
  const key = crypto.hkdf(concatBytes(shared, ephemeral, recipient), context, KEY_LENGTH)
  return concatBytes(ephemeral, crypto.aesGcmSeal(key, ZERO_NONCE, plaintext, NO_AAD))
}

/** Inverse of `sealTo`; undefined when it was sealed to somebody else, for another context, or was altered. */
export function openSealed(secret: Uint8Array, sealed: Uint8Array, context: string): Uint8Array | undefined {
  if (sealed.length < KEY_LENGTH) return undefined
  const ephemeral = sealed.subarray(0, KEY_LENGTH)
  const shared = crypto.x25519(secret, ephemeral)
  if (!shared) return undefined
  const key = crypto.hkdf(concatBytes(shared, ephemeral, crypto.x25519PublicKey(secret)), context, KEY_LENGTH)
  return crypto.aesGcmOpen(key, ZERO_NONCE, sealed.subarray(KEY_LENGTH), NO_AAD)
}

/** Seals under HKDF(key, context): random nonce ‖ AES-256-GCM. */
export function sealWith(
  key: Uint8Array,
  plaintext: Uint8Array,
  aad: Uint8Array,
  context: string,
): Uint8Array {
  const nonce = crypto.randomBytes(NONCE_LENGTH)
  return concatBytes(nonce, crypto.aesGcmSeal(crypto.hkdf(key, context, KEY_LENGTH), nonce, plaintext, aad))
}

/** Inverse of `sealWith`; undefined when anything differs. */
export function openWith(
  key: Uint8Array,
  sealed: Uint8Array,
  aad: Uint8Array,
  context: string,
): Uint8Array | undefined {
  if (sealed.length < NONCE_LENGTH) return undefined
  const nonce = sealed.subarray(0, NONCE_LENGTH)
  return crypto.aesGcmOpen(crypto.hkdf(key, context, KEY_LENGTH), nonce, sealed.subarray(NONCE_LENGTH), aad)
}
