/**
 * A batch: records that one device wrote at once, signed by it and sealed under an epoch's key. Its id is the
 * hash of its sealed bytes.
 */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { concatBytes, fromBase64url, toBase64url, utf8 } from '../bytes.ts'
import { decodeAs, encodeCbor } from '../encoding/cbor.ts'
import { bytesOf, bytesUpTo, MillisSchema } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { shortHash } from '../identity/derive.ts'
import {
  type BatchId,
  type ChangeId,
  ChangeIdSchema,
  type DeviceId,
  DeviceIdSchema,
  type ShareId,
  ShareIdSchema,
} from '../ids.ts'
import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS } from '../limits.ts'
import { type AuthoredRecord, packRecords, unpackRecords } from './columns.ts'
import type { ShareRecord } from './record.ts'

const NONCE_LENGTH = 12
/** Membership changes one batch may build on: those about its author, few even after a life of changing roles. */
const MAX_HEADS = 64
const SIGNATURE_CONTEXT = utf8('cofolder batch\0')
/** What surrounds the records in a sealed batch: heads, ids, signature, tag, and the frames of it all. */
const BATCH_OVERHEAD = 4096

const SealedSchema = v.strictTuple([
  v.literal(1),
  v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  bytesOf(NONCE_LENGTH),
  bytesUpTo(MAX_BATCH_BYTES),
])
const SignedSchema = v.strictTuple([bytesUpTo(MAX_BATCH_BYTES), bytesOf(64)])
const BodySchema = v.strictObject({
  share: ShareIdSchema,
  device: DeviceIdSchema,
  seq: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  at: MillisSchema,
  head: v.pipe(v.array(ChangeIdSchema), v.minLength(1), v.maxLength(MAX_HEADS)),
  records: v.unknown(),
})

/** A batch whose signature is right; whether its author may write it is for the membership to say. */
export interface OpenBatch {
  readonly id: BatchId
  readonly device: DeviceId
  /** Grows by one with each batch of the device in this share, from 1. */
  readonly seq: number
  readonly at: number
  /** The latest membership changes about the author that he knew. */
  readonly heads: readonly ChangeId[]
  readonly records: readonly AuthoredRecord[]
}

/** Sealed bytes, taken apart but not opened. */
export interface SealedBatch {
  readonly id: BatchId
  readonly epoch: number
  readonly nonce: Uint8Array
  readonly sealed: Uint8Array
}

export const batchIdOf = (value: Uint8Array): BatchId => toBase64url(shortHash(value)) as BatchId

/** The key batches of an epoch are sealed under. */
export const batchKey = (epochKey: Uint8Array): Uint8Array => crypto.hkdf(epochKey, 'cofolder batch', 32)

/** Splits records into lists that fit a batch each, in order. */
export function splitRecords(records: readonly ShareRecord[]): ShareRecord[][] {
  const lists: ShareRecord[][] = []
  let room = 0
  for (const record of records) {
    const size = encodedSize(record)
    const last = lists.at(-1)
    if (last && last.length < MAX_BATCH_RECORDS && size <= room) last.push(record)
    else lists.push([record])
    room = (lists.at(-1) === last ? room : MAX_BATCH_BYTES - BATCH_OVERHEAD) - size
  }
  return lists
}

/** An upper bound in bytes, without encoding: UTF-8 takes at most three bytes for a UTF-16 unit. */
function encodedSize(record: ShareRecord): number {
  switch (record.type) {
    case 'place':
      return 80 + 3 * record.name.length
    case 'version': {
      const { content } = record
      const parents = 64 + 24 * record.parents.length
      if (content.kind === 'file') return parents + 80 + 80 * content.segments.length
      return parents + (content.kind === 'symlink' ? 3 * content.target.length : 16)
    }
    case 'settings':
      return 32 + 3 * record.name.length + record.relays.reduce((sum, relay) => sum + 8 + 3 * relay.length, 0)
    case 'placement':
      return 128 + 3 * record.label.length
  }
}

export function sealBatch(
  content: Omit<OpenBatch, 'id' | 'records'> & {
    readonly share: ShareId
    readonly records: readonly ShareRecord[]
  },
  keys: { readonly epoch: number; readonly batchKey: Uint8Array; readonly deviceSeed: Uint8Array },
): { batch: OpenBatch; value: Uint8Array } {
  const { share, device, seq, at, heads, records } = content
  const body = encodeCbor({ share, device, seq, at, head: heads, records: packRecords(records) })
  const signature = crypto.ed25519Sign(keys.deviceSeed, concatBytes(SIGNATURE_CONTEXT, body))
  const nonce = crypto.randomBytes(NONCE_LENGTH)
  const plaintext = encodeCbor([body, signature])
  const sealed = crypto.aesGcmSeal(keys.batchKey, nonce, plaintext, associated(share, keys.epoch))
  const value = encodeCbor([1, keys.epoch, nonce, sealed])
  if (value.length > MAX_BATCH_BYTES) throw new ProtocolError('too-large', 'the records do not fit one batch')
  const authored = records.map((record) => ({ ...record, author: device }))
  return { batch: { id: batchIdOf(value), device, seq, at, heads, records: authored }, value }
}

/** @throws ProtocolError `malformed` or `too-large` */
export function readSealedBatch(value: Uint8Array): SealedBatch {
  const [, epoch, nonce, sealed] = decodeAs(SealedSchema, value, MAX_BATCH_BYTES)
  return { id: batchIdOf(value), epoch, nonce, sealed }
}

/** Opens a batch; undefined when it is sealed under another key. @throws ProtocolError when it is not a right one. */
export function openBatch(
  share: ShareId,
  { id, epoch, nonce, sealed }: SealedBatch,
  key: Uint8Array,
): OpenBatch | undefined {
  const plaintext = crypto.aesGcmOpen(key, nonce, sealed, associated(share, epoch))
  if (!plaintext) return undefined
  const [bytes, signature] = decodeAs(SignedSchema, plaintext, MAX_BATCH_BYTES)
  const { head, records, ...body } = decodeAs(BodySchema, bytes, MAX_BATCH_BYTES)
  if (body.share !== share) throw new ProtocolError('malformed', 'a batch of another share')
  if (!crypto.ed25519Verify(fromBase64url(body.device), concatBytes(SIGNATURE_CONTEXT, bytes), signature)) {
    throw new ProtocolError('bad-signature', 'the batch is not signed by its device')
  }
  const { device, seq, at } = body
  return { id, device, seq, at, heads: head, records: unpackRecords(records, device) }
}

function associated(share: ShareId, epoch: number): Uint8Array {
  return utf8(`${share} ${epoch}`)
}
