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

/** What a person or device calls itself: one line, shown to others. */
export const PersonNameSchema = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(100),
  v.check((name) => name.isWellFormed() && !/\p{Cc}/u.test(name), 'a name has no control characters'),
)

/** The base URL of a relay. */
export const RelayUrlSchema = v.pipe(v.string(), v.maxLength(300), v.url(), v.regex(/^https?:\/\//))

/** A multiaddr in text form. */
export const AddressSchema = v.pipe(v.string(), v.maxLength(300), v.startsWith('/'))

/** What a share is called. */
export const ShareNameSchema = v.custom<string>(
  (x) => typeof x === 'string' && isShareName(x),
  'not a valid name',
)
