/**
 * What comes into a share's document from outside. Yjs trusts its peers: an item that points at what comes after it,
 * a struct continued over a gap, or a deletion of what is yet to be written can stop `applyUpdate` half-way or make
 * later entries arrive deleted. Refusing the whole update would let one such struct, once it is merged into what a
 * relay keeps, bar everybody from all the rest; so it comes in as something deleted, and the rest as it is.
 *
 * Afterwards the document holds items of bytes and deleted items, and nothing else.
 */
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { ProtocolError } from '../errors.ts'

type Decoded = ReturnType<typeof Y.decodeUpdate>
type Struct = Decoded['structs'][number]

/** Clocks beyond this are nobody's: one past the safe integers cannot be told to others. */
const MAX_CLOCK = 2 ** 48
/** The root where things stand that belong nowhere. */
const NOWHERE = 'nowhere'
/** In an item's first byte (Yjs update format 1): its content is deleted; it names what it follows, or its key. */
const DELETED = 1
const HAS_ORIGIN = 0x80
const HAS_KEY = 0x20

/** Throws unless the bytes are a Yjs update as an encoder writes it. @throws ProtocolError `malformed` */
export function checkUpdate(update: Uint8Array): void {
  decodeUpdate(update)
}

/**
 * The update with what is not ours as deleted, and without deletions: one means nothing unless it is signed, and
 * an entry that is overwritten goes with the one that comes in its place. Itself when nothing had to change.
 * @throws ProtocolError `malformed` when the bytes are no Yjs update
 */
export function admissibleUpdate(update: Uint8Array): Uint8Array {
  const { structs, ds } = decodeUpdate(update)
  const kept = reachable(structs)
  const isSame = kept.length === structs.length && kept.every(isOurs) && ds.clients.size === 0
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
  return structs.filter(({ id, length }) => {
    if (id.clock + length > MAX_CLOCK) endedClient = id.client
    return id.client !== endedClient && length > 0
  })
}

/** Whether a struct is one that a share's document is made of; a skip only stands for others. */
function isOurs(struct: Struct): boolean {
  if (struct instanceof Y.Skip) return true
  if (!(struct instanceof Y.Item) || !isPlaced(struct)) return false
  return struct.content instanceof Y.ContentBinary || struct.content instanceof Y.ContentDeleted
}

/** Whether an item stands where a map's entry can: under a root's key, or after an entry older than itself. */
function isPlaced(item: Y.Item): boolean {
  const { id, origin, rightOrigin, parentSub } = item
  if (rightOrigin !== null) return false
  if (origin !== null) return origin.client !== id.client || origin.clock < id.clock
  return rootOf(item) !== undefined && parentSub !== null
}

/** A root's name, in an update that is not part of a document yet; Yjs' types do not know that. */
function rootOf(item: Y.Item): string | undefined {
  const parent: unknown = item.parent
  return typeof parent === 'string' ? parent : undefined
}

/** An update of format 1: structs by client, each client's from its first clock on, and no deletions. */
function encode(structs: readonly Struct[]): Uint8Array {
  const encoder = new Y.UpdateEncoderV1()
  const clients = Map.groupBy(structs, ({ id }) => id.client)
  encoding.writeVarUint(encoder.restEncoder, clients.size)
  for (const [client, its] of clients) {
    encoding.writeVarUint(encoder.restEncoder, its.length)
    encoder.writeClient(client)
    encoding.writeVarUint(encoder.restEncoder, its[0]?.id.clock ?? 0)
    for (const struct of its) {
      if (isOurs(struct)) struct.write(encoder, 0)
      else writeDeleted(encoder, struct)
    }
  }
  const deletions = 0
  encoding.writeVarUint(encoder.restEncoder, deletions)
  return encoder.toUint8Array()
}

/** In the place of a struct, so that what was put back on top of it stands there still; if that is no place, nowhere. */
function writeDeleted(encoder: Y.UpdateEncoderV1, struct: Struct): void {
  const { id, length } = struct
  const item = struct instanceof Y.Item && isPlaced(struct) ? struct : undefined
  if (item?.origin) {
    encoder.writeInfo(DELETED | HAS_ORIGIN)
    encoder.writeLeftID(item.origin)
  } else {
    encoder.writeInfo(DELETED | HAS_KEY)
    encoder.writeParentInfo(true)
    encoder.writeString((item && rootOf(item)) ?? NOWHERE)
    encoder.writeString(item?.parentSub ?? `${id.client} ${id.clock}`)
  }
  encoder.writeLen(length)
}
