/** Ids that follow from public keys. */
import { crypto } from '#crypto'
import { toBase64url } from '../bytes.ts'
import type { DeviceId, InviteId, ShareId, UserId } from '../ids.ts'

const ID_LENGTH = 16

/** The first 16 bytes of SHA-256, as every content address here. */
export const shortHash = (bytes: Uint8Array): Uint8Array => crypto.sha256(bytes).subarray(0, ID_LENGTH)

export const userIdOfKey = (publicKey: Uint8Array): UserId => toBase64url(publicKey) as UserId
export const deviceIdOfKey = (publicKey: Uint8Array): DeviceId => toBase64url(publicKey) as DeviceId
export const shareIdOf = (adminPublicKey: Uint8Array): ShareId =>
  toBase64url(shortHash(adminPublicKey)) as ShareId
export const inviteIdOf = (invitePublicKey: Uint8Array): InviteId =>
  toBase64url(shortHash(invitePublicKey)) as InviteId
