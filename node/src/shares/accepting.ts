/** Invites: what others offer, accepting and declining it. */
import {
  decodeInvitePayload,
  encodeInvitePayload,
  type InviteId,
  type InvitePayload,
  inviteIdOfSeed,
  isLink,
  type OpenedEnvelope,
  ProtocolError,
  type ShareId,
} from '@cofolder/protocol'
import { choose } from './choose.ts'
import { RequestError } from './errors.ts'
import { checkPlacement, folderFor } from './paths.ts'
import type { KeptInvite } from './records.ts'
import { currentShares, type ShareContext } from './service.ts'

export interface InviteView {
  readonly id: InviteId
  readonly share: ShareId
  readonly name: string
  readonly from: { readonly id: string; readonly name: string }
  readonly role: 'editor' | 'viewer'
  readonly at: number
}

function view(kept: KeptInvite): InviteView {
  const payload = decodeInvitePayload(kept.payload)
  const from = { id: kept.from.id, name: kept.from.name }
  return { id: kept.id, share: payload.share, name: payload.name, from, role: payload.role, at: kept.at }
}

/** Handles one letter from the mailbox; resolves once it is kept. */
export async function receiveLetter(context: ShareContext, { from, letter }: OpenedEnvelope): Promise<void> {
  const by = { id: from.user, name: from.name }
  const at = context.clock()
  if (letter.type === 'declined') {
    const replica = context.replicas.get(letter.share)
    if (
      replica?.share.role === 'owner' &&
      replica.share.membership.invites.get(letter.invite)?.for === from.user
    ) {
      replica.share.revokeInvite(letter.invite, at)
      context.events.add({ at, type: 'declined', share: letter.share, by })
    }
    return
  }
  const { payload } = letter
  const id = inviteIdOfSeed(payload.seed)
  const member = context.replicas.get(payload.share)?.share.role !== undefined
  if (member || (await context.records.invites.get(id)) !== undefined) return
  const sender = {
    id: from.user,
    name: from.name,
    agreementKey: from.agreementKey,
    relays: [...from.relays],
    devices: from.devices.map((device) => ({ id: device.id, addresses: [...device.addresses] })),
  }
  await context.records.invites.put(id, { id, at, from: sender, payload: encodeInvitePayload(payload) })
  context.events.add({
    at,
    type: 'invited',
    share: payload.share,
    by,
    detail: { name: payload.name, role: payload.role },
  })
}

export async function listInvites(context: ShareContext): Promise<InviteView[]> {
  return (await context.records.invites.all()).map(view)
}

const chooseInvite = async (context: ShareContext, word: string): Promise<KeptInvite> =>
  choose(
    'invite',
    word,
    await context.records.invites.all(),
    ({ id }) => id,
    (kept) => view(kept).name,
  )

async function payloadOf(context: ShareContext, word: string): Promise<InvitePayload> {
  if (!isLink(word)) return decodeInvitePayload((await chooseInvite(context, word)).payload)
  try {
    return await context.replicas.openLink(word)
  } catch (cause) {
    if (cause instanceof ProtocolError) throw new RequestError('invalid', cause.message, { cause })
    throw new RequestError(
      'unavailable',
      'this link does not work: it was withdrawn, has expired, or its relay cannot be reached',
      { cause },
    )
  }
}

/** Accepts an invite or a link into a folder of this device. @throws RequestError */
export async function accept(
  context: ShareContext,
  word: string,
  to: string,
): Promise<{ share: ShareId; path: string }> {
  const payload = await payloadOf(context, word)
  const shares = await currentShares(context)
  const known = shares.find(({ kept }) => kept.share === payload.share)
  if (known) throw new RequestError('conflict', `you have "${payload.name}" already, in ${known.kept.root}`)
  if (payload.from.id === context.profile.identity.userId) {
    throw new RequestError('invalid', 'this is your own share: send the link to somebody else')
  }
  const root = await folderFor(to)
  checkPlacement(
    root,
    shares.map(({ kept }) => kept.root),
    context.profile.home,
  )
  const replica = await context.replicas.join(payload)
  const kept = { share: payload.share, root, mode: 'two-way' as const }
  await context.records.kept.put(kept.share, kept)
  await context.records.invites.remove(inviteIdOfSeed(payload.seed))
  context.watch(replica)
  await context.placements.open(kept, replica)
  return { share: payload.share, path: root }
}

/** Declines an invite; its sender is told. @throws RequestError */
export async function decline(context: ShareContext, word: string): Promise<void> {
  const kept = await chooseInvite(context, word)
  const { share } = decodeInvitePayload(kept.payload)
  await context.replicas.sendDecline(
    {
      user: kept.from.id,
      name: kept.from.name,
      agreementKey: kept.from.agreementKey,
      relays: kept.from.relays,
      devices: kept.from.devices.map(({ id, addresses }) => ({ id, addresses })),
    },
    share,
    kept.id,
  )
  await context.records.invites.remove(kept.id)
}
