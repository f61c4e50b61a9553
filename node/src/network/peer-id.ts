/** DeviceId ↔ libp2p PeerId: both are the device's Ed25519 public key, written differently. */
import { type DeviceId, DeviceIdSchema, fromBase64url, parse, toBase64url } from '@cofolder/protocol'
import { generateKeyPairFromSeed, publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'

export function peerIdOf(device: DeviceId): PeerId {
  return peerIdFromPublicKey(publicKeyFromRaw(fromBase64url(device)))
}

/** Undefined for peers whose key is of another kind: no device of ours. */
export function deviceIdOfPeer(peer: PeerId): DeviceId | undefined {
  return peer.type === 'Ed25519' ? parse(DeviceIdSchema, toBase64url(peer.publicKey.raw)) : undefined
}

export const privateKeyOf = (seed: Uint8Array): Promise<PrivateKey> =>
  generateKeyPairFromSeed('Ed25519', seed)
