/** A bounded number of things at once, first come first served. */
import { onAbort } from './abort.ts'
import { aborted } from './errors.ts'

export interface Slots {
  /** @throws ContentError `aborted` when the signal fires while it waits. */
  use<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>
}

export function createSlots(count: number): Slots {
  const waiting = new Set<() => void>()
  let free = count

  function acquire(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(aborted(signal))
    if (free > 0) {
      free--
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const enter = () => {
        unlisten()
        resolve()
      }
      waiting.add(enter)
      const unlisten = signal
        ? onAbort(signal, () => {
            waiting.delete(enter)
            reject(aborted(signal))
          })
        : () => {}
    })
  }

  return {
    async use(work, signal) {
      await acquire(signal)
      try {
        return await work()
      } finally {
        const [next] = waiting
        if (next) {
          waiting.delete(next)
          next()
        } else free++
      }
    },
  }
}
