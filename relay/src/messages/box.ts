/** Boxes of messages that wait for whoever may open them: mailboxes of users, inboxes of documents. */
import { decodeAs, encodeCbor, type StoredMessage, shortHash, toBase64url } from '@cofolder/protocol'
import * as v from 'valibot'
import type { RelayContext } from '../context.ts'
import { RelayError } from '../errors.ts'
import { createKeyedQueue } from '../storage/queue.ts'

export interface BoxLimits {
  /** Messages in one box. */
  readonly depth: number
  /** Milliseconds after which a message is gone. */
  readonly age: number
  /** Bytes of one message. */
  readonly bytes: number
}

export interface Boxes {
  /**
   * Keeps a message, once however often it is sent. @throws RelayError `full`, `too-large`, `malformed` when empty.
   * `fresh` is false when it was there already.
   */
  put(owner: string, bytes: Uint8Array): Promise<StoredMessage & { readonly fresh: boolean }>
  /** In the order they came. */
  list(owner: string): Promise<StoredMessage[]>
  /** False when there is none. */
  remove(owner: string, id: string): Promise<boolean>
}

/** CBOR around a message. */
const OVERHEAD = 64
const RestSchema = v.strictTuple([v.number(), v.instance(Uint8Array)])
/** As `messageIdOf` makes them. */
const MESSAGE_ID = /^[A-Za-z0-9_-]{22}$/

/** The first 16 bytes of SHA-256, so that a writer knows a submission's id from its bytes. */
const messageIdOf = (bytes: Uint8Array): string => toBase64url(shortHash(bytes))

export function createBoxes(context: RelayContext, kind: string, limits: BoxLimits): Boxes {
  const { values } = context.storage
  const alone = createKeyedQueue()
  const prefixOf = (owner: string): string => `${kind}!${owner}!`

  return {
    async put(owner, bytes) {
      if (bytes.length === 0) throw new RelayError('malformed', 'an empty message')
      if (bytes.length > limits.bytes)
        throw new RelayError('too-large', `a message may have ${limits.bytes} bytes`)
      if (!context.hasRoom()) throw new RelayError('full', 'the relay has no room left')
      const id = messageIdOf(bytes)
      return alone(owner, async () => {
        const keys = await values.keys(prefixOf(owner), limits.depth)
        const fresh = !keys.includes(prefixOf(owner) + id)
        if (fresh && keys.length >= limits.depth)
          throw new RelayError('full', `${limits.depth} messages wait there already`)
        const now = context.clock()
        if (fresh)
          await values.put(prefixOf(owner) + id, encodeCbor([now, bytes]), { expires: now + limits.age })
        return { id, bytes, fresh }
      })
    },
    async list(owner) {
      const keys = await values.keys(prefixOf(owner), limits.depth)
      const found: { id: string; at: number; bytes: Uint8Array }[] = []
      for (const key of keys) {
        const rest = await values.get(key)
        if (!rest) continue
        const [at, bytes] = decodeAs(RestSchema, rest, limits.bytes + OVERHEAD)
        found.push({ id: key.slice(prefixOf(owner).length), at, bytes })
      }
      return found.sort((a, b) => a.at - b.at).map(({ id, bytes }) => ({ id, bytes }))
    },
    async remove(owner, id) {
      return MESSAGE_ID.test(id) && (await values.delete(prefixOf(owner) + id))
    },
  }
}
