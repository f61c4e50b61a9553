/** Devices that showed a valid token lately, or are connected with one: others get no reservation. */
import type { DeviceId } from '@cofolder/protocol'
import type { RelayContext } from '../context.ts'

export interface RecentDevices {
  readonly count: number
  saw(device: DeviceId): void
  /** The device is connected, until the returned function is called. */
  hold(device: DeviceId): () => void
  isRecent(device: DeviceId): boolean
}

export function createRecentDevices({
  limits,
  clock,
}: Pick<RelayContext, 'limits' | 'clock'>): RecentDevices {
  /** Until when; the device seen last is the last. */
  const until = new Map<DeviceId, number>()

  /** How many connections each has. */
  const held = new Map<DeviceId, number>()

  function forgetOld(): void {
    for (const [device, end] of until) {
      if (end > clock() && until.size <= limits.recentDevices) break
      until.delete(device)
    }
  }

  function saw(device: DeviceId): void {
    until.delete(device)
    until.set(device, clock() + limits.recentDevice)
    forgetOld()
  }

  return {
    get count() {
      return until.size
    },
    saw,
    hold(device) {
      held.set(device, (held.get(device) ?? 0) + 1)
      return () => {
        const left = (held.get(device) ?? 1) - 1
        if (left > 0) held.set(device, left)
        else held.delete(device)
        saw(device)
      }
    },
    isRecent: (device) => held.has(device) || (until.get(device) ?? 0) > clock(),
  }
}
