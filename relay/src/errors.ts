import { closeCodes, ProtocolError, type ProtocolErrorCode } from '@cofolder/protocol'

/** What the relay refused. `code` is stable and for programs; it also counts in the metrics. */
export type RelayErrorCode =
  | 'malformed'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'conflict'
  | 'too-large'
  | 'rate-limited'
  | 'full'
  | 'unavailable'

const STATUS = {
  malformed: 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'method-not-allowed': 405,
  conflict: 409,
  'too-large': 413,
  'rate-limited': 429,
  full: 507,
  unavailable: 503,
} as const satisfies Record<RelayErrorCode, number>

/** Close codes of WebSockets; clients built on y-websocket come back after any code but 44xx. */
export const CLOSE_CODE = {
  malformed: closeCodes.malformed,
  unauthorized: closeCodes.unauthorised,
  forbidden: closeCodes.forbidden,
  'not-found': 4404,
  'method-not-allowed': 4405,
  conflict: 4409,
  'too-large': closeCodes.tooLarge,
  'rate-limited': closeCodes.tooMany,
  full: 4507,
  unavailable: 4503,
} as const satisfies Record<RelayErrorCode, number>

export class RelayError extends Error {
  readonly code: RelayErrorCode
  /** Seconds after which trying again makes sense. */
  readonly retryAfter: number | undefined
  constructor(code: RelayErrorCode, message: string, options: ErrorOptions & { retryAfter?: number } = {}) {
    super(message, options)
    this.name = 'RelayError'
    this.code = code
    this.retryAfter = options.retryAfter
  }
  get status(): (typeof STATUS)[RelayErrorCode] {
    return STATUS[this.code]
  }
}

const OF_PROTOCOL = {
  malformed: 'malformed',
  forbidden: 'forbidden',
  'bad-signature': 'forbidden',
  'wrong-key': 'forbidden',
  expired: 'unauthorized',
  revoked: 'forbidden',
  'too-large': 'too-large',
  'not-found': 'not-found',
} as const satisfies Record<ProtocolErrorCode, RelayErrorCode>

/** What a client is told of an error; what it need not know goes to the log. */
export function asRelayError(error: unknown, log: (line: string) => void): RelayError {
  if (error instanceof RelayError) return error
  if (error instanceof ProtocolError) return new RelayError(OF_PROTOCOL[error.code], error.message)
  log(`unexpected: ${error instanceof Error ? error.stack : String(error)}`)
  return new RelayError('unavailable', 'something went wrong here; try again')
}
