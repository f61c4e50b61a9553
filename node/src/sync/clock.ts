/** Time as the engine sees it, so that a simulation can run its own. */
export interface Clock {
  /** Milliseconds since the epoch, by this machine's clock. */
  now(): number
  /** Calls `run` once after `ms` milliseconds unless cancelled. */
  after(ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}
