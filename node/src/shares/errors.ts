/** What a person asked that cannot be done: what was wrong and what to do, in one sentence. */
export type RequestErrorCode =
  | 'not-found'
  | 'ambiguous'
  | 'invalid'
  | 'forbidden'
  | 'conflict'
  | 'unavailable'
  | 'timeout'

export class RequestError extends Error {
  readonly code: RequestErrorCode
  constructor(code: RequestErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RequestError'
    this.code = code
  }
}
