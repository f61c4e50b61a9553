/**
 * The content protocol: CBOR messages over one stream per requester. Requests carry an `id` that their answer
 * repeats; answers come in any order. The requester opens the stream, the holder only answers.
 */
import { type DeviceId, ShareIdSchema } from '@cofolder/protocol'
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { MAX_ANSWERED_PACK_BYTES, MAX_INFO_BYTES, MAX_INLINE_BYTES, MAX_PACK_FILES } from './limits.ts'

const bytes = (length: number) =>
  v.custom<Uint8Array<ArrayBuffer>>(
    (x) => x instanceof Uint8Array && x.length === length,
    `expected ${length} bytes`,
  )
const bytesUpTo = (length: number) =>
  v.custom<Uint8Array<ArrayBuffer>>(
    (x) => x instanceof Uint8Array && x.length <= length,
    `over ${length} bytes`,
  )
const Id = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff_ffff))
const Size = v.pipe(v.number(), v.safeInteger(), v.minValue(1))
const Port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))

/** A small file as wanted. The total is bounded by `wantedBytes`. */
const WantedFileSchema = v.strictObject({
  sha256: bytes(32),
  size: v.pipe(Size, v.maxValue(MAX_ANSWERED_PACK_BYTES)),
})

const RequestSchema = v.variant('type', [
  /** Serve this segment as a torrent. */
  v.strictObject({
    type: v.literal('segment'),
    id: Id,
    share: ShareIdSchema,
    sha256: bytes(32),
    size: Size,
    infoHash: bytes(20),
  }),
  /** Serve these small files: inline when they are few bytes, else as one torrent of their ciphertexts in order. */
  v.strictObject({
    type: v.literal('files'),
    id: Id,
    share: ShareIdSchema,
    files: v.pipe(
      v.array(WantedFileSchema),
      v.minLength(1),
      v.maxLength(MAX_PACK_FILES),
      v.check((files) => totalSize(files) <= MAX_ANSWERED_PACK_BYTES, 'pack too large'),
    ),
  }),
])
export type ContentRequest = v.InferOutput<typeof RequestSchema>
export type ContentQuestion = ContentRequest extends infer R
  ? R extends unknown
    ? Omit<R, 'id'>
    : never
  : never

const AnswerSchema = v.variant('type', [
  /** Not a member with access, as far as the holder knows. */
  v.strictObject({ type: v.literal('refused'), id: Id }),
  /** None of it here. */
  v.strictObject({ type: v.literal('none'), id: Id }),
  /** Too much at once; ask again shortly. */
  v.strictObject({ type: v.literal('busy'), id: Id }),
  v.strictObject({ type: v.literal('segment'), id: Id, info: bytesUpTo(MAX_INFO_BYTES), port: Port }),
  /** Ciphertext of each wanted file, or null where the holder lacks it. */
  v.strictObject({
    type: v.literal('inline'),
    id: Id,
    files: v.pipe(v.array(v.nullable(bytesUpTo(MAX_INLINE_BYTES))), v.maxLength(MAX_PACK_FILES)),
  }),
  /** A torrent of the ciphertexts of the wanted files that are `true`, in their order. */
  v.strictObject({
    type: v.literal('pack'),
    id: Id,
    has: v.pipe(v.array(v.boolean()), v.maxLength(MAX_PACK_FILES)),
    info: bytesUpTo(MAX_INFO_BYTES),
    port: Port,
  }),
])
export type ContentAnswer = v.InferOutput<typeof AnswerSchema>
export type ContentReply = ContentAnswer extends infer R ? (R extends unknown ? Omit<R, 'id'> : never) : never

/** First message of a wire stream; BitTorrent bytes follow in both directions. */
const WireHelloSchema = v.strictObject({ share: ShareIdSchema, infoHash: bytes(20) })
export type WireHello = v.InferOutput<typeof WireHelloSchema>

export const totalSize = (files: readonly { readonly size: number }[]): number =>
  files.reduce((sum, file) => sum + file.size, 0)

/** What a device sent is not the protocol; its stream is closed. */
class WireError extends Error {
  readonly device: DeviceId
  constructor(device: DeviceId, options?: ErrorOptions) {
    super('a device sent a message that is not the content protocol', options)
    this.name = 'WireError'
    this.device = device
  }
}

const STRICT = {
  strict: true,
  rejectDuplicateMapKeys: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowBigInt: false,
  allowNaN: false,
  allowInfinity: false,
} as const

const parser =
  <T>(schema: v.GenericSchema<unknown, T>, limit: number) =>
  (device: DeviceId, message: Uint8Array): T => {
    try {
      if (message.length > limit) throw new RangeError(`message of ${message.length} bytes`)
      return v.parse(schema, decode(message, STRICT))
    } catch (cause) {
      throw new WireError(device, { cause })
    }
  }

/** The largest answer: an inline one, or a pack's info dict and flags. */
const MAX_ANSWER_BYTES = MAX_INLINE_BYTES + MAX_INFO_BYTES
const MAX_REQUEST_MESSAGE = 256 * 1024
const MAX_HELLO_BYTES = 256

export const parseRequest = parser<ContentRequest>(RequestSchema, MAX_REQUEST_MESSAGE)
export const parseAnswer = parser<ContentAnswer>(AnswerSchema, MAX_ANSWER_BYTES)
export const parseHello = parser<WireHello>(WireHelloSchema, MAX_HELLO_BYTES)
export const encodeMessage = (message: ContentRequest | ContentAnswer | WireHello): Uint8Array =>
  encode(message)
