/** Bounds and time-outs of the peer-to-peer network. */

/** A peer that does not answer on any address for this long is unreachable for now. Milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000
/** Direct addresses get this head start before a path over a relay is tried as well. Milliseconds. */
export const RELAY_DELAY_MS = 300
/** Streams of one protocol that one peer may open at once: a sync stream a share, and transfers. */
export const MAX_STREAMS_PER_PROTOCOL = 512
/** A sync stream may be silent for as long as nothing changes; a dead connection is noticed below. Milliseconds. */
export const STREAM_INACTIVITY_MS = 24 * 3600_000
/** A connection on which nothing arrives for this long is dead: presence is renewed several times in it. */
export const CONNECTION_INACTIVITY_MS = 120_000
/** Unsent or unread bytes one stream may hold before it is reset: one message of the largest size and a half. */
export const MAX_STREAM_BUFFER_BYTES = 32 * 1024 * 1024
/** Addresses remembered of one device. */
export const MAX_REMEMBERED_ADDRESSES = 8
/** New connections a second from one host: a household or an office may stand behind one address. */
export const MAX_CONNECTIONS_PER_HOST_AND_SECOND = 50
/** Connections that have not proven who they are yet. */
export const MAX_PENDING_CONNECTIONS = 50
