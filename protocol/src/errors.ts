/** What was refused. `code` is stable and for programs; `message` says what was wrong and what to do. */
export type ProtocolErrorCode =
  | 'malformed' // bytes or text that are not what they claim to be
  | 'forbidden' // the author's role does not allow it
  | 'bad-signature'
  | 'wrong-key' // sealed for somebody else, or under a key we do not hold
  | 'expired'
  | 'revoked'
  | 'too-large'
  | 'not-found'

export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode
  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ProtocolError'
    this.code = code
  }
}
