/**
 * Invites that this device gave out and that may still be used. When keys change their payload is left at the
 * share's relays anew, under the invite's own key: whoever joins with an older one finds the keys that hold there.
 */
import {
  decodeInvitePayload,
  type EpochKeys,
  encodeInvitePayload,
  type InviteId,
  type InvitePayload,
  inviteIdOfSeed,
  openLinkPayload,
  type ShareDocument,
  sealLinkPayload,
} from '@cofolder/protocol'
import type { RelayClient } from '../relay-client/relay-client.ts'
import { openEntry, sealEntry } from './entry.ts'
import { type DamagedEntry, type Database, sublevelOf } from './log.ts'

const INVITE = 'invite!'
/** How long joining waits for newer keys, in milliseconds; what the invite holds may do. */
const RENEWAL_TIMEOUT = 3000

export interface GivenInvites {
  /** Keeps a payload that was given out. */
  keep(payload: InvitePayload): Promise<void>
  forget(invite: InviteId): Promise<void>
  /** Leaves the open invites of a share at its relays with the keys that hold now; forgets the closed ones. */
  renew(share: ShareDocument): Promise<void>
}

export function createGivenInvites(parts: {
  readonly db: Database
  readonly relayClient: (url: string) => RelayClient
  readonly clock: () => number
  readonly onDamaged: (entry: DamagedEntry) => void
}): GivenInvites {
  const level = sublevelOf(parts.db)
  const keyOf = (invite: InviteId) => INVITE + invite

  async function forget(invite: InviteId): Promise<void> {
    await level.del(keyOf(invite))
  }

  async function* given(): AsyncGenerator<InvitePayload> {
    for await (const [key, value] of level.iterator({ gt: INVITE, lt: `${INVITE}~` })) {
      try {
        const bytes = openEntry(key, value)
        if (!bytes) throw new Error('checksum')
        yield decodeInvitePayload(bytes)
      } catch {
        parts.onDamaged({ key, reason: 'malformed' })
        await level.del(key)
      }
    }
  }

  return {
    forget,
    async keep(payload) {
      const key = keyOf(inviteIdOfSeed(payload.seed))
      await parts.db.batch(
        [
          {
            type: 'put',
            sublevel: level,
            key,
            value: sealEntry(key, encodeInvitePayload(payload)),
            valueEncoding: 'view',
          },
        ],
        { sync: true },
      )
    },
    async renew(share) {
      for await (const payload of given()) {
        if (payload.share !== share.id) continue
        const invite = inviteIdOfSeed(payload.seed)
        if (!share.membership.invites.has(invite)) {
          await forget(invite)
          continue
        }
        const blob = sealLinkPayload({ ...payload, epochs: epochsFor(share, payload.role) })
        const puts = share.settings.relays.map((url) =>
          parts.relayClient(url).putLink(payload.seed, invite, blob, parts.clock()),
        )
        await Promise.allSettled(puts)
      }
    },
  }
}

/** The keys an invite of this role carries now. */
function epochsFor(share: ShareDocument, role: InvitePayload['role']): ReadonlyMap<number, EpochKeys> {
  return new Map(
    [...share.keys.epochs].map(([epoch, keys]) => [epoch, role === 'editor' ? keys : { key: keys.key }]),
  )
}

/** The payload with the newest keys that its relays know of. */
export async function renewed(
  payload: InvitePayload,
  relayClient: (url: string) => RelayClient,
): Promise<InvitePayload> {
  const invite = inviteIdOfSeed(payload.seed)
  const ask = async (url: string): Promise<InvitePayload> =>
    openLinkPayload(payload.seed, await relayClient(url).getLink(invite))
  const timeout = new Promise<undefined>((resolve) => setTimeout(resolve, RENEWAL_TIMEOUT, undefined).unref())
  const found = await Promise.race([timeout, Promise.any(payload.relays.map(ask)).catch(() => undefined)])
  const isNewer = found && found.share === payload.share && newest(found) > newest(payload)
  return isNewer ? { ...payload, epochs: found.epochs } : payload
}

const newest = ({ epochs }: InvitePayload): number => Math.max(-1, ...epochs.keys())
