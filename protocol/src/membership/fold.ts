/**
 * Membership out of its log. Pure and deterministic: the same set of changes gives every replica the same members.
 * Where two changes did not know of each other, the one that takes something away wins.
 */

import { inviteIdOf } from '../identity/derive.ts'
import type { ChangeId, DeviceId, InviteId, ShareId, UserId } from '../ids.ts'
import type { MembershipChange } from './change.ts'
import { apply, type Draft, emptyDraft, isOpen } from './draft.ts'
import { concurrent, has, type OrderedLog, orderLog, pastOf } from './order.ts'
import type { Member, MembershipState, OpenInvite, Role } from './state.ts'

/** What a device may do with a batch that it wrote, knowing what it knew. */
export type Standing =
  | { readonly known: false }
  | { readonly known: true; readonly user: UserId | undefined; readonly role: Role | undefined }

export interface Membership {
  /** Undefined until the log's first change is known. */
  readonly state: MembershipState | undefined
  /** In the log's order. */
  readonly accepted: readonly MembershipChange[]
  /** X25519 keys of open invites, that new epochs are wrapped to. */
  readonly inviteKeys: ReadonlyMap<InviteId, Uint8Array>
  /** Open invites that close when a user is removed or demoted: those he joined with or that are for him. */
  invitesOf(user: UserId): ReadonlySet<InviteId>
  userOf(device: DeviceId): UserId | undefined
  /**
   * The latest changes about a device's user: what its batches build on. Enough to judge them by, and still small
   * when a thousand people have joined at once.
   */
  basisOf(device: DeviceId): readonly ChangeId[]
  /** Of the author of a batch; not known while a change that the batch builds on has not arrived. */
  standing(batch: {
    readonly device: DeviceId
    readonly seq: number
    readonly heads: readonly ChangeId[]
  }): Standing
}

export function foldMembership(share: ShareId, changes: ReadonlyMap<ChangeId, MembershipChange>): Membership {
  const log = orderLog(changes)
  const dropped = new Set<number>()
  for (;;) {
    const { draft, accepted } = applyAll(log, dropped)
    const beaten = beatenBy(log, draft, accepted).filter((position) => !dropped.has(position))
    // Only ever grows, so this ends.
    for (const position of beaten) dropped.add(position)
    if (beaten.length === 0) return membershipOf(share, log, draft, accepted)
  }
}

function applyAll(log: OrderedLog, dropped: ReadonlySet<number>): { draft: Draft; accepted: number[] } {
  const draft = emptyDraft()
  const accepted: number[] = []
  for (let position = 0; position < log.changes.length; position++) {
    if (!dropped.has(position) && apply(draft, log, position)) accepted.push(position)
  }
  return { draft, accepted }
}

/** Accepted changes that a concurrent one outdoes: a removed user's own, a promotion by a demotion, a late join. */
function beatenBy(log: OrderedLog, draft: Draft, accepted: readonly number[]): number[] {
  const beaten: number[] = []
  for (const position of accepted) {
    const body = log.changes[position]?.body
    if (!body) continue
    const wins = (rival: number) => concurrent(log, rival, position)
    if (body.kind === 'join' || body.kind === 'device' || body.kind === 'leave' || body.kind === 'promote') {
      const restrictions = draft.restrictions.get(body.user) ?? []
      const against = restrictions.filter(({ position: rival, role }) => {
        const kind = log.changes[rival]?.body.kind
        return kind === 'remove' || (kind === 'demote' && role === 'viewer' && body.kind === 'promote')
      })
      if (against.some(({ position: rival }) => wins(rival))) beaten.push(position)
    }
    if (body.kind === 'join' && draft.invites.get(inviteIdOf(body.inviteKey))?.closedBy.some(wins)) {
      beaten.push(position)
    }
  }
  return beaten
}

