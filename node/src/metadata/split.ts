/**
 * Cuts a sync message that is larger than a stream takes into several that say the same together: a device that
 * joins a share of a hundred thousand files is sent tens of megabytes.
 */
import { messageTypes, missingMessage, syncTypes, updateMessage } from '@cofolder/protocol'
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'

/** Messages up to this size stay whole, in bytes: a quarter of what a stream takes. */
const WHOLE_BYTES = 4 * 1024 * 1024
/** Bytes after which a part ends; one record more may stand in it. */
const PART_BYTES = 1024 * 1024

/** Only document updates grow that large; the last part is the answer proper when the whole was one. */
export function splitMessage(message: Uint8Array): readonly Uint8Array[] {
  if (message.length <= WHOLE_BYTES) return [message]
  const decoder = decoding.createDecoder(message)
  if (decoding.readVarUint(decoder) !== messageTypes.sync) return [message]
  const type = decoding.readVarUint(decoder)
  if (type === syncTypes.step1) return [message]
  const parts = splitUpdate(decoding.readVarUint8Array(decoder))
  return parts.map((part, i) =>
    type === syncTypes.step2 && i === parts.length - 1 ? missingMessage(part) : updateMessage(part),
  )
}

/** Each part holds records of one Yjs client that follow each other; the last one holds what was deleted. */
export function splitUpdate(update: Uint8Array): readonly Uint8Array[] {
  const parts: Uint8Array[] = []
  let body = new Y.UpdateEncoderV1()
  let first: { readonly client: number; readonly clock: number } | undefined
  let count = 0
  let next = 0

  const endPart = () => {
    if (first) parts.push(encodePart(first.client, first.clock, count, body))
    first = undefined
  }
  for (const struct of Y.decodeUpdate(update).structs) {
    const { client, clock } = struct.id
    if (
      first &&
      (first.client !== client || next !== clock || encoding.length(body.restEncoder) > PART_BYTES)
    )
      endPart()
    if (struct instanceof Y.Skip) continue
    if (!first) {
      first = { client, clock }
      body = new Y.UpdateEncoderV1()
      count = 0
    }
    struct.write(body, 0)
    count++
    next = clock + struct.length
  }
  endPart()
  // What remains of the update beyond its own state: the deletions.
  parts.push(Y.diffUpdate(update, Y.encodeStateVectorFromUpdate(update)))
  return parts
}

function encodePart(client: number, clock: number, count: number, body: Y.UpdateEncoderV1): Uint8Array {
  const part = encoding.createEncoder()
  const clients = 1
  const deletions = 0
  for (const n of [clients, count, client, clock]) encoding.writeVarUint(part, n)
  encoding.writeUint8Array(part, body.toUint8Array())
  encoding.writeVarUint(part, deletions)
  return encoding.toUint8Array(part)
}
