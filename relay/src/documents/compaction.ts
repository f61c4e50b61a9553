/**
 * Which neighbouring entries of a document's log to merge into one. Entries double in size as they are merged, up to
 * a limit, so that an update is rewritten a logarithmic number of times and no merge holds the others up for long.
 */
import * as Y from 'yjs'

/** Entries that gather before the first merge: merging fewer at a time would write more. */
const RUN_LENGTH = 64
/** An entry of this many bytes is never merged again; merging as many takes about 10 ms. */
const FULL_ENTRY_BYTES = 512 * 1024
/** Updates merged at once: Yjs needs time that grows with the square of their number. */
const GROUP = 16

/** How many of the newest entries to merge, 0 for none. `sizes` in bytes, oldest first. */
export function mergeRun(sizes: readonly number[]): number {
  let sum = 0
  let count = 0
  for (let i = sizes.length - 1; i >= 0; i--) {
    const size = sizes[i] ?? 0
    if (size >= FULL_ENTRY_BYTES || sum >= FULL_ENTRY_BYTES) break
    // An older entry joins only when the newer ones together weigh as much as it does.
    if (count >= RUN_LENGTH && size > sum) break
    sum += size
    count++
  }
  return count >= RUN_LENGTH ? count : 0
}

export function mergeAll(updates: readonly Uint8Array[]): Uint8Array {
  let level = [...updates]
  while (level.length > 1) {
    const next: Uint8Array[] = []
    for (let i = 0; i < level.length; i += GROUP) next.push(Y.mergeUpdates(level.slice(i, i + GROUP)))
    level = next
  }
  return level[0] ?? new Uint8Array([0, 0])
}
