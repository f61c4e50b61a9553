/** Finding the one thing that a person's word means: by id, the beginning of an id, or name. */
import { RequestError } from './errors.ts'

const MIN_PREFIX = 4

/** @throws RequestError `not-found` or `ambiguous` */
export function choose<T>(
  what: string,
  word: string,
  candidates: readonly T[],
  idOf: (candidate: T) => string,
  nameOf: (candidate: T) => string,
): T {
  const exact = candidates.find((candidate) => idOf(candidate) === word)
  if (exact !== undefined) return exact
  const byName = candidates.filter((candidate) => nameOf(candidate) === word)
  const byPrefix =
    word.length < MIN_PREFIX ? [] : candidates.filter((candidate) => idOf(candidate).startsWith(word))
  const found = byName.length > 0 ? byName : byPrefix
  const [first, second] = found
  if (first === undefined) throw new RequestError('not-found', `no ${what} is called "${word}"`)
  if (second !== undefined)
    throw new RequestError('ambiguous', `several ${what}s are called "${word}": use the id`)
  return first
}
