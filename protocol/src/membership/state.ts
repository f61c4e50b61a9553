/** Who is in a share: the result of folding its membership changes (see `fold.ts`). */

import type { DeviceCertificate } from '../identity/device.ts'
import type { ChangeId, DeviceId, InviteId, ShareId, UserId } from '../ids.ts'

export type Role = 'owner' | 'editor' | 'viewer'

export interface Member {
  readonly user: UserId
  readonly name: string
  readonly role: Role
  readonly devices: ReadonlyMap<DeviceId, DeviceCertificate>
  readonly status: 'active' | 'left' | 'removed'
  readonly joinedAt: number
}

export interface OpenInvite {
  readonly id: InviteId
  readonly role: Exclude<Role, 'owner'>
  /** Only this user may join with it; anybody who holds it when undefined. */
  readonly for?: UserId
  /** Milliseconds since the epoch. */
  readonly expires?: number
  readonly at: number
}

export interface MembershipState {
  readonly share: ShareId
  readonly owner: UserId
  readonly members: ReadonlyMap<UserId, Member>
  readonly invites: ReadonlyMap<InviteId, OpenInvite>
  /** The epoch new batches are sealed under. */
  readonly epoch: number
  /** True when the owner should call `rotate`: somebody who left still has the keys, or a device lacks them. */
  readonly rotationDue: boolean
  readonly heads: readonly ChangeId[]
}
