/** Epoch keys on their way to those who may have them: sealed to an agreement key inside a membership change. */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { openSealed, sealTo } from '../crypto/box.ts'
import { decodeAs, encodeCbor } from '../encoding/cbor.ts'
import { bytesOf } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import type { ShareId } from '../ids.ts'
import type { EpochKeys } from '../share/keys.ts'

const KEY_LENGTH = 32
const MAX_WRAPPED_BYTES = 64 * 1024

const WrappedSchema = v.array(
  v.strictTuple([
    v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
    bytesOf(KEY_LENGTH),
    v.nullable(bytesOf(KEY_LENGTH)),
  ]),
)

const contextOf = (share: ShareId): string => `cofolder epoch keys ${share}`

/**
 * Seals epoch keys to one recipient; the right to write goes with them only `forEditor`. Undefined when his key
 * is no usable one: that is his loss, and must not keep a change from being made.
 */
export function wrapEpochs(
  recipient: Uint8Array,
  share: ShareId,
  epochs: ReadonlyMap<number, EpochKeys>,
  forEditor: boolean,
): Uint8Array | undefined {
  if (!crypto.x25519(crypto.randomBytes(KEY_LENGTH), recipient)) return undefined
  const list = [...epochs].map(([epoch, { key, writeSeed }]) => [
    epoch,
    key,
    forEditor ? (writeSeed ?? null) : null,
  ])
  return sealTo(recipient, encodeCbor(list), contextOf(share))
}

/** Inverse of `wrapEpochs`; undefined when it is not for this secret, or is not what it should be. */
export function unwrapEpochs(
  secret: Uint8Array,
  share: ShareId,
  sealed: Uint8Array,
): ReadonlyMap<number, EpochKeys> | undefined {
  const bytes = openSealed(secret, sealed, contextOf(share))
  if (!bytes) return undefined
  try {
    const list = decodeAs(WrappedSchema, bytes, MAX_WRAPPED_BYTES)
    return new Map(list.map(([epoch, key, writeSeed]) => [epoch, writeSeed ? { key, writeSeed } : { key }]))
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

export const createEpochKeys = (): Required<EpochKeys> => ({
  key: crypto.randomBytes(KEY_LENGTH),
  writeSeed: crypto.randomBytes(KEY_LENGTH),
})

/** The X25519 secret of an invite, from its seed. */
export const inviteAgreementSecret = (seed: Uint8Array): Uint8Array =>
  crypto.hkdf(seed, 'cofolder invite agreement', KEY_LENGTH)
