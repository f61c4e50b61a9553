/** A share's membership while its log is folded: what one change does to it. */

import { inviteIdOf } from '../identity/derive.ts'
import type { DeviceCertificate } from '../identity/device.ts'
import type { DeviceId, InviteId, UserId } from '../ids.ts'
import type { ChangeBody, MembershipChange } from './change.ts'
import { has, type OrderedLog } from './order.ts'
import type { Member, OpenInvite, Role } from './state.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

interface DraftMember extends Mutable<Omit<Member, 'devices'>> {
  readonly devices: Map<DeviceId, DeviceCertificate>
  readonly joinedWith: Set<InviteId>
}

export interface DraftInvite extends OpenInvite {
  readonly agreementKey: Uint8Array
  readonly position: number
  /** Positions of the changes that closed it. */
  readonly closedBy: number[]
  /** An invite for somebody is used up when he has joined; his other devices may still come in by it. */
  used: boolean
}

/** Whether new members may come in by it, and new epochs are wrapped to it. */
export const isOpen = ({ closedBy, used }: DraftInvite): boolean => closedBy.length === 0 && !used

/** From this position on a user has this role; undefined for none. */
interface Grant {
  readonly position: number
  readonly role: Role | undefined
}

/** A user gets this role; of what he wrote without knowing of it, only what the cut-offs name counts. */
interface Restriction extends Grant {
  readonly cutoffs: ReadonlyMap<DeviceId, number>
}

export interface Draft {
  owner: UserId | undefined
  epoch: number
  readonly members: Map<UserId, DraftMember>
  readonly invites: Map<InviteId, DraftInvite>
  readonly devices: Map<DeviceId, { readonly user: UserId; readonly position: number }>
  readonly grants: Map<UserId, Grant[]>
  readonly restrictions: Map<UserId, Restriction[]>
  /** Positions of changes that began an epoch. */
  readonly rotations: number[]
}

export const emptyDraft = (): Draft => ({
  owner: undefined,
  epoch: 0,
  members: new Map(),
  invites: new Map(),
  devices: new Map(),
  grants: new Map(),
  restrictions: new Map(),
  rotations: [],
})

/** Applies the change at a position; false when the state does not allow it and nothing changed. */
export function apply(draft: Draft, log: OrderedLog, position: number): boolean {
  const change = log.changes[position]
  if (!change) return false
  const { body } = change
  if (body.kind === 'create') return create(draft, change, body, position)
  if (draft.owner === undefined) return false
  switch (body.kind) {
    case 'invite':
      return invite(draft, body, position)
    case 'revoke-invite':
      return close(draft.invites.get(body.invite), position)
    case 'join':
      return join(draft, log, change, body, position)
    case 'device':
      return device(draft, change, body, position)
    case 'leave':
      return leave(draft, body, position)
    case 'promote':
      return promote(draft, body, position)
    case 'demote':
      return demote(draft, log, body, position)
    case 'remove':
      return remove(draft, log, body, position)
    case 'epoch':
      return renew(draft, body, position)
  }
}

type Body<Kind extends ChangeBody['kind']> = Extract<ChangeBody, { kind: Kind }>

function create(draft: Draft, change: MembershipChange, body: Body<'create'>, position: number): boolean {
  if (draft.owner !== undefined || body.prev.length > 0 || body.epoch !== 0) return false
  draft.owner = body.user
  addMember(draft, change, body, 'owner', position)
  draft.rotations.push(position)
  return true
}

function invite(draft: Draft, body: Body<'invite'>, position: number): boolean {
  const id = inviteIdOf(body.inviteKey)
  if (draft.invites.has(id)) return false
  const { role, at, agreementKey } = body
  draft.invites.set(id, {
    ...{ id, role, at, agreementKey, position, closedBy: [], used: false },
    ...(body.for === undefined ? {} : { for: body.for }),
    ...(body.expires === undefined ? {} : { expires: body.expires }),
  })
  return true
}

function close(found: DraftInvite | undefined, position: number): boolean {
  if (!found) return false
  found.closedBy.push(position)
  return true
}

function join(
  draft: Draft,
  log: OrderedLog,
  change: MembershipChange,
  body: Body<'join'>,
  position: number,
): boolean {
  const found = draft.invites.get(inviteIdOf(body.inviteKey))
  if (!found || found.closedBy.length > 0 || !has(log.past[position], found.position)) return false
  if (found.for !== undefined && found.for !== body.user) return false
  if (found.expires !== undefined && body.at > found.expires) return false
  if (!isFreeFor(draft, change, body.user)) return false
  const member = activeMember(draft, body.user)
  if (found.used && !member) return false
  if (member) addDevice(draft, member, change, position)
  else addMember(draft, change, body, found.role, position)
  draft.members.get(body.user)?.joinedWith.add(found.id)
  found.used = found.for !== undefined
  return true
}

