/** Checks what comes to the WebSocket tracker before the library sees it: it trusts the shape of what it parses. */
import * as v from 'valibot'
import { RelayError } from '../errors.ts'

/** As sent by WebTorrent: 20 bytes as a string of characters below 256. */
const Binary20 = v.pipe(v.string(), v.length(20), v.regex(/^[\0-\xff]*$/))
/** WebTorrent makes five, libtorrent ten. */
const MAX_OFFERS = 16
/** Info hashes of one scrape. */
const MAX_SCRAPES = 64

const Description = v.object({ type: v.string(), sdp: v.string() })
/** Amounts are null when they are not known. */
const Amount = v.nullish(v.pipe(v.number(), v.minValue(0)))

const RequestSchema = v.variant('action', [
  v.object({
    action: v.literal('announce'),
    info_hash: Binary20,
    peer_id: Binary20,
    event: v.optional(v.picklist(['started', 'stopped', 'completed', 'update', 'paused', 'empty', ''])),
    uploaded: Amount,
    downloaded: Amount,
    left: Amount,
    numwant: Amount,
    offers: v.nullish(
      v.pipe(
        v.array(v.object({ offer: Description, offer_id: v.pipe(v.string(), v.maxLength(64)) })),
        v.maxLength(MAX_OFFERS),
      ),
    ),
    answer: v.nullish(Description),
    to_peer_id: v.nullish(Binary20),
    offer_id: v.nullish(v.pipe(v.string(), v.maxLength(64))),
  }),
  v.object({
    action: v.literal('scrape'),
    info_hash: v.union([Binary20, v.pipe(v.array(Binary20), v.minLength(1), v.maxLength(MAX_SCRAPES))]),
  }),
])

export type SocketRequest = v.InferOutput<typeof RequestSchema>

/** @throws RelayError `malformed`. */
export function readSocketRequest(text: string): SocketRequest {
  try {
    return v.parse(RequestSchema, JSON.parse(text))
  } catch (cause) {
    throw new RelayError('malformed', 'not a request to a tracker', { cause })
  }
}

/** True for a scrape that names no torrent: it would list all that are known here. `url` is path and query. */
export function asksForAll(url: string): boolean {
  return url.startsWith('/scrape') && !/[?&]info_hash=/.test(url)
}
