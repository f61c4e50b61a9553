/** Token buckets, one for each key (an address, a document, a connection). */
import { RelayError } from './errors.ts'
import type { Rate } from './limits.ts'

/** Buckets kept; beyond it the ones that are full again are dropped, then the oldest. */
const MAX_BUCKETS = 100_000

interface Bucket {
  tokens: number
  at: number
}

export interface RateLimiter {
  /** Takes `amount` from the key's bucket. @throws RelayError `rate-limited` when it does not hold as much. */
  take(key: string, amount?: number): void
}

function refilled(bucket: Bucket, rate: Rate, now: number): number {
  return Math.min(rate.burst, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * rate.perSecond)
}

/** `what` names the thing in the error: "too many <what>". */
export function createRateLimiter(rate: Rate, what: string, clock: () => number): RateLimiter {
  const buckets = new Map<string, Bucket>()

  function makeRoom(now: number): void {
    for (const [key, bucket] of buckets) if (refilled(bucket, rate, now) >= rate.burst) buckets.delete(key)
    for (const key of buckets.keys()) {
      if (buckets.size < MAX_BUCKETS) break
      buckets.delete(key)
    }
  }

  return {
    take(key, amount = 1) {
      const now = clock()
      const bucket = buckets.get(key)
      const tokens = bucket ? refilled(bucket, rate, now) : rate.burst
      if (tokens < amount) {
        const retryAfter = Math.max(1, Math.ceil((Math.min(amount, rate.burst) - tokens) / rate.perSecond))
        throw new RelayError('rate-limited', `too many ${what}; try again in ${retryAfter} s`, { retryAfter })
      }
      if (!bucket && buckets.size >= MAX_BUCKETS) makeRoom(now)
      buckets.set(key, { tokens: tokens - amount, at: now })
    },
  }
}