function membershipOf(
  share: ShareId,
  log: OrderedLog,
  draft: Draft,
  accepted: readonly number[],
): Membership {
  const open = [...draft.invites.values()].filter(isOpen)
  const pasts = new Map<string, ReturnType<typeof pastOf>>()
  const pastOfHeads = (heads: readonly ChangeId[]) => {
    const key = heads.join()
    if (!pasts.has(key)) pasts.set(key, pastOf(log, heads))
    return pasts.get(key)
  }
  return {
    state: draft.owner === undefined ? undefined : stateOf(share, draft.owner, log, draft, accepted),
    accepted: accepted.flatMap((position) => log.changes[position] ?? []),
    inviteKeys: new Map(open.map(({ id, agreementKey }) => [id, agreementKey])),
    invitesOf(user) {
      const joinedWith = draft.members.get(user)?.joinedWith
      const his = open.filter((invite) => invite.for === user || joinedWith?.has(invite.id))
      return new Set(his.map(({ id }) => id))
    },
    userOf: (device) => draft.devices.get(device)?.user,
    basisOf(device) {
      const claim = draft.devices.get(device)
      if (!claim) return []
      const about = [claim.position, ...(draft.grants.get(claim.user) ?? []).map(({ position }) => position)]
      const latest = about.filter((one) => !about.some((other) => other !== one && has(log.past[other], one)))
      return [...new Set(latest)].flatMap((position) => log.changes[position]?.id ?? [])
    },
    standing({ device, seq, heads }) {
      const past = pastOfHeads(heads)
      if (!past) return { known: false }
      const claim = draft.devices.get(device)
      if (!claim || !has(past, claim.position)) return { known: true, user: undefined, role: undefined }
      let role: Role | undefined
      for (const granted of draft.grants.get(claim.user) ?? []) {
        if (has(past, granted.position)) role = granted.role
      }
      for (const restriction of draft.restrictions.get(claim.user) ?? []) {
        const cut = !has(past, restriction.position) && seq > (restriction.cutoffs.get(device) ?? 0)
        if (cut) role = undefined
      }
      return { known: true, user: claim.user, role }
    },
  }
}

function stateOf(
  share: ShareId,
  owner: UserId,
  log: OrderedLog,
  draft: Draft,
  accepted: readonly number[],
): MembershipState {
  const members = new Map<UserId, Member>()
  for (const [id, { joinedWith: _, ...member }] of draft.members) members.set(id, member)
  const invites = new Map<InviteId, OpenInvite>()
  for (const [id, found] of draft.invites) {
    const { agreementKey: _, position: __, closedBy: ___, used: ____, ...invite } = found
    if (isOpen(found)) invites.set(id, invite)
  }
  return {
    ...{ share, owner, members, invites, epoch: draft.epoch, heads: log.heads },
    rotationDue: isRotationDue(log, draft, accepted),
  }
}

/**
 * Whether the owner should begin a new epoch: somebody left and still has the keys, two epochs began at once, or
 * a device has come in that the present epoch's keys were not wrapped to.
 */
function isRotationDue(log: OrderedLog, draft: Draft, accepted: readonly number[]): boolean {
  const latest = draft.rotations.findLast((position) => epochAt(log, position) === draft.epoch)
  if (latest === undefined) return false
  const body = log.changes[latest]?.body
  if (!body || !('epoch' in body)) return false
  if (draft.rotations.some((other) => other !== latest && epochAt(log, other) === draft.epoch)) return true
  const wrapped = new Set<string>(body.wraps.map(([recipient]) => recipient))
  for (const position of accepted) {
    const later = log.changes[position]?.body
    if (!later || has(log.past[latest], position)) continue
    if (later.kind === 'leave') return true
    const knew = has(log.past[position], latest)
    if (later.kind === 'device' && !knew) return true
    if (later.kind !== 'join') continue
    const invite = draft.invites.get(inviteIdOf(later.inviteKey))
    const covered = invite && (has(log.past[invite.position], latest) || wrapped.has(invite.id))
    if (!covered) return true
  }
  return false
}

function epochAt(log: OrderedLog, position: number): number | undefined {
  const body = log.changes[position]?.body
  return body && 'epoch' in body ? body.epoch : undefined
}
