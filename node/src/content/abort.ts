/**
 * Listening to an AbortSignal that thousands of fetches share. A signal compares every new listener with all others,
 * so each gets one listener here, and a set behind it.
 */
import { aborted } from './errors.ts'

const watched = new WeakMap<AbortSignal, Set<() => void>>()

/** Calls back once when the signal fires, at once when it has; returns how to stop listening. */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) {
    callback()
    return () => {}
  }
  let callbacks = watched.get(signal)
  if (!callbacks) {
    const created = new Set<() => void>()
    signal.addEventListener(
      'abort',
      () => {
        for (const each of created) each()
        created.clear()
      },
      { once: true },
    )
    watched.set(signal, created)
    callbacks = created
  }
  const all = callbacks
  all.add(callback)
  return () => void all.delete(callback)
}

/** The promise, or a rejection with `aborted` as soon as the signal fires. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = onAbort(signal, () => reject(aborted(signal)))
    promise.then(resolve, reject).finally(stop)
  })
}
