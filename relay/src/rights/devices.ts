/** Devices that showed a valid token lately: who shows none gets no reservation. */
import type { DeviceId } from '@cofolder/protocol'
import type { RelayContext } from '../context.ts'

export interface RecentDevices {
  readonly count: number
  saw(device: DeviceId): void
  isRecent(device: DeviceId): boolean
}

export function createRecentDevices({
  limits,
  clock,
}: Pick<RelayContext, 'limits' | 'clock'>): RecentDevices {
  /** Until when; the device seen last is the last. */
  const until = new Map<DeviceId, number>()

  function forgetOld(): void {
    for (const [device, end] of until) {
      if (end > clock() && until.size <= limits.recentDevices) break
      until.delete(device)
    }
  }

  return {
    get count() {
      return until.size
    },
    saw(device) {
      until.delete(device)
      until.set(device, clock() + limits.recentDevice)
      forgetOld()
    },
    isRecent: (device) => (until.get(device) ?? 0) > clock(),
  }
}
