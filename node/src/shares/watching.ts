/** Turns what other people do in a share's document into events. */
import type { AcceptedBatch, Member, ShareDocument, ShareRecord, ShareTree, UserId } from '@cofolder/protocol'
import type { ChangeBundler } from '../events/bundles.ts'
import type { CofolderEvent } from '../events/events.ts'

interface Seen {
  readonly status: Member['status']
}

/** The paths that records touch, by the tree as it is after them; what they delete, by the tree before. */
function pathsOf(records: readonly ShareRecord[], before: ShareTree, tree: ShareTree): string[] {
  const paths = new Set<string>()
  for (const record of records) {
    if (record.type !== 'place' && record.type !== 'version') continue
    const entry = tree.byNode.get(record.node) ?? before.byNode.get(record.node)
    if (entry) paths.add(entry.path)
    else if (record.type === 'place') paths.add(record.name)
  }
  return [...paths]
}

/**
 * Watches one share until the returned function is called. What was known when it was opened is no news.
 * `onRevoked` is called when this user is no longer a member.
 */
export function watchShare(options: {
  share: ShareDocument
  me: UserId
  bundler: ChangeBundler
  emit: (event: CofolderEvent) => void
  onRevoked: () => void
  clock: () => number
}): () => void {
  const { share, me, bundler, emit } = options
  let seen = memberStates(share)
  // A replica that was just joined learns of everybody at once: that is no news either.
  let settled = seen.size > 0

  function accepted(by: { id: UserId; name: string }, member: Member | undefined): void {
    const where = [...(member?.devices.keys() ?? [])].flatMap(
      (device) => share.placements.get(device)?.where ?? [],
    )
    const detail = where.length > 0 ? { detail: { where } } : {}
    emit({ at: options.clock(), type: 'accepted', share: share.id, by, ...detail })
  }

  function membersChanged(): void {
    const now = memberStates(share)
    if (settled) {
      for (const [user, { status }] of now) {
        if (user === me) continue
        const before = seen.get(user)?.status
        if (status === before) continue
        const member = share.membership.members.get(user)
        const by = { id: user, name: member?.name ?? '' }
        if (status === 'active') accepted(by, member)
        if (status === 'left') emit({ at: options.clock(), type: 'left', share: share.id, by })
      }
    }
    const mine = now.get(me)
    if (mine !== undefined && mine.status === 'removed' && seen.get(me)?.status !== 'removed') {
      const owner = share.membership.members.get(share.membership.owner)
      emit({
        at: options.clock(),
        type: 'revoked',
        share: share.id,
        by: { id: share.membership.owner, name: owner?.name ?? '' },
      })
      options.onRevoked()
    }
    seen = now
    settled ||= now.size > 0
  }

  let before = share.tree()
  function changed(batches: readonly AcceptedBatch[]): void {
    const tree = share.tree()
    for (const batch of batches) {
      if (batch.user === me) continue
      const name = share.membership.members.get(batch.user)?.name ?? ''
      bundler.add(share.id, { id: batch.user, name }, pathsOf(batch.records, before, tree), options.clock())
    }
  }

  return share.onChange((change) => {
    const joining = !settled
    if (change.membership) membersChanged()
    if (!change.local && !joining) changed(change.batches)
    before = share.tree()
  })
}

function memberStates(share: ShareDocument): Map<UserId, Seen> {
  return new Map([...share.membership.members].map(([user, { status }]) => [user, { status }]))
}
