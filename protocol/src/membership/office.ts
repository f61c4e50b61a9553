/** The changes that only a share's owner makes. Each is signed with the share's admin key. */
import { crypto } from '#crypto'
import { ProtocolError } from '../errors.ts'
import { inviteIdOf } from '../identity/derive.ts'
import type { DeviceId, InviteId, ShareId, UserId } from '../ids.ts'
import type { EpochKeys } from '../share/keys.ts'
import { type SealedChange, sealChange, type Wraps } from './change.ts'
import type { Membership } from './fold.ts'
import type { Member, MembershipState, Role } from './state.ts'
import { createEpochKeys, inviteAgreementSecret, wrapEpochs } from './wraps.ts'

const SEED_LENGTH = 32
/** Epochs an invite carries keys of; older batches open once the new member's device is wrapped to. */
const MAX_INVITE_EPOCHS = 256

/** What the owner's device knows when it makes a change. */
export interface Office {
  readonly share: ShareId
  readonly root: Uint8Array
  readonly adminSeed: Uint8Array
  readonly epochs: ReadonlyMap<number, EpochKeys>
  readonly membership: Membership
  readonly state: MembershipState
  /** Milliseconds since the epoch. */
  readonly at: number
  /** The last sequence number that counts of a device. */
  readonly lastSeqOf: (device: DeviceId) => number
}

type GuestRole = Exclude<Role, 'owner'>

export interface NewInvite {
  readonly change: SealedChange
  readonly seed: Uint8Array
  /** What the invited gets to read with. */
  readonly epochs: ReadonlyMap<number, EpochKeys>
}

export function makeInvite(
  office: Office,
  { role, for: user, expires }: { role: GuestRole; for?: UserId; expires?: number },
): NewInvite {
  const seed = crypto.randomBytes(SEED_LENGTH)
  const inviteKey = crypto.ed25519PublicKey(seed)
  const agreementKey = crypto.x25519PublicKey(inviteAgreementSecret(seed))
  const epochs = new Map(
    [...office.epochs]
      .slice(-MAX_INVITE_EPOCHS)
      .map(([epoch, keys]) => [epoch, role === 'editor' ? keys : { key: keys.key }] as const),
  )
  const change = sealed(office, {
    ...{ kind: 'invite', inviteKey, agreementKey, role },
    ...(user === undefined ? {} : { for: user }),
    ...(expires === undefined ? {} : { expires }),
    wraps: wrapsFor(office, epochs, [{ id: inviteIdOf(inviteKey), agreementKey, role }]),
  })
  return { change, seed, epochs }
}

export function revokeInvite(office: Office, invite: InviteId): SealedChange {
  if (!office.state.invites.has(invite)) throw new ProtocolError('not-found', 'there is no such open invite')
  return sealed(office, { kind: 'revoke-invite', invite })
}

/** A viewer's devices get the right to write. */
export function promote(office: Office, user: UserId): SealedChange {
  const member = guest(office, user)
  const keys = office.epochs.get(office.state.epoch)
  const epochs = new Map(keys ? [[office.state.epoch, keys]] : [])
  return sealed(office, {
    kind: 'promote',
    user,
    wraps: wrapsFor(office, epochs, devicesOf({ ...member, role: 'editor' })),
  })
}

/** An editor's later writes do not count; a new epoch, of which he gets the keys to read. */
export function demote(office: Office, user: UserId): SealedChange {
  const member = guest(office, user)
  const others = recipients(office, office.membership.invitesOf(user)).filter(
    ({ id }) => !isDeviceOf(member, id),
  )
  const reader = devicesOf({ ...member, role: 'viewer' })
  return sealed(office, {
    ...{ kind: 'demote', user, cutoffs: cutoffsOf(office, [member]) },
    ...nextEpoch(office, [...others, ...reader]),
  })
}

/** The member goes, with the invites he came in by; a new epoch, of which he gets no keys. */
export function removeMember(office: Office, user: UserId): SealedChange {
  const member = office.state.members.get(user)
  if (!member) throw new ProtocolError('not-found', 'there is no such member')
  if (member.role === 'owner') throw new ProtocolError('forbidden', 'the owner cannot be removed')
  const others = recipients(office, office.membership.invitesOf(user)).filter(
    ({ id }) => !isDeviceOf(member, id),
  )
  return sealed(office, {
    ...{ kind: 'remove', user, cutoffs: cutoffsOf(office, [member]) },
    ...nextEpoch(office, others),
  })
}

/** A new epoch for everybody who is in the share now. */
export function rotate(office: Office): SealedChange {
  const gone = [...office.state.members.values()].filter(({ status }) => status === 'left')
  return sealed(office, {
    ...{ kind: 'epoch', cutoffs: cutoffsOf(office, gone) },
    ...nextEpoch(office, recipients(office, new Set())),
  })
}

/** Somebody who gets keys. */
interface Recipient {
  readonly id: DeviceId | InviteId
  readonly agreementKey: Uint8Array
  readonly role: Role
}

type OfficeBody = Parameters<typeof sealChange>[1] extends infer Body
  ? Body extends { share: ShareId }
    ? Omit<Body, 'share' | 'at' | 'prev'>
    : never
  : never

function sealed(office: Office, body: OfficeBody): SealedChange {
  const { share, at, root, adminSeed, state } = office
  return sealChange(root, { ...body, share, at, prev: [...state.heads] }, [adminSeed])
}

function nextEpoch(office: Office, others: readonly Recipient[]): { epoch: number; wraps: Wraps } {
  const epoch = office.state.epoch + 1
  return { epoch, wraps: wrapsFor(office, new Map([[epoch, createEpochKeys()]]), others) }
}

function wrapsFor(office: Office, epochs: ReadonlyMap<number, EpochKeys>, to: readonly Recipient[]): Wraps {
  const wraps: Wraps = []
  for (const { id, agreementKey, role } of to) {
    const wrap = wrapEpochs(agreementKey, office.share, epochs, role !== 'viewer')
    if (wrap) wraps.push([id, wrap])
  }
  return wraps
}

/** Devices of all members and the open invites, without those in `closing`. */
function recipients({ state, membership }: Office, closing: ReadonlySet<InviteId>): Recipient[] {
  const members = [...state.members.values()].filter(({ status }) => status === 'active')
  const invites = [...state.invites.values()].flatMap(({ id, role }) => {
    const agreementKey = membership.inviteKeys.get(id)
    return agreementKey && !closing.has(id) ? [{ id, agreementKey, role }] : []
  })
  return [...members.flatMap(devicesOf), ...invites]
}

function devicesOf({ devices, role }: Pick<Member, 'devices' | 'role'>): Recipient[] {
  return [...devices.values()].map(({ device, agreementKey }) => ({ id: device, agreementKey, role }))
}

const isDeviceOf = (member: Member, id: DeviceId | InviteId): boolean =>
  [...member.devices.keys()].some((device) => device === id)

function cutoffsOf(office: Office, members: readonly Member[]): [DeviceId, number][] {
  return members.flatMap(({ devices }) =>
    [...devices.keys()].map((device): [DeviceId, number] => [device, office.lastSeqOf(device)]),
  )
}

function guest({ state }: Office, user: UserId): Member {
  const member = state.members.get(user)
  if (member?.status !== 'active') throw new ProtocolError('not-found', 'there is no such member')
  if (member.role === 'owner') throw new ProtocolError('forbidden', 'the owner keeps his role')
  return member
}