function device(draft: Draft, change: MembershipChange, body: Body<'device'>, position: number): boolean {
  const member = activeMember(draft, body.user)
  if (!member || !isFreeFor(draft, change, body.user)) return false
  addDevice(draft, member, change, position)
  return true
}

function leave(draft: Draft, body: Body<'leave'>, position: number): boolean {
  const member = activeMember(draft, body.user)
  if (!member || member.role === 'owner') return false
  member.status = 'left'
  grant(draft, body.user, { position, role: undefined })
  return true
}

function promote(draft: Draft, body: Body<'promote'>, position: number): boolean {
  const member = activeMember(draft, body.user)
  if (!member || member.role === 'owner') return false
  member.role = 'editor'
  grant(draft, body.user, { position, role: 'editor' })
  return true
}

function demote(draft: Draft, log: OrderedLog, body: Body<'demote'>, position: number): boolean {
  begin(draft, body, position)
  closeDoorsOf(draft, log, body.user, position)
  const member = activeMember(draft, body.user)
  if (!member || member.role === 'owner') return true
  member.role = 'viewer'
  restrict(draft, body.user, { position, role: 'viewer', cutoffs: new Map(body.cutoffs) })
  return true
}

function remove(draft: Draft, log: OrderedLog, body: Body<'remove'>, position: number): boolean {
  begin(draft, body, position)
  const member = draft.members.get(body.user)
  if (member?.role === 'owner') return true
  closeDoorsOf(draft, log, body.user, position)
  if (!member) return true
  member.status = 'removed'
  restrict(draft, body.user, { position, role: undefined, cutoffs: new Map(body.cutoffs) })
  return true
}

/** Whoever was put out must not come back, as somebody else perhaps, through a door that he holds the key of. */
function closeDoorsOf(draft: Draft, log: OrderedLog, user: UserId, position: number): void {
  const joinedWith = draft.members.get(user)?.joinedWith
  for (const found of draft.invites.values()) {
    const his = found.for === user || joinedWith?.has(found.id)
    if (his && has(log.past[position], found.position)) found.closedBy.push(position)
  }
}

function renew(draft: Draft, body: Body<'epoch'>, position: number): boolean {
  begin(draft, body, position)
  const cutoffs = new Map(body.cutoffs)
  const gone = new Set(body.cutoffs.map(([id]) => draft.devices.get(id)?.user))
  for (const user of gone) {
    if (user === undefined || draft.members.get(user)?.status === 'active') continue
    restrict(draft, user, { position, role: undefined, cutoffs })
  }
  return true
}

function begin(draft: Draft, body: { readonly epoch: number }, position: number): void {
  draft.epoch = Math.max(draft.epoch, body.epoch)
  draft.rotations.push(position)
}

function activeMember(draft: Draft, user: UserId): DraftMember | undefined {
  const member = draft.members.get(user)
  return member?.status === 'active' ? member : undefined
}

/** A device acts for one user only. */
function isFreeFor(draft: Draft, change: MembershipChange, user: UserId): boolean {
  if (!change.certificate) return false
  const holder = draft.devices.get(change.certificate.device)
  return holder === undefined || holder.user === user
}

function addMember(
  draft: Draft,
  change: MembershipChange,
  body: Body<'create' | 'join'>,
  role: Role,
  position: number,
): void {
  const { user, name, at } = body
  const earlier = draft.members.get(user)
  const member: DraftMember = {
    ...{ user, name, role, status: 'active', joinedAt: at },
    devices: earlier?.devices ?? new Map(),
    joinedWith: earlier?.joinedWith ?? new Set(),
  }
  draft.members.set(user, member)
  grant(draft, user, { position, role })
  addDevice(draft, member, change, position)
}

function addDevice(
  draft: Draft,
  member: DraftMember,
  { certificate }: MembershipChange,
  position: number,
): void {
  if (!certificate) return
  member.devices.set(certificate.device, certificate)
  if (!draft.devices.has(certificate.device)) {
    draft.devices.set(certificate.device, { user: member.user, position })
  }
}

function grant(draft: Draft, user: UserId, granted: Grant): void {
  const list = draft.grants.get(user)
  if (list) list.push(granted)
  else draft.grants.set(user, [granted])
}

function restrict(draft: Draft, user: UserId, restriction: Restriction): void {
  grant(draft, user, restriction)
  const list = draft.restrictions.get(user)
  if (list) list.push(restriction)
  else draft.restrictions.set(user, [restriction])
}
