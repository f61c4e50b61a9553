/** The primitives on the @noble libraries, for browsers. */
import { gcm } from '@noble/ciphers/aes.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { utf8 } from '../bytes.ts'
import type { CryptoPrimitives } from './port.ts'

export const crypto: CryptoPrimitives = {
  randomBytes: (length) => globalThis.crypto.getRandomValues(new Uint8Array(length)),
  sha256: (data) => sha256(data),
  hkdf: (key, info, length) => hkdf(sha256, key, new Uint8Array(), utf8(info), length),
  aesGcmSeal: (key, nonce, plaintext, aad) => gcm(key, nonce, aad).encrypt(plaintext),
  aesGcmOpen(key, nonce, sealed, aad) {
    try {
      return gcm(key, nonce, aad).decrypt(sealed)
    } catch {
      return undefined
    }
  },
  ed25519PublicKey: (seed) => ed25519.getPublicKey(seed),
  ed25519Sign: (seed, message) => ed25519.sign(message, seed),
  ed25519Verify(key, message, signature) {
    try {
      return ed25519.verify(signature, message, key)
    } catch {
      return false
    }
  },
  x25519PublicKey: (secret) => x25519.getPublicKey(secret),
  x25519(secret, key) {
    try {
      return x25519.getSharedSecret(secret, key)
    } catch {
      return undefined
    }
  },
}
