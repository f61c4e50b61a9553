/** The secrets one device holds of a share. They rest in the profile, never in the document in the clear. */
import type { ShareId } from '../ids.ts'

export interface EpochKeys {
  /** Seals batches of this epoch (32 bytes); the relay's read right derives from it. */
  readonly key: Uint8Array
  /** Ed25519 seed of the relay's write right; editors and owners only. */
  readonly writeSeed?: Uint8Array
}

export interface ShareKeys {
  readonly share: ShareId
  /** The same for the share's whole life (32 bytes): seals the membership log, derives content keys. */
  readonly root: Uint8Array
  /** Ed25519 seed whose public key is the share's id; the owner's devices only. */
  readonly adminSeed?: Uint8Array
  readonly epochs: ReadonlyMap<number, EpochKeys>
}
