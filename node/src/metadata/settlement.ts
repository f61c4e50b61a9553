/** When a share counts as settled: the decision behind `cofolder wait`, over what the devices say of themselves. */
import type { DeviceId } from '@cofolder/protocol'

/** What a device says: valid for its state at `fingerprint`. */
export interface DeviceReport {
  readonly device: DeviceId
  readonly fingerprint: string
  /** Operations it still has to carry out. */
  readonly pending: number
  /** Nonces of questions it has answered: a scan that began at or after this fingerprint has ended. */
  readonly done: readonly string[]
}

export interface OwnReport {
  readonly fingerprint: string
  readonly pending: number
  /** Fingerprint at which the own scan that has ended began; undefined before the first one ended. */
  readonly scannedAt: string | undefined
}

/** The devices that are not yet where we are. A report that answers at another fingerprint than ours says nothing. */
export function behind(own: OwnReport, nonce: string, reports: readonly DeviceReport[]): DeviceId[] {
  return reports
    .filter(
      ({ fingerprint, pending, done }) =>
        fingerprint !== own.fingerprint || pending > 0 || !done.includes(nonce),
    )
    .map(({ device }) => device)
}

export const ownSettled = (own: OwnReport): boolean => own.pending === 0 && own.scannedAt === own.fingerprint
