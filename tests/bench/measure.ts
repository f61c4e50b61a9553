/** Waiting for conditions and summing up figures. */
import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 5

/** Resolves once `condition` holds. @throws when it does not within `timeout` milliseconds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeout: number,
  poll = POLL_MS,
): Promise<void> {
  const deadline = Date.now() + timeout
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not so within ${timeout} ms`)
    await delay(poll)
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((x, y) => x - y)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0)} MB`
