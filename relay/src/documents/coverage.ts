/**
 * What a Yjs update brings, without its content: the clocks of its structs and of what it deletes. Enough to see that
 * an update brings nothing new, and what a replica lacks, with no Y.Doc in memory.
 */
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { RelayError } from '../errors.ts'
import { ClockRanges } from './ranges.ts'

export interface Coverage {
  readonly structs: ClockRanges
  readonly deletes: ClockRanges
}

export const emptyCoverage = (): Coverage => ({ structs: new ClockRanges(), deletes: new ClockRanges() })

type DecodedUpdate = ReturnType<typeof Y.decodeUpdate>
export type Struct = DecodedUpdate['structs'][number]
export type Deletes = DecodedUpdate['ds']

/** Decodes an update completely. @throws RelayError `malformed` when it is not a Yjs update. */
export function decodeUpdate(update: Uint8Array): DecodedUpdate {
  try {
    const decoded = Y.decodeUpdate(update)
    let client = Number.POSITIVE_INFINITY
    for (const { id } of decoded.structs) {
      // As every encoder writes it. A client named twice would push out its other structs when updates are merged.
      if (id.client > client) throw new TypeError('clients are out of order')
      client = id.client
    }
    return decoded
  } catch (cause) {
    throw new RelayError('malformed', 'not a Yjs update', { cause })
  }
}

export function coverageIn(structs: readonly Struct[], deletes: Deletes): Coverage {
  const coverage = emptyCoverage()
  for (const struct of structs) {
    const { id, length } = struct
    // A skip stands for structs that are missing.
    if (!(struct instanceof Y.Skip)) coverage.structs.add(id.client, id.clock, id.clock + length)
  }
  for (const [client, items] of deletes.clients) {
    for (const { clock, len } of items) coverage.deletes.add(client, clock, clock + len)
  }
  return coverage
}

/** @throws RelayError `malformed` when it is not a Yjs update. */
export function coverageOf(update: Uint8Array): Coverage {
  const { structs, ds } = decodeUpdate(update)
  return coverageIn(structs, ds)
}

export function addCoverage(to: Coverage, more: Coverage): void {
  to.structs.addAll(more.structs)
  to.deletes.addAll(more.deletes)
}

export const covers = (known: Coverage, other: Coverage): boolean =>
  known.structs.contains(other.structs) && known.deletes.contains(other.deletes)

/** Reads a state vector. @throws RelayError `malformed`. */
export function readStateVector(bytes: Uint8Array): ReadonlyMap<number, number> {
  try {
    return Y.decodeStateVector(bytes)
  } catch (cause) {
    throw new RelayError('malformed', 'not a state vector', { cause })
  }
}

const writeRanges = (encoder: encoding.Encoder, ranges: ClockRanges): void => {
  const all = [...ranges]
  encoding.writeVarUint(encoder, all.length)
  for (const { client, from, to } of all) {
    encoding.writeVarUint(encoder, client)
    encoding.writeVarUint(encoder, from)
    encoding.writeVarUint(encoder, to)
  }
}

const readRanges = (decoder: decoding.Decoder, into: ClockRanges): void => {
  for (let left = decoding.readVarUint(decoder); left > 0; left--) {
    into.add(decoding.readVarUint(decoder), decoding.readVarUint(decoder), decoding.readVarUint(decoder))
  }
}

/** An update as it rests in a log: what it covers, then its bytes, so that most entries need not be decoded again. */
export interface StoredUpdate {
  readonly coverage: Coverage
  readonly update: Uint8Array
}

export function encodeStored({ coverage, update }: StoredUpdate): Uint8Array {
  const encoder = encoding.createEncoder()
  writeRanges(encoder, coverage.structs)
  writeRanges(encoder, coverage.deletes)
  encoding.writeUint8Array(encoder, update)
  return encoding.toUint8Array(encoder)
}

/** @throws RelayError `malformed` when the bytes were damaged. */
export function decodeStored(bytes: Uint8Array): StoredUpdate {
  const coverage = emptyCoverage()
  try {
    const decoder = decoding.createDecoder(bytes)
    readRanges(decoder, coverage.structs)
    readRanges(decoder, coverage.deletes)
    return { coverage, update: decoding.readTailAsUint8Array(decoder) }
  } catch (cause) {
    throw new RelayError('malformed', 'a stored update is damaged', { cause })
  }
}
