/**
 * One root map of a share's Y.Doc: values under their own hash. Anybody who can send updates may put anything in
 * and take anything out, so a value counts only under the right key, and what is guarded outlives its removal.
 */
import type * as Y from 'yjs'
import { equalBytes, toBase64url } from '../bytes.ts'
import { shortHash } from '../identity/derive.ts'

export interface Entries {
  /** Keys that were changed by anybody since the last call; at first, all. */
  touched(): readonly string[]
  /** Right values among these keys that were not seen before. */
  take(keys: Iterable<string>): { readonly id: string; readonly value: Uint8Array }[]
  /** Adds a value under its hash, which is returned. To be called within a transaction. */
  put(value: Uint8Array): string
  /** From now on the value is put back when it vanishes. */
  guard(id: string): void
  /** Stops guarding: what does not count any more need not be kept. */
  release(id: string): void
  value(id: string): Uint8Array | undefined
  has(id: string): boolean
  /** Puts guarded values back that were deleted or overwritten. */
  restore(origin: unknown): void
}

export function openEntries(doc: Y.Doc, name: string, maxBytes: number): Entries {
  const map = doc.getMap<unknown>(name)
  const seen = new Map<string, Uint8Array>()
  const guarded = new Set<string>()
  const missing = new Set<string>()
  let touched = new Set<string>(map.keys())
  map.observe(({ keysChanged }) => {
    // A list item that somebody puts into a map has no key.
    for (const key of keysChanged) if (typeof key === 'string') touched.add(key)
  })

  const isRight = (id: string, value: unknown): value is Uint8Array =>
    value instanceof Uint8Array && value.length <= maxBytes && toBase64url(shortHash(value)) === id
  const isPresent = (id: string) => {
    const known = seen.get(id)
    const value = map.get(id)
    return value === known || (value instanceof Uint8Array && known !== undefined && equalBytes(value, known))
  }
  const check = (id: string) => {
    if (guarded.has(id) && !isPresent(id)) missing.add(id)
    else missing.delete(id)
  }

  return {
    touched() {
      const keys = [...touched]
      touched = new Set()
      return keys
    },
    take(keys) {
      const fresh: { id: string; value: Uint8Array }[] = []
      for (const id of keys) {
        if (seen.has(id)) {
          check(id)
          continue
        }
        const value = map.get(id)
        if (!isRight(id, value)) continue
        seen.set(id, value)
        fresh.push({ id, value })
      }
      return fresh
    },
    put(value) {
      const id = toBase64url(shortHash(value))
      if (!map.has(id)) map.set(id, value)
      return id
    },
    guard(id) {
      if (!seen.has(id) || guarded.has(id)) return
      guarded.add(id)
      check(id)
    },
    release(id) {
      guarded.delete(id)
      missing.delete(id)
    },
    value: (id) => seen.get(id),
    has: (id) => seen.has(id),
    restore(origin) {
      if (missing.size === 0) return
      doc.transact(() => {
        for (const id of missing) map.set(id, seen.get(id))
        missing.clear()
      }, origin)
    },
  }
}
