/**
 * Waiting until a share is settled: this device asks, over presence, every reachable one to look at its folder, and
 * answers the others' questions. Nothing is polled: every step follows from a change of somebody's presence or of
 * our own state.
 */
import type { DeviceId, Presence } from '@cofolder/protocol'
import { behind, type DeviceReport, type OwnReport, ownSettled } from './settlement.ts'

/** Questions answered at once: what a presence may carry. */
const MAX_ANSWERS = 64
/** How long first attempts to reach members are waited for, in milliseconds. */
const CONNECT_GRACE = 5000
/** Pause before a scan that failed is tried again, in milliseconds. */
const RETRY_SCAN_AFTER = 1000

export interface SettleOptions {
  /** Milliseconds until the answer is "not settled". */
  readonly timeout: number
  readonly signal?: AbortSignal
  /** Scans this device's own placement; resolves when what it found is written and `setPending` is right. */
  readonly local: () => Promise<void>
}

export interface Settled {
  readonly settled: boolean
  /** The devices that are not there yet; this one among them when it is not. */
  readonly waitingFor: readonly DeviceId[]
}

export interface SettlingParts {
  readonly own: DeviceId
  readonly state: () => Pick<OwnReport, 'fingerprint' | 'pending'>
  /** Every reachable device, also one that has not said anything yet. */
  readonly reports: () => readonly (DeviceReport & { readonly ask: string | undefined })[]
  /** True while first attempts to reach members are under way. */
  readonly connecting: () => boolean
  /** Makes the others see `presence()` anew. */
  readonly announce: () => void
  readonly onError: (error: Error) => void
}

export interface Settling {
  settle(options: SettleOptions): Promise<Settled>
  /** What to do when another device asks: scan, write, plan. Without a handler questions are answered at once. */
  onRequest(handler: () => Promise<void>): () => void
  /** What this device's presence says about settling. */
  presence(): NonNullable<Presence['settle']>
  /** To be called whenever a presence, the fingerprint, `pending` or a path has changed. */
  changed(): void
  close(): void
}

export function createSettling(parts: SettlingParts): Settling {
  const waits = new Set<() => void>()
  let nonce: string | undefined
  let handler: (() => Promise<void>) | undefined
  let answered: { readonly fingerprint: string; readonly nonces: ReadonlySet<string> } | undefined
  let scanning = false
  let retry: NodeJS.Timeout | undefined
  let closed = false

  function asked(): ReadonlySet<string> {
    const nonces = new Set<string>()
    for (const { ask } of parts.reports()) if (ask !== undefined) nonces.add(ask)
    return new Set([...nonces].slice(0, MAX_ANSWERS))
  }

  /** True when every question asked now was answered by a scan that began at the fingerprint we have now. */
  function allAnswered(): boolean {
    const nonces = asked()
    if (nonces.size === 0) return true
    return (
      answered?.fingerprint === parts.state().fingerprint &&
      [...nonces].every((asked) => answered?.nonces.has(asked))
    )
  }

  async function answer(): Promise<void> {
    if (scanning || closed || allAnswered()) return
    scanning = true
    try {
      while (!closed && !allAnswered()) {
        const { fingerprint } = parts.state()
        const nonces = asked()
        await handler?.()
        answered = { fingerprint, nonces }
      }
      parts.announce()
    } catch (error) {
      parts.onError(error instanceof Error ? error : new Error(String(error)))
      retry = setTimeout(() => void answer(), RETRY_SCAN_AFTER)
      retry.unref()
    } finally {
      scanning = false
    }
  }

  function changed(): void {
    void answer()
    for (const check of waits) check()
  }

  function settle({ timeout, signal, local }: SettleOptions): Promise<Settled> {
    const ownNonce = crypto.randomUUID().slice(0, 13)
    nonce = ownNonce
    parts.announce()
    return new Promise((resolve, reject) => {
      let scannedAt: string | undefined
      let looking = false

      function finish(act: () => void): void {
        clearTimeout(timer)
        clearTimeout(connected)
        signal?.removeEventListener('abort', aborted)
        waits.delete(check)
        if (waits.size === 0) {
          nonce = undefined
          parts.announce()
        }
        act()
      }
      async function look(): Promise<void> {
        looking = true
        const { fingerprint } = parts.state()
        try {
          await local()
          scannedAt = fingerprint
        } catch (error) {
          finish(() => reject(error))
        } finally {
          looking = false
        }
        if (waits.has(check)) check()
      }
      const missing = (): DeviceId[] => {
        const own = { ...parts.state(), scannedAt }
        const others = behind(own, nonce ?? ownNonce, parts.reports())
        return ownSettled(own) ? others : [parts.own, ...others]
      }
      const started = performance.now()
      const connecting = () => parts.connecting() && performance.now() - started < CONNECT_GRACE
      function check(): void {
        if (looking) return
        if (parts.state().fingerprint !== scannedAt) void look()
        else if (!connecting() && missing().length === 0)
          finish(() => resolve({ settled: true, waitingFor: [] }))
      }
      const aborted = () => finish(() => reject(signal?.reason))
      const timer = setTimeout(() => {
        const waitingFor = missing()
        finish(() => resolve({ settled: waitingFor.length === 0, waitingFor }))
      }, timeout)
      const connected = setTimeout(check, CONNECT_GRACE)

      waits.add(check)
      if (signal?.aborted) aborted()
      else signal?.addEventListener('abort', aborted)
      if (waits.has(check)) check()
    })
  }

  return {
    settle,
    onRequest(given) {
      handler = given
      return () => {
        if (handler === given) handler = undefined
      }
    },
    presence() {
      const done = answered?.fingerprint === parts.state().fingerprint ? [...answered.nonces] : []
      return { ...(nonce !== undefined && { ask: nonce }), done }
    },
    changed,
    close() {
      closed = true
      clearTimeout(retry)
    },
  }
}
