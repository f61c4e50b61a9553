/**
 * Keeps trying to connect to the devices that replicas want: at once when something new is known about them, then
 * ever more rarely. One attempt at a time for a device, however many shares want it.
 */
import type { DeviceId } from '@cofolder/protocol'
import type { Network } from '../network/network.ts'

/** Pause after the first failed attempt, in milliseconds; doubles with each further one. */
const FIRST_PAUSE = 500
/** The longest pause between attempts, in milliseconds. */
const LONGEST_PAUSE = 15_000
/** Pauses vary by this share, so that two devices do not dial each other in step. */
const JITTER = 0.3
/** Addresses kept for one device; the latest known come first. */
const MAX_ADDRESSES = 16
/** Longest multiaddr taken from others. */
const MAX_ADDRESS_LENGTH = 256

export interface Dialer extends Disposable {
  /** Dials a device whenever it is not connected, until the returned function is called. */
  want(device: DeviceId): () => void
  /** Addresses to try from now on; new ones are tried at once. */
  hint(device: DeviceId, addresses: readonly string[]): void
  /** Known addresses, the latest first. */
  addresses(device: DeviceId): readonly string[]
  /** Whether a wanted device is connected, or an attempt to connect has ended. */
  tried(device: DeviceId): boolean
  /** Told when the first attempt for a device has ended. */
  onTried(listener: () => void): () => void
  close(): void
}

interface Target {
  wanted: number
  addresses: readonly string[]
  pause: number
  tried: boolean
  dialing: boolean
  again: boolean
  timer: NodeJS.Timeout | undefined
}

export function createDialer(network: Network): Dialer {
  const targets = new Map<DeviceId, Target>()
  const listeners = new Set<() => void>()
  const closing = new AbortController()

  const target = (device: DeviceId): Target => {
    let found = targets.get(device)
    if (!found) {
      found = {
        wanted: 0,
        addresses: [],
        pause: 0,
        tried: false,
        dialing: false,
        again: false,
        timer: undefined,
      }
      targets.set(device, found)
    }
    return found
  }

  const connected = (device: DeviceId) => network.peers().some((peer) => peer.device === device)

  function schedule(device: DeviceId, to: Target, pause: number): void {
    clearTimeout(to.timer)
    to.timer = undefined
    if (to.wanted === 0 || closing.signal.aborted) return
    const jittered = pause * (1 + JITTER * (Math.random() * 2 - 1))
    to.timer = setTimeout(() => void dial(device, to), jittered)
    to.timer.unref()
  }

  async function dial(device: DeviceId, to: Target): Promise<void> {
    if (to.dialing) {
      to.again = true
      return
    }
    to.dialing = true
    to.again = false
    try {
      if (!connected(device)) await network.connect(device, to.addresses, closing.signal)
      to.pause = 0
    } catch {
      // Not reachable now: expected, and tried again.
      to.pause = Math.min(LONGEST_PAUSE, Math.max(FIRST_PAUSE, to.pause * 2))
    } finally {
      to.dialing = false
    }
    if (!to.tried) {
      to.tried = true
      for (const listener of listeners) listener()
    }
    if (to.again) schedule(device, to, 0)
    else if (to.pause > 0) schedule(device, to, to.pause)
  }

  const offDisconnect = network.onDisconnect((device) => {
    const to = targets.get(device)
    if (!to || to.wanted === 0) return
    to.pause = FIRST_PAUSE
    schedule(device, to, FIRST_PAUSE / 4)
  })

  const dialer: Dialer = {
    want(device) {
      const to = target(device)
      to.wanted++
      if (to.wanted === 1) {
        to.tried = connected(device)
        if (!to.tried) schedule(device, to, 0)
      }
      let released = false
      return () => {
        if (released) return
        released = true
        to.wanted--
        if (to.wanted === 0) clearTimeout(to.timer)
      }
    },
    hint(device, addresses) {
      const to = target(device)
      const usable = addresses.filter((address) => address.length <= MAX_ADDRESS_LENGTH)
      const known = new Set(to.addresses)
      to.addresses = [...new Set([...usable, ...to.addresses])].slice(0, MAX_ADDRESSES)
      const news = to.addresses.some((address) => !known.has(address))
      if (news && to.wanted > 0 && !connected(device)) schedule(device, to, 0)
    },
    addresses: (device) => targets.get(device)?.addresses ?? [],
    tried: (device) => connected(device) || (targets.get(device)?.tried ?? false),
    onTried(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close() {
      closing.abort()
      offDisconnect()
      for (const { timer } of targets.values()) clearTimeout(timer)
      targets.clear()
    },
    [Symbol.dispose]: () => dialer.close(),
  }
  return dialer
}
