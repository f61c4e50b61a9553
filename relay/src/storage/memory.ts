/** Storage that lasts as long as the process: for tests, and for a relay that shall leave no trace. */
import { equalBytes } from '@cofolder/protocol'
import type { LogEntry, RelayStorage } from './storage.ts'
import { createLocalTopics } from './topics.ts'

interface Value {
  readonly bytes: Uint8Array
  readonly expires: number
}

export function createMemoryStorage(clock: () => number = Date.now): RelayStorage {
  const logs = new Map<string, LogEntry[]>()
  const values = new Map<string, Value>()
  let position = 0

  const live = (key: string): Uint8Array | undefined => {
    const value = values.get(key)
    return value && value.expires > clock() ? value.bytes : undefined
  }
  const put = (key: string, bytes: Uint8Array, expires = Number.POSITIVE_INFINITY): void => {
    values.set(key, { bytes: bytes.slice(), expires })
  }
  const close = async (): Promise<void> => {
    logs.clear()
    values.clear()
  }

  return {
    logs: {
      async append(log, bytes) {
        const span = { from: position, to: position }
        position++
        logs.set(log, [...(logs.get(log) ?? []), { ...span, bytes: bytes.slice() }])
        return span
      },
      async *read(log, from = 0) {
        for (const entry of logs.get(log) ?? []) if (entry.from >= from) yield entry
      },
      async compact(log, covered, bytes) {
        const entries = logs.get(log) ?? []
        const first = covered[0]
        const last = covered.at(-1)
        if (!first || !last) return false
        const at = entries.findIndex(({ from }) => from === first.from)
        const same = covered.every((span, i) => {
          const entry = entries[at + i]
          return at >= 0 && entry?.from === span.from && entry.to === span.to
        })
        if (!same) return false
        logs.set(
          log,
          entries.toSpliced(at, covered.length, { from: first.from, to: last.to, bytes: bytes.slice() }),
        )
        return true
      },
    },
    values: {
      get: async (key) => live(key),
      put: async (key, bytes, options) => put(key, bytes, options?.expires),
      async exchange(key, expected, bytes, options) {
        const current = live(key)
        const same = current && expected ? equalBytes(current, expected) : current === expected
        if (same) put(key, bytes, options?.expires)
        return same
      },
      async delete(key) {
        const found = live(key) !== undefined
        values.delete(key)
        return found
      },
      async keys(prefix, limit) {
        const found = [...values.keys()].filter((key) => key.startsWith(prefix) && live(key) !== undefined)
        return found.sort().slice(0, limit)
      },
      count: async (prefix) => [...values.keys()].filter((key) => key.startsWith(prefix)).length,
    },
    topics: createLocalTopics(),
    async size() {
      let sum = 0
      for (const entries of logs.values()) for (const { bytes } of entries) sum += bytes.length
      for (const { bytes } of values.values()) sum += bytes.length
      return sum
    },
    async sweep() {
      for (const key of values.keys()) if (live(key) === undefined) values.delete(key)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
