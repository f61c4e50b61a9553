/**
 * What comes into a share's document from outside. The document is append-only: entries of two maps, each under the
 * hash of its bytes. Yjs trusts its peers to say so; a struct that overwrites, that points at what comes after it, or
 * that tells something else of clocks already known, and a deletion of what is yet to be written, can stop
 * `applyUpdate` half-way, hide entries, or make them arrive deleted. Refusing the whole update would let one such
 * struct, once it is merged into what a relay keeps, bar everybody from all the rest; so it comes in as something
 * deleted that stands nowhere, and the rest as it is.
 */
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { toBase64url } from '../bytes.ts'
import { ProtocolError } from '../errors.ts'
import { shortHash } from '../identity/derive.ts'
import { MAX_BATCH_BYTES, MAX_CHANGE_BYTES } from '../limits.ts'

type Decoded = ReturnType<typeof Y.decodeUpdate>
type Struct = Decoded['structs'][number]

/** Clocks beyond this are nobody's: one past the safe integers cannot be told to others. */
const MAX_CLOCK = 2 ** 48
/** Clocks that one struct may span; an entry spans one. */
const MAX_RUN = 256
/** Clocks that structs of more than one may span together in one update; the rest comes with the next connection. */
const MAX_RUNS = 65_536
/** The maps of a share's document, with the bytes that a value may have. */
const MAPS: ReadonlyMap<unknown, number> = new Map([
  ['changes', MAX_CHANGE_BYTES],
  ['batches', MAX_BATCH_BYTES],
])
/** The root where things stand that belong nowhere. */
const NOWHERE = 'nowhere'
/** An item's first byte (Yjs update format 1): its content is deleted, and it has a key. */
const DELETED_UNDER_KEY = 0x21

/** Throws unless the bytes are a Yjs update as an encoder writes it. @throws ProtocolError `malformed` */
export function checkUpdate(update: Uint8Array): void {
  decodeUpdate(update)
}

/**
 * The update with all that is no entry as deleted, and without deletions. Itself when nothing had to change.
 * @throws ProtocolError `malformed` when the bytes are no Yjs update
 */
export function admissibleUpdate(update: Uint8Array): Uint8Array {
  const { structs, ds } = decodeUpdate(update)
  const kept = reachable(structs)
  const isSame = kept.length === structs.length && kept.every(isAsItShould) && ds.clients.size === 0
  return isSame ? update : encode(kept)
}

function decodeUpdate(update: Uint8Array): Decoded {
  try {
    const decoded = Y.decodeUpdate(update)
    let client = Number.POSITIVE_INFINITY
    for (const { id } of decoded.structs) {
      if (id.client > client) throw new TypeError('clients are out of order')
      client = id.client
    }
    return decoded
  } catch (error) {
    throw new ProtocolError('malformed', 'not a Yjs update', { cause: error })
  }
}

/** Each client's structs up to the first that goes too far, without empty ones. */
function reachable(structs: readonly Struct[]): readonly Struct[] {
  let endedClient: number | undefined
  let budget = MAX_RUNS
  return structs.filter((struct) => {
    const { id, length } = struct
    const isRun = length > 1 && !(struct instanceof Y.Skip)
    if (isRun) budget -= length
    if (id.clock + length > MAX_CLOCK || (isRun && (length > MAX_RUN || budget < 0))) endedClient = id.client
    return id.client !== endedClient && length > 0
  })
}

/** Whether a struct can come in unchanged; a skip only stands for others. */
const isAsItShould = (struct: Struct): boolean =>
  struct instanceof Y.Skip || (struct instanceof Y.Item && isEntry(struct))

/** Whether an item adds a value to one of our maps, under its hash, and touches no other item. */
function isEntry({ content, origin, rightOrigin, parent, parentSub }: Y.Item): boolean {
  if (origin !== null || rightOrigin !== null || !(content instanceof Y.ContentBinary)) return false
  // In an update that is not part of a document yet, the parent is a root's name; Yjs' types do not know that.
  const maxBytes = MAPS.get(parent) ?? -1
  return content.content.length <= maxBytes && toBase64url(shortHash(content.content)) === parentSub
}

/** An update of format 1: structs by client, each client's from its first clock on, and no deletions. */
function encode(structs: readonly Struct[]): Uint8Array {
  const encoder = new Y.UpdateEncoderV1()
  const clients = Map.groupBy(structs, ({ id }) => id.client)
  encoding.writeVarUint(encoder.restEncoder, clients.size)
  for (const [client, its] of clients) {
    const count = its.reduce((total, struct) => total + (isAsItShould(struct) ? 1 : struct.length), 0)
    encoding.writeVarUint(encoder.restEncoder, count)
    encoder.writeClient(client)
    encoding.writeVarUint(encoder.restEncoder, its[0]?.id.clock ?? 0)
    for (const struct of its) {
      if (isAsItShould(struct)) struct.write(encoder, 0)
      else writeDeleted(encoder, struct)
    }
  }
  const deletions = 0
  encoding.writeVarUint(encoder.restEncoder, deletions)
  return encoder.toUint8Array()
}

/** A deleted item for each clock: one that spans several could be continued from its middle, in another place. */
function writeDeleted(encoder: Y.UpdateEncoderV1, { id, length }: Struct): void {
  for (let clock = id.clock; clock < id.clock + length; clock++) {
    encoder.writeInfo(DELETED_UNDER_KEY)
    encoder.writeParentInfo(true)
    encoder.writeString(NOWHERE)
    encoder.writeString(`${id.client} ${clock}`)
    encoder.writeLen(1)
  }
}
