/**
 * CBOR (RFC 8949) in its deterministic form, so that equal values have equal bytes and can be signed and hashed.
 * What is decoded comes from peers: bounded, then checked by a schema.
 */
import { type DecodeOptions, decode, encode } from 'cborg'
import * as v from 'valibot'
import { ProtocolError } from '../errors.ts'
import { createStrictReader } from './tokens.ts'

const STRICT: DecodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
}

/** Encodes with sorted map keys; object fields that are undefined are left out. */
export function encodeCbor(value: unknown): Uint8Array {
  const bytes = encode(value, { ignoreUndefinedProperties: true })
  // In Node long results are Buffers, which Yjs refuses and which compare as something else.
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

/**
 * Decodes at most `maxBytes`. Refuses what is not strict: duplicate keys, indefinite lengths, NaN, infinity,
 * undefined, big integers, tags, trailing bytes, text that is not UTF-8, values nested too deep.
 * @throws ProtocolError `too-large` or `malformed`
 */
export function decodeCbor(bytes: Uint8Array, maxBytes: number): unknown {
  if (bytes.length > maxBytes) {
    throw new ProtocolError('too-large', `${bytes.length} bytes where at most ${maxBytes} are allowed`)
  }
  try {
    return decode(bytes, { ...STRICT, tokenizer: createStrictReader(bytes, STRICT) })
  } catch (error) {
    throw new ProtocolError('malformed', 'not valid CBOR', { cause: error })
  }
}

/** Checks a decoded value. @throws ProtocolError `malformed` naming the first thing that is wrong. */
export function parse<Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return result.output
  const [issue] = result.issues
  const path = v.getDotPath(issue)
  throw new ProtocolError('malformed', path === null ? issue.message : `${path}: ${issue.message}`)
}

/** Decodes and checks in one step. @throws ProtocolError `too-large` or `malformed` */
export function decodeAs<Schema extends v.GenericSchema>(
  schema: Schema,
  bytes: Uint8Array,
  maxBytes: number,
): v.InferOutput<Schema> {
  return parse(schema, decodeCbor(bytes, maxBytes))
}
