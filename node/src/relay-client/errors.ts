/** What a relay refused, or that it cannot be reached. */
export class RelayError extends Error {
  /** The relay's own code, or `unreachable`, or `malformed` for an answer that no relay gives. */
  readonly code: string
  /** HTTP status; 0 when there was no answer. */
  readonly status: number
  /** Seconds after which asking again makes sense, where the relay said so. */
  readonly retryAfter: number | undefined
  constructor(
    code: string,
    status: number,
    message: string,
    options?: ErrorOptions & { retryAfter?: number },
  ) {
    super(message, options)
    this.name = 'RelayError'
    this.code = code
    this.status = status
    this.retryAfter = options?.retryAfter
  }
}
