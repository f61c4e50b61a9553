/** Keys of content. Browsers derive the same: HKDF-SHA-256 with an empty salt, 32 bytes each. */
import { hkdfSync } from 'node:crypto'

const KEY_LENGTH = 32
const NO_SALT = new Uint8Array()

const derive = (key: Uint8Array, info: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', key, NO_SALT, info, KEY_LENGTH))

/** A share's content key, for its whole life: HKDF(share root, 'cofolder content'). */
export const contentKey = (root: Uint8Array): Uint8Array => derive(root, 'cofolder content')

/**
 * The AES-256-CTR key of one payload (a segment or a small file) from the SHA-256 of its plaintext:
 * HKDF(content key ‖ sha256, 'cofolder payload'). One key never meets two plaintexts, so the counter starts at 0.
 */
export const payloadKey = (content: Uint8Array, sha256: Uint8Array): Uint8Array =>
  derive(Buffer.concat([content, sha256]), 'cofolder payload')
