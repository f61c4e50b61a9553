/** Schema parts that every format uses. */
import * as v from 'valibot'
import { isShareName } from '../records/record.ts'

/** Exactly `length` bytes. */
export const bytesOf = (length: number) =>
  v.custom<Uint8Array>((x) => x instanceof Uint8Array && x.length === length, `expected ${length} bytes`)

/** At most `max` bytes. */
export const bytesUpTo = (max: number) =>
  v.custom<Uint8Array>((x) => x instanceof Uint8Array && x.length <= max, `expected at most ${max} bytes`)

/** Milliseconds since the epoch, by somebody's clock. */
export const MillisSchema = v.pipe(v.number(), v.safeInteger())

/** Line breaks, and marks that turn the direction of the text around a name. */
const NOT_IN_A_NAME = /[\p{Cc}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]/u

/** What a person or device calls itself: one line, shown to others. */
export const PersonNameSchema = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(100),
  v.check((name) => name.isWellFormed() && !NOT_IN_A_NAME.test(name), 'a name has no control characters'),
  v.check((name) => name.trim() !== '', 'a name is not empty'),
)

/** The base URL of a relay. It is shown to others, so it carries no password. */
export const RelayUrlSchema = v.pipe(
  v.string(),
  v.maxLength(300),
  v.url(),
  v.regex(/^https?:\/\//),
  v.check(isBase, "a relay's address has no password, query or fragment"),
)

function isBase(text: string): boolean {
  const { username, password, search, hash } = new URL(text)
  return `${username}${password}${search}${hash}` === ''
}

/** A multiaddr in text form. */
export const AddressSchema = v.pipe(v.string(), v.maxLength(300), v.startsWith('/'))

/** What a share is called. */
export const ShareNameSchema = v.custom<string>(
  (x) => typeof x === 'string' && isShareName(x),
  'not a valid name',
)
