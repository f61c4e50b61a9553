/** What a person can do with shares, for the HTTP API and the command line: the entry to everything below. */
import type { ShareId } from '@cofolder/protocol'
import type { EventLog } from '../events/events.ts'
import type { Replica, Replicas } from '../metadata/replicas.ts'
import type { Profile } from '../profile/profile.ts'
import { choose } from './choose.ts'
import { RequestError } from './errors.ts'
import type { Placements } from './placements.ts'
import type { KeptShare, Records } from './records.ts'

/** What the operations on shares work with. */
export interface ShareContext {
  readonly profile: Profile
  readonly replicas: Replicas
  readonly placements: Placements
  readonly records: Records
  readonly events: EventLog
  readonly clock: () => number
  /** Base URLs of my relays, most wanted first. */
  readonly relays: () => readonly string[]
  /** Begins to watch a share's document for events. */
  readonly watch: (replica: Replica) => void
}

export interface KeptReplica {
  readonly kept: KeptShare
  readonly replica: Replica
}

/** Shares that are neither ended nor left. */
export async function currentShares(context: ShareContext): Promise<KeptReplica[]> {
  const kept = await context.records.kept.all()
  return kept.flatMap((entry) => {
    const replica = entry.ended === true ? undefined : context.replicas.get(entry.share)
    return replica ? [{ kept: entry, replica }] : []
  })
}

/** The share that a word means: an id, the beginning of one, or a name. @throws RequestError */
export async function findShare(context: ShareContext, word: string): Promise<KeptReplica> {
  const shares = await currentShares(context)
  return choose(
    'share',
    word,
    shares,
    ({ kept }) => kept.share,
    ({ replica }) => replica.share.settings.name,
  )
}

/** Splits `SHARE/PATH`. @throws RequestError */
export async function findPath(context: ShareContext, word: string): Promise<KeptReplica & { path: string }> {
  const slash = word.indexOf('/')
  if (slash < 0) throw new RequestError('invalid', `name the file as SHARE/PATH: "${word}" has no path`)
  const found = await findShare(context, word.slice(0, slash))
  return { ...found, path: word.slice(slash + 1).normalize('NFC') }
}

/** Opens placement and watching of every share that was kept when the daemon last stopped. */
export async function resumeShares(
  context: ShareContext,
  onError: (share: ShareId, error: Error) => void,
): Promise<void> {
  for (const kept of await context.records.kept.all()) {
    const replica = context.replicas.get(kept.share)
    if (!replica || kept.ended === true) continue
    context.watch(replica)
    try {
      await context.placements.open(kept, replica)
    } catch (error) {
      onError(kept.share, error instanceof Error ? error : new Error(String(error)))
    }
  }
}
