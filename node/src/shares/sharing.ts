/** Sharing a folder, its links, and ending it. */
import { basename } from 'node:path'
import { createLink, type InvitePayload, isShareName, type ShareId } from '@cofolder/protocol'
import { choose } from './choose.ts'
import { RequestError } from './errors.ts'
import { checkPlacement, existingFolder } from './paths.ts'
import { findPerson } from './people.ts'
import type { KeptLink } from './records.ts'
import { currentShares, findShare, type KeptReplica, type ShareContext } from './service.ts'

export interface ShareOptions {
  readonly path: string
  /** Cards or contact names. */
  readonly with?: readonly string[]
  readonly role?: 'editor' | 'viewer'
  readonly name?: string
}

/** Shares a folder, or a shared one with more people; answers its link. @throws RequestError */
export async function share(
  context: ShareContext,
  options: ShareOptions,
): Promise<{ share: ShareId; link: string | null; problem?: string }> {
  const role = options.role ?? 'editor'
  const people = await Promise.all((options.with ?? []).map((word) => findPerson(context, word)))
  const root = await existingFolder(options.path)
  const found = (await currentShares(context)).find(({ kept }) => kept.root === root)
  const { replica } = found ?? (await create(context, root, options.name))
  if (replica.share.role !== 'owner') {
    throw new RequestError('forbidden', 'only its owner can share this folder with others')
  }
  for (const person of people) {
    const payload = replica.share.invite({ role, for: person.user, at: context.clock() })
    await context.replicas.sendInvite(person, withDevices(context, payload))
  }
  await replica.persisted()
  try {
    return { share: replica.share.id, link: await link(context, replica.share.id, { role }) }
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    return { share: replica.share.id, link: null, problem: error.message }
  }
}

async function create(context: ShareContext, root: string, wanted: string | undefined): Promise<KeptReplica> {
  const shares = await currentShares(context)
  checkPlacement(
    root,
    shares.map(({ kept }) => kept.root),
    context.profile.home,
  )
  const name = (wanted ?? basename(root)).normalize('NFC')
  if (!isShareName(name))
    throw new RequestError('invalid', `"${name}" cannot be the name of a share: choose one with --name`)
  const replica = await context.replicas.create({ name, relays: [...context.relays()] })
  const kept = { share: replica.share.id, root, mode: 'two-way' as const }
  await context.records.kept.put(kept.share, kept)
  context.watch(replica)
  await context.placements.open(kept, replica)
  return { kept, replica }
}

/** The people invited can reach this device directly, with or without a relay. */
function withDevices(context: ShareContext, payload: InvitePayload): InvitePayload {
  const own = { id: context.profile.identity.deviceId, addresses: [...context.replicas.addresses()] }
  return { ...payload, devices: [own, ...payload.devices.filter(({ id }) => id !== own.id)] }
}

/** The share's link for a role, made on first use; `expires` makes a new one. @throws RequestError */
export async function link(
  context: ShareContext,
  word: string,
  options: { role?: 'editor' | 'viewer'; expires?: number } = {},
): Promise<string> {
  const { replica } = await findShare(context, word)
  if (replica.share.role !== 'owner')
    throw new RequestError('forbidden', 'only the owner of a share can give its link')
  const role = options.role ?? 'editor'
  const now = context.clock()
  if (options.expires !== undefined && options.expires <= now) {
    throw new RequestError('invalid', 'the link would have expired already: choose a later time')
  }
  const known = (await context.records.links.all()).find(
    (kept) =>
      kept.share === replica.share.id &&
      kept.role === role &&
      (kept.expires ?? Number.POSITIVE_INFINITY) > now,
  )
  if (known && options.expires === undefined && replica.share.membership.invites.has(known.invite)) {
    return createLink(known.relay, known.seed)
  }
  const payload = withDevices(
    context,
    replica.share.invite({
      role,
      at: now,
      ...(options.expires === undefined ? {} : { expires: options.expires }),
    }),
  )
  await replica.persisted()
  const text = await context.replicas.publishLink(payload).catch((cause: unknown) => {
    throw new RequestError(
      'unavailable',
      'no relay could take the link: try again when a relay is reachable',
      { cause },
    )
  })
  const kept: KeptLink = {
    ...text,
    share: replica.share.id,
    role,
    seed: payload.seed,
    ...(options.expires === undefined ? {} : { expires: options.expires }),
  }
  await context.records.links.put(kept.invite, kept)
  return createLink(kept.relay, kept.seed)
}

/** Withdraws all links of a share: nobody joins by them any more. @throws RequestError */
export async function revokeLinks(context: ShareContext, word: string): Promise<number> {
  const { replica } = await findShare(context, word)
  const links = (await context.records.links.all()).filter((kept) => kept.share === replica.share.id)
  for (const kept of links) {
    if (replica.share.membership.invites.has(kept.invite))
      replica.share.revokeInvite(kept.invite, context.clock())
    await context.replicas.withdrawLink(kept)
    await context.records.links.remove(kept.invite)
  }
  await replica.persisted()
  return links.length
}

/** Stops sharing with one person, or with all. Everybody keeps the files he has. @throws RequestError */
export async function unshare(context: ShareContext, word: string, person?: string): Promise<void> {
  const { kept, replica } = await findShare(context, word)
  const document = replica.share
  if (document.role !== 'owner') {
    throw new RequestError(
      'forbidden',
      'only the owner can stop sharing with others: use "leave" for yourself',
    )
  }
  const others = [...document.membership.members.values()].filter(
    ({ user, status }) => status === 'active' && user !== document.membership.owner,
  )
  if (person !== undefined) {
    const member = choose(
      'member',
      person,
      others,
      ({ user }) => user,
      ({ name }) => name,
    )
    document.remove(member.user, context.clock())
  } else {
    await revokeLinks(context, kept.share)
    for (const { id } of [...document.membership.invites.values()]) document.revokeInvite(id, context.clock())
    for (const { user } of others) document.remove(user, context.clock())
    await context.records.kept.put(kept.share, { ...kept, ended: true })
    await context.placements.shut(kept.share)
  }
  await replica.persisted()
}

/** Leaves somebody else's share; the files stay. @throws RequestError */
export async function leave(context: ShareContext, word: string): Promise<void> {
  const { kept, replica } = await findShare(context, word)
  if (replica.share.role === 'owner') {
    throw new RequestError('forbidden', 'the owner cannot leave his own share: use "unshare"')
  }
  replica.share.leave(context.clock())
  await replica.persisted()
  await context.records.kept.put(kept.share, { ...kept, ended: true })
  await context.placements.shut(kept.share)
}
