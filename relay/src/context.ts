/** What every part of the relay is given. */
import type { DeviceId } from '@cofolder/protocol'
import type { Counter, Metrics } from './http/metrics.ts'
import type { RelayLimits } from './limits.ts'
import type { RelayStorage } from './storage/storage.ts'

export interface RelayContext {
  readonly id: DeviceId
  readonly storage: RelayStorage
  readonly limits: RelayLimits
  readonly clock: () => number
  readonly metrics: Metrics
  /** Everything refused, by reason. */
  readonly refused: Counter
  /** For the operator; never holds keys, tokens or bytes of users. */
  readonly log: (line: string) => void
  /** False when new data is refused because the storage is full. */
  readonly hasRoom: () => boolean
}
