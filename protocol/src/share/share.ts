/**
 * A share as a program sees it: one Yjs document of sealed records, opened with the share's keys.
 * `create.ts` and `open.ts` make it; everything it answers is a pure function of the document and the keys.
 */
import type * as Y from 'yjs'
import type { DeviceId, InviteId, NodeId, ShareId, UserId, VersionId } from '../ids.ts'
import type { InvitePayload } from '../invites/payload.ts'
import type { MembershipState, Role } from '../membership/state.ts'
import type { AcceptedBatch } from '../records/ledger.ts'
import type { PlacementRecord, SettingsRecord, ShareRecord } from '../records/record.ts'
import type { AuthoredVersion, ShareTree } from '../tree/tree.ts'
import type { ShareKeys } from './keys.ts'

export type { AcceptedBatch } from '../records/ledger.ts'

/** What one replica learnt at once: from a local write, a peer, or a relay. */
export interface ShareChange {
  /** True when this device wrote it. */
  readonly local: boolean
  /** Batches that count from now on. */
  readonly batches: readonly AcceptedBatch[]
  /**
   * True when batches that counted do so no more, because their author was cut off: whatever was derived from
   * `batches` before must be derived anew. Rare.
   */
  readonly withdrawn: boolean
  /** True when members, roles, invites or epochs may have changed. */
  readonly membership: boolean
  /** True when keys were learnt from the log: `keys` must be kept. */
  readonly keys: boolean
}

export interface ShareDocument extends Disposable {
  readonly id: ShareId
  readonly doc: Y.Doc
  readonly keys: ShareKeys
  /** Until the log has arrived: nobody, and an owner of empty text. */
  readonly membership: MembershipState
  /** This user's role now; undefined when not (or no longer) a member. */
  readonly role: Role | undefined
  readonly settings: Pick<SettingsRecord, 'name' | 'relays'>
  readonly placements: ReadonlyMap<DeviceId, PlacementRecord>
  /** Order-independent digest of all accepted batches and changes: equal on replicas that know the same. */
  readonly fingerprint: string

  /** Recomputed after a change, otherwise the same object. */
  tree(): ShareTree
  /** All versions of a node, oldest first. */
  history(node: NodeId): readonly AuthoredVersion[]
  /** Every node whose place is, or was when it was deleted, this path. */
  everAt(path: string): readonly NodeId[]
  version(id: VersionId): AuthoredVersion | undefined
  /** The user a device belongs to in this share. */
  userOf(device: DeviceId): UserId | undefined
  /** The greatest `at` of any place record of a node, 0 when there is none: a new one must be greater. */
  placedAt(node: NodeId): number

  /**
   * Signs, seals and adds records as this device; a viewer's go to the outbox. `at` is this device's clock.
   * @throws ProtocolError `forbidden` when the role does not allow it, `malformed` for what others would not
   * accept, `wrong-key` while the present epoch's key has not come. Nothing is written then.
   */
  write(records: readonly ShareRecord[], at?: number): void
  /** The records that settle every conflict of heads and of equal twins, the same on every device; empty when none. */
  settle(): readonly ShareRecord[]

  /** Owner only. The change that lets somebody join; the payload goes to him sealed or behind a link. */
  invite(options: { role: Exclude<Role, 'owner'>; for?: UserId; expires?: number; at: number }): InvitePayload
  /** Owner only; starts a new epoch, because whoever holds the invite has had the keys. */
  revokeInvite(invite: InviteId, at: number): void
  /** Owner only; a demotion starts a new epoch and closes invites as `remove` does. */
  setRole(user: UserId, role: Exclude<Role, 'owner'>, at: number): void
  /**
   * Owner only; starts a new epoch, whose keys the removed user does not get. Closes the invites he joined with
   * (a link that others use too must be made anew) and those for him.
   */
  remove(user: UserId, at: number): void
  /** Owner only; starts a new epoch. To be called when `membership.rotationDue`. */
  rotate(at: number): void
  /** Makes this device one of its user's in a share he is a member of. Returns the signed change. */
  addDevice(at: number): Uint8Array
  /** This user leaves. Returns the signed change, which a viewer must submit through an editor or the relay. */
  leave(at: number): Uint8Array
  /**
   * Inserts a signed change or batch that another member's device made but may not write itself (a viewer's join,
   * leave or placement). @throws ProtocolError when it is not valid or not of a kind that may be submitted.
   */
  submit(signed: Uint8Array): void
  /** What this device signed but may not write itself; the caller submits it. Empty for editors. */
  readonly outbox: readonly Uint8Array[]
  /**
   * What this user signed about himself: how he and this device came in, that he left, and, of a viewer, where he
   * keeps the share. To be submitted to whoever may lack it: an editor who let it in may have vanished with it.
   */
  readonly introduction: readonly Uint8Array[]

  onChange(listener: (change: ShareChange) => void): () => void
  /** Stops observing and destroys the Y.Doc. */
  close(): void
}
