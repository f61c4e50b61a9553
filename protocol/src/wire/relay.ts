/** The relay's HTTP surface as both sides name it: paths, schemas of answers, subprotocols. */
import * as v from 'valibot'
import { AddressSchema, bytesUpTo } from '../encoding/schema.ts'
import { DeviceIdSchema, type InviteId, type ShareId, type UserId } from '../ids.ts'
import { MAX_CHANGE_BYTES } from '../limits.ts'

/** Paths below a relay's base URL. */
export const relayPaths = {
  info: '/v1/relay',
  /** Base for a y-websocket client, whose room is the share's id. */
  documents: '/v1/documents',
  document: (share: ShareId) => `/v1/documents/${share}`,
  access: (share: ShareId) => `/v1/documents/${share}/access`,
  inbox: (share: ShareId) => `/v1/documents/${share}/inbox`,
  inboxMessage: (share: ShareId, message: string) => `/v1/documents/${share}/inbox/${message}`,
  torrents: (share: ShareId) => `/v1/documents/${share}/torrents`,
  mailbox: (user: UserId) => `/v1/mailbox/${user}`,
  mailboxMessage: (user: UserId, message: string) => `/v1/mailbox/${user}/${message}`,
  link: (invite: InviteId) => `/v1/links/${invite}`,
  page: (invite: InviteId) => `/s/${invite}`,
} as const

/** The WebSocket subprotocol a relay answers with. */
export const SUBPROTOCOL = 'yjs'
/** A token rides as one more subprotocol: browsers can set no header, and it must not stand in the URL. */
export const TOKEN_SUBPROTOCOL_PREFIX = 'token.'
/** The subprotocols to offer with a token. */
export const subprotocols = (token: string): [string, string] => [
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX + token,
]

/** Close codes of the relay's WebSockets (4000–4999 are for applications, RFC 6455 section 7.4.2). */
export const closeCodes = {
  malformed: 4400,
  unauthorised: 4401,
  /** The right was withdrawn or never covered the message. */
  forbidden: 4403,
  tooLarge: 4413,
  tooMany: 4429,
} as const

const TrackerUrlSchema = v.pipe(v.string(), v.maxLength(300))
/** Limits that a relay may tell of itself. */
const MAX_LIMITS = 64

export const RelayInfoSchema = v.object({
  id: DeviceIdSchema,
  peerId: v.pipe(v.string(), v.maxLength(100)),
  libp2p: v.pipe(v.array(AddressSchema), v.maxLength(32)),
  /** Announce URLs; empty where the relay has none. */
  tracker: v.object({ http: TrackerUrlSchema, udp: TrackerUrlSchema, ws: TrackerUrlSchema }),
  limits: v.pipe(v.record(v.pipe(v.string(), v.maxLength(64)), v.number()), v.maxEntries(MAX_LIMITS)),
})
export type RelayInfo = v.InferOutput<typeof RelayInfoSchema>

/** Every refused request's body. The message is for people. */
export const RelayErrorSchema = v.object({
  error: v.object({
    code: v.pipe(v.string(), v.maxLength(64)),
    message: v.pipe(v.string(), v.maxLength(1000)),
  }),
})

/** One stored message of a mailbox or inbox, as CBOR: alone when pushed, in a list when fetched. */
export const StoredMessageSchema = v.object({
  id: v.pipe(v.string(), v.maxLength(64)),
  bytes: bytesUpTo(MAX_CHANGE_BYTES),
})
export type StoredMessage = v.InferOutput<typeof StoredMessageSchema>
export const StoredMessagesSchema = v.array(StoredMessageSchema)

/** The body of a request that allows info hashes (40 hex digits) at the relay's tracker. */
export const TorrentsSchema = v.object({
  infoHashes: v.pipe(v.array(v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/))), v.maxLength(1000)),
})
