/** What is going on: the daemon, each share, its members. */
import type { ShareId, UserId } from '@cofolder/protocol'
import type { Network } from '../network/network.ts'
import type { PlacementState } from '../sync/placement.ts'
import { RequestError } from './errors.ts'
import { currentShares, findShare, type KeptReplica, type ShareContext } from './service.ts'

export interface ShareStatus extends Omit<PlacementState, 'state'> {
  readonly id: ShareId
  readonly name: string
  readonly state: 'in-sync' | 'syncing' | 'waiting' | 'error'
}

/** State of one share; `waiting` also while other members' devices cannot be reached to get what is missing. */
function shareStatus(context: ShareContext, { kept, replica }: KeptReplica): ShareStatus {
  const placement = context.placements.get(kept.share)
  const named = { id: kept.share, name: replica.share.settings.name }
  if (replica.share.role === undefined && replica.share.membership.members.size > 0) {
    return {
      ...named,
      state: 'error',
      filesTotal: 0,
      bytesTotal: 0,
      pending: 0,
      error:
        'You are no longer a member of this share. Your files stay as they are; "leave" takes it off this list.',
    }
  }
  if (!placement) {
    return {
      ...named,
      state: 'error',
      filesTotal: 0,
      bytesTotal: 0,
      pending: 0,
      error: `${kept.root} could not be opened`,
    }
  }
  return { ...named, ...placement.state() }
}

export async function status(context: ShareContext, network: Network, api: string) {
  const { identity } = context.profile
  const shares = await currentShares(context)
  const relays = new Map(
    shares.flatMap(({ replica }) => replica.relays()).map((relay) => [relay.url, relay.connected]),
  )
  const [own] = context.relays()
  return {
    running: true,
    user: { id: identity.userId, name: identity.name },
    device: { id: identity.deviceId },
    api,
    relay:
      own === undefined
        ? null
        : { url: own, connected: context.replicas.mailboxConnected(own) || (relays.get(own) ?? false) },
    peers: network.peers().map(({ device, address }) => ({ device, address })),
    shares: shares.map((share) => shareStatus(context, share)),
  }
}

function membersOf({ replica }: KeptReplica, me: UserId) {
  const online = new Set(replica.peers().map(({ user }) => user))
  return [...replica.share.membership.members.values()].map((member) => ({
    id: member.user,
    name: member.name,
    role: member.role,
    status: member.status,
    devices: member.devices.size,
    online: member.user === me || online.has(member.user),
    me: member.user === me,
    placements: [...member.devices.keys()].flatMap((device) => {
      const placement = replica.share.placements.get(device)
      return placement ? [{ where: placement.where, label: placement.label, mode: placement.mode }] : []
    }),
  }))
}

export async function listShares(context: ShareContext) {
  const me = context.profile.identity.userId
  return (await currentShares(context)).map((share) => ({
    id: share.kept.share,
    name: share.replica.share.settings.name,
    role: share.replica.share.role ?? null,
    path: share.kept.root,
    mode: share.kept.mode,
    members: membersOf(share, me),
  }))
}

export async function members(context: ShareContext, word: string) {
  return membersOf(await findShare(context, word), context.profile.identity.userId)
}

/** Waits until everything known is in sync with every reachable member. @throws RequestError `timeout` */
export async function wait(
  context: ShareContext,
  word: string | undefined,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const shares = word === undefined ? await currentShares(context) : [await findShare(context, word)]
  const results = await Promise.all(
    shares.map(async (share) => {
      const placement = context.placements.get(share.kept.share)
      const { settled, waitingFor } = await share.replica.settle({
        timeout: timeoutMs,
        signal,
        local: async () => placement?.scan(),
      })
      const state = shareStatus(context, share)
      if (settled && state.state === 'in-sync') return undefined
      const names = waitingFor.map((device) => {
        const user = share.replica.share.userOf(device)
        return (
          (user === undefined ? undefined : share.replica.share.membership.members.get(user)?.name) ?? device
        )
      })
      const why =
        state.error ?? (names.length > 0 ? `waiting for ${names.join(', ')}` : `${state.pending} to go`)
      return `${state.name}: ${why}`
    }),
  )
  const open = results.filter((line) => line !== undefined)
  if (open.length > 0) throw new RequestError('timeout', `not in sync yet: ${open.join('; ')}`)
}

/** Lets a held-back mass deletion go on. @throws RequestError */
export async function confirm(context: ShareContext, word: string): Promise<void> {
  const { kept } = await findShare(context, word)
  const placement = context.placements.get(kept.share)
  if (placement?.state().needsConfirmation === undefined) {
    throw new RequestError('conflict', 'nothing waits for confirmation in this share')
  }
  await placement.confirm()
}
