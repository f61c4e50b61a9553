/**
 * Early collection of short-lived buffers, for threads that encrypt. AES has no in-place form in Node, so every
 * block of output is a new buffer outside the heap; left alone, they pile up until V8 marks its whole heap (measured
 * on 1 GiB: a third of all processor time and 100 MB per side). A minor collection now and then costs next to nothing.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Bytes of buffers made between two collections. */
const COLLECT_EVERY = 8 * 1024 * 1024

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')
let made = 0

/** Tells that this many bytes of short-lived buffers were made. */
export function madeGarbage(bytes: number): void {
  made += bytes
  if (made < COLLECT_EVERY || typeof collect !== 'function') return
  made = 0
  collect({ type: 'minor' })
}
