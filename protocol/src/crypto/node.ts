/** The primitives on node:crypto. */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import { concatBytes } from '../bytes.ts'
import type { CryptoPrimitives } from './port.ts'

// DER prefixes (RFC 8410) that turn raw 32-byte keys into what node:crypto imports.
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex')
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex')
const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex')
const KEY_LENGTH = 32
const TAG_LENGTH = 16
/** Parsed public keys kept for reuse: importing one costs as much as half a verification. */
const VERIFY_KEY_CACHE = 256

const privateKey = (prefix: Buffer, raw: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.concat([prefix, raw]), format: 'der', type: 'pkcs8' })
const publicKey = (prefix: Buffer, raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([prefix, raw]), format: 'der', type: 'spki' })
const rawPublicKey = (key: KeyObject): Uint8Array =>
  new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-KEY_LENGTH))

const verifyKeys = new Map<string, KeyObject>()

function verifyKey(raw: Uint8Array): KeyObject {
  const name = Buffer.from(raw).toString('base64')
  let key = verifyKeys.get(name)
  if (!key) {
    key = publicKey(SPKI_ED25519, raw)
    if (verifyKeys.size >= VERIFY_KEY_CACHE) verifyKeys.clear()
    verifyKeys.set(name, key)
  }
  return key
}

export const crypto: CryptoPrimitives = {
  randomBytes: (length) => new Uint8Array(randomBytes(length)),
  // One call instead of a hash object: a share of 100,000 files takes 100,000 of them to open.
  sha256: (data) => new Uint8Array(hash('sha256', data, 'buffer')),
  hkdf: (key, info, length) => new Uint8Array(hkdfSync('sha256', key, new Uint8Array(), info, length)),
  aesGcmSeal(key, nonce, plaintext, aad) {
    const cipher = createCipheriv('aes-256-gcm', key, nonce)
    cipher.setAAD(aad)
    return concatBytes(cipher.update(plaintext), cipher.final(), cipher.getAuthTag())
  },
  aesGcmOpen(key, nonce, sealed, aad) {
    if (sealed.length < TAG_LENGTH) return undefined
    const decipher = createDecipheriv('aes-256-gcm', key, nonce)
    decipher.setAAD(aad)
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_LENGTH))
    try {
      return concatBytes(decipher.update(sealed.subarray(0, sealed.length - TAG_LENGTH)), decipher.final())
    } catch {
      return undefined
    }
  },
  ed25519PublicKey: (seed) => rawPublicKey(privateKey(PKCS8_ED25519, seed)),
  ed25519Sign: (seed, message) => new Uint8Array(sign(null, message, privateKey(PKCS8_ED25519, seed))),
  ed25519Verify(key, message, signature) {
    if (key.length !== KEY_LENGTH || signature.length !== 64) return false
    try {
      return verify(null, message, verifyKey(key), signature)
    } catch {
      return false
    }
  },
  x25519PublicKey: (secret) => rawPublicKey(privateKey(PKCS8_X25519, secret)),
  x25519(secret, key) {
    if (key.length !== KEY_LENGTH) return undefined
    try {
      return new Uint8Array(
        diffieHellman({
          privateKey: privateKey(PKCS8_X25519, secret),
          publicKey: publicKey(SPKI_X25519, key),
        }),
      )
    } catch {
      return undefined
    }
  },
}
