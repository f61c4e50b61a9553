/** What an invite carries to the person invited, sealed to him or behind a link. */
import type { ChangeId, DeviceId, ShareId, UserId } from '../ids.ts'
import type { Role } from '../membership/state.ts'
import type { EpochKeys } from '../share/keys.ts'

export interface InvitePayload {
  readonly share: ShareId
  readonly name: string
  readonly role: Exclude<Role, 'owner'>
  readonly from: { readonly id: UserId; readonly name: string }
  /** Ed25519 seed whose holder may join; its public key stands in the membership log. */
  readonly seed: Uint8Array
  /** The change that made the invite. */
  readonly change: ChangeId
  readonly root: Uint8Array
  readonly epochs: ReadonlyMap<number, EpochKeys>
  readonly relays: readonly string[]
  /** Devices that hold the share, with multiaddrs where they were last reachable. */
  readonly devices: readonly { readonly id: DeviceId; readonly addresses: readonly string[] }[]
}
