/** What the connections of one document tell each other, over the storage's topic for it. */
import { decode, encode } from 'cborg'
import * as v from 'valibot'

const Bytes = v.custom<Uint8Array>((x) => x instanceof Uint8Array, 'expected bytes')
const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

const NoticeSchema = v.variant('kind', [
  /** An update became durable. */
  v.object({
    kind: v.literal('update'),
    /** The connection it came from. */
    origin: v.string(),
    /** As it rests in the log. */
    stored: Bytes,
    from: Count,
    to: Count,
  }),
  v.object({ kind: v.literal('presence'), origin: v.string(), presence: Bytes }),
  /** Somebody new wants to know who is there. */
  v.object({ kind: v.literal('who'), origin: v.string() }),
  v.object({ kind: v.literal('submission'), submission: Bytes }),
  /** The rights of the document changed; connections admitted in earlier epochs end. */
  v.object({ kind: v.literal('epoch'), epoch: Count }),
])

export type Notice = v.InferOutput<typeof NoticeSchema>

export const documentTopic = (document: string): string => `document!${document}`
export const encodeNotice = (notice: Notice): Uint8Array => encode(notice)
export const decodeNotice = (bytes: Uint8Array): Notice => v.parse(NoticeSchema, decode(bytes))
