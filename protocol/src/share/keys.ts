/** The secrets one device holds of a share. They rest in the profile, never in the document in the clear. */
import * as v from 'valibot'
import { decodeAs, encodeCbor } from '../encoding/cbor.ts'
import { bytesOf } from '../encoding/schema.ts'
import { type ShareId, ShareIdSchema } from '../ids.ts'

const SEED_LENGTH = 32
const MAX_STORED_BYTES = 4 * 1024 * 1024

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
  /** Ed25519 seed of the invite this device joined with: opens epochs that began before its join was known. */
  readonly inviteSeed?: Uint8Array
  readonly epochs: ReadonlyMap<number, EpochKeys>
}

const StoredSchema = v.object({
  version: v.literal(1),
  share: ShareIdSchema,
  root: bytesOf(SEED_LENGTH),
  adminSeed: v.optional(bytesOf(SEED_LENGTH)),
  inviteSeed: v.optional(bytesOf(SEED_LENGTH)),
  epochs: v.array(
    v.object({
      epoch: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      key: bytesOf(SEED_LENGTH),
      writeSeed: v.optional(bytesOf(SEED_LENGTH)),
    }),
  ),
})

/** Secret bytes for the profile. */
export function encodeShareKeys({ epochs, ...keys }: ShareKeys): Uint8Array {
  const list = [...epochs].map(([epoch, { key, writeSeed }]) => ({ epoch, key, writeSeed }))
  return encodeCbor({ version: 1, ...keys, epochs: list })
}

/** Inverse of `encodeShareKeys`. @throws ProtocolError `malformed` */
export function decodeShareKeys(bytes: Uint8Array): ShareKeys {
  const { share, root, adminSeed, inviteSeed, epochs } = decodeAs(StoredSchema, bytes, MAX_STORED_BYTES)
  return {
    share,
    root,
    ...(adminSeed ? { adminSeed } : {}),
    ...(inviteSeed ? { inviteSeed } : {}),
    epochs: new Map(
      epochs.map(({ epoch, key, writeSeed }) => [epoch, writeSeed ? { key, writeSeed } : { key }]),
    ),
  }
}
