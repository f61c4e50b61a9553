/** Reads the messages of the y-websocket protocol, which stand in @cofolder/protocol, up to the relay's own size limit. */
import { messageTypes, syncTypes } from '@cofolder/protocol'
import * as decoding from 'lib0/decoding'
import { RelayError } from '../errors.ts'

export type ClientMessage =
  | { readonly type: 'state'; readonly stateVector: Uint8Array }
  | { readonly type: 'update'; readonly update: Uint8Array }
  | { readonly type: 'presence'; readonly presence: Uint8Array }
  | { readonly type: 'query-presence' }
  | { readonly type: 'submission'; readonly submission: Uint8Array }

/** @throws RelayError `malformed`. */
export function readMessage(bytes: Uint8Array): ClientMessage {
  try {
    return read(decoding.createDecoder(bytes))
  } catch (cause) {
    throw new RelayError('malformed', 'not a message of the y-websocket protocol', { cause })
  }
}

function read(decoder: decoding.Decoder): ClientMessage {
  const type = decoding.readVarUint(decoder)
  switch (type) {
    case messageTypes.sync:
      return readSync(decoder)
    case messageTypes.awareness:
      return { type: 'presence', presence: decoding.readVarUint8Array(decoder) }
    case messageTypes.queryAwareness:
      return { type: 'query-presence' }
    case messageTypes.submission:
      return { type: 'submission', submission: decoding.readVarUint8Array(decoder) }
    default:
      throw new TypeError(`unknown message type ${type}`)
  }
}

function readSync(decoder: decoding.Decoder): ClientMessage {
  const type = decoding.readVarUint(decoder)
  const bytes = decoding.readVarUint8Array(decoder)
  switch (type) {
    case syncTypes.step1:
      return { type: 'state', stateVector: bytes }
    case syncTypes.step2:
    case syncTypes.update:
      return { type: 'update', update: bytes }
    default:
      throw new TypeError(`unknown sync message ${type}`)
  }
}
