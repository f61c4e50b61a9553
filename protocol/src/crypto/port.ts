/**
 * The cryptographic primitives the protocol is built from. Two implementations: `node.ts` (node:crypto) and
 * `web.ts` (@noble, for browsers), chosen by the package's `#crypto` import condition. All are synchronous.
 */
export interface CryptoPrimitives {
  /** Cryptographically secure random bytes. */
  randomBytes(length: number): Uint8Array
  /** SHA-256 (FIPS 180-4), 32 bytes. */
  sha256(data: Uint8Array): Uint8Array
  /** HKDF-SHA-256 (RFC 5869) with an empty salt. */
  hkdf(key: Uint8Array, info: string, length: number): Uint8Array
  /** AES-256-GCM (NIST SP 800-38D): ciphertext followed by the 16-byte tag. Key 32 bytes, nonce 12 bytes. */
  aesGcmSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array
  /** Inverse of `aesGcmSeal`; undefined when the tag does not match. */
  aesGcmOpen(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array | undefined
  /** Ed25519 (RFC 8032) public key of a 32-byte seed. */
  ed25519PublicKey(seed: Uint8Array): Uint8Array
  /** Ed25519 signature, 64 bytes, with a 32-byte seed. */
  ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array
  /** False for a wrong signature and for malformed keys or signatures; never throws. */
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
  /** X25519 (RFC 7748) public key of a 32-byte secret. */
  x25519PublicKey(secret: Uint8Array): Uint8Array
  /** X25519 shared secret; undefined for a malformed or low-order public key. */
  x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined
}
