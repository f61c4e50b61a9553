/** A device's certificate: its user's signed word that the device acts for him. */
import type { DeviceId, UserId } from '../ids.ts'

export interface DeviceCertificate {
  readonly user: UserId
  readonly device: DeviceId
  /** X25519 public key that epoch keys are wrapped to. */
  readonly agreementKey: Uint8Array
  readonly name: string
  readonly at: number
  /** Ed25519 by the user's identity key. */
  readonly signature: Uint8Array
}
