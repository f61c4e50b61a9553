/** A bounded number of things at once, first come first served. */
import { aborted } from './errors.ts'

export interface Slots {
  /** @throws ContentError `aborted` when the signal fires while it waits. */
  use<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>
}

export function createSlots(count: number): Slots {
  const waiting: (() => void)[] = []
  let free = count

  function acquire(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(aborted(signal))
    if (free > 0) {
      free--
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        waiting.splice(waiting.indexOf(enter), 1)
        reject(aborted(signal))
      }
      signal?.addEventListener('abort', leave, { once: true })
      waiting.push(enter)
    })
  }

  return {
    async use(work, signal) {
      await acquire(signal)
      try {
        return await work()
      } finally {
        const next = waiting.shift()
        if (next) next()
        else free++
      }
    },
  }
}
