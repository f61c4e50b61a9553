/** Time-outs and bounds of the connection to a relay. */

/** One HTTP request. Milliseconds. */
export const REQUEST_TIMEOUT_MS = 10_000
/** Reconnecting: first pause and longest, milliseconds; each is varied by up to a half so that clients spread. */
export const FIRST_RETRY_MS = 250
export const LONGEST_RETRY_MS = 15_000
/** How long a token we make is good for. Milliseconds. */
export const TOKEN_LIFE_MS = 5 * 60_000
/** The relay pings; without a sign of it for this long the connection counts as lost. Milliseconds. */
export const SILENCE_LIMIT_MS = 90_000
/** An answer of a relay other than messages of a socket. Bytes. */
export const MAX_ANSWER_BYTES = 32 * 1024 * 1024
