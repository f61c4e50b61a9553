/** Changes by one person in one share that come in a burst become one event. */
import type { CofolderEvent } from './events.ts'

/** A burst ends after this much quiet, or after the longest wait. Milliseconds. */
const QUIET_MS = 1_000
const LONGEST_MS = 10_000
/** Paths named in one event; the count tells the rest. */
const MAX_PATHS = 20

export interface ChangeBundler {
  /** `by` changed `paths` of a share. */
  add(share: string, by: { id: string; name: string }, paths: readonly string[], at: number): void
  /** Tells what waits, and stops. */
  close(): void
}

interface Bundle {
  readonly share: string
  readonly by: { id: string; name: string }
  readonly paths: Set<string>
  readonly since: number
  at: number
  timer: ReturnType<typeof setTimeout>
}

export function createChangeBundler(emit: (event: CofolderEvent) => void): ChangeBundler {
  const bundles = new Map<string, Bundle>()

  function flush(key: string): void {
    const bundle = bundles.get(key)
    if (!bundle) return
    clearTimeout(bundle.timer)
    bundles.delete(key)
    const paths = [...bundle.paths]
    const [only] = paths
    emit({
      at: bundle.at,
      type: 'changed',
      share: bundle.share,
      by: bundle.by,
      ...(paths.length === 1 && only !== undefined ? { path: only } : {}),
      detail: { count: paths.length, paths: paths.slice(0, MAX_PATHS) },
    })
  }

  return {
    add(share, by, paths, at) {
      if (paths.length === 0) return
      const key = `${share} ${by.id}`
      const now = performance.now()
      let bundle = bundles.get(key)
      if (!bundle) {
        bundle = { share, by, paths: new Set(), since: now, at, timer: setTimeout(() => {}, 0) }
        bundles.set(key, bundle)
      }
      clearTimeout(bundle.timer)
      for (const path of paths) bundle.paths.add(path)
      bundle.at = at
      bundle.timer = setTimeout(
        () => flush(key),
        Math.max(0, Math.min(QUIET_MS, bundle.since + LONGEST_MS - now)),
      )
      bundle.timer.unref()
    },
    close() {
      for (const key of [...bundles.keys()]) flush(key)
    },
  }
}
