/**
 * Which neighbouring entries of an update log to merge into one. Entries double in size as they are merged, up to a
 * limit, so an update is rewritten a logarithmic number of times and one merge stays short.
 */

/** Entries that gather before the first merge: merging fewer at a time would write more. */
export const RUN_LENGTH = 32
/** An entry of this many bytes is never merged again. Merging as many takes about 10 ms and blocks the thread. */
export const FULL_ENTRY_BYTES = 512 * 1024

/**
 * How many of the newest entries to merge, 0 for none. `sizes` are the entries' bytes, oldest first.
 * An older entry joins the run only when the newer ones together weigh as much as it does.
 */
export function mergeRun(sizes: readonly number[]): number {
  let sum = 0
  let count = 0
  for (let i = sizes.length - 1; i >= 0; i--) {
    const size = sizes[i] ?? 0
    if (size >= FULL_ENTRY_BYTES || sum >= FULL_ENTRY_BYTES) break
    if (count >= RUN_LENGTH && size > sum) break
    sum += size
    count++
  }
  return count >= RUN_LENGTH ? count : 0
}
