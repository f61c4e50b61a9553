/** How much of each share is on its way, and how fast. */
import type { ShareId } from '@cofolder/protocol'
import type { FetchProgress } from './content.ts'
import { RATE_WINDOW } from './limits.ts'

interface Totals {
  received: number
  remaining: number
  /** Amounts received lately. */
  readonly lately: { readonly at: number; readonly bytes: number }[]
}

/** One file's part in the progress of its share. */
export interface FileProgress {
  /** Bytes that came over the network. */
  received(bytes: number): void
  /** Bytes that were found here. */
  found(bytes: number): void
  /** Takes what is left out of the share's remainder. */
  end(): void
}

export interface Progress {
  begin(share: ShareId, size: number): FileProgress
  of(share: ShareId): FetchProgress
}

export function createProgress(now: () => number = Date.now): Progress {
  const shares = new Map<ShareId, Totals>()

  const totalsOf = (share: ShareId): Totals => {
    let totals = shares.get(share)
    if (!totals) {
      totals = { received: 0, remaining: 0, lately: [] }
      shares.set(share, totals)
    }
    return totals
  }
  const forget = ({ lately }: Totals): void => {
    const since = now() - RATE_WINDOW
    const kept = lately.findIndex(({ at }) => at >= since)
    lately.splice(0, kept === -1 ? lately.length : kept)
  }

  return {
    begin(share, size) {
      const totals = totalsOf(share)
      let left = size
      totals.remaining += size
      const less = (bytes: number): void => {
        const taken = Math.min(bytes, left)
        left -= taken
        totals.remaining -= taken
      }
      return {
        received(bytes) {
          less(bytes)
          totals.received += bytes
          forget(totals)
          totals.lately.push({ at: now(), bytes })
        },
        found: less,
        end: () => less(left),
      }
    },
    of(share) {
      const totals = totalsOf(share)
      forget(totals)
      const bytes = totals.lately.reduce((sum, entry) => sum + entry.bytes, 0)
      return {
        share,
        received: totals.received,
        remaining: totals.remaining,
        rate: (bytes * 1000) / RATE_WINDOW,
      }
    },
  }
}
