/** Sealed blobs behind share links, put and withdrawn by whoever holds the link's seed. */
import { equalBytes, type InviteId, verifyLinkStatement } from '@cofolder/protocol'
import type { RelayContext } from '../context.ts'
import { RelayError } from '../errors.ts'
import { createRateLimiter } from '../rates.ts'

export interface Links {
  /**
   * Takes a signed statement that puts (with a blob) or withdraws the link. The greatest time holds, also after a
   * withdrawal, so that an old statement cannot be played again. @throws RelayError `conflict`, `malformed`,
   * `forbidden`, `too-large`, `rate-limited`.
   */
  state(invite: InviteId, statement: Uint8Array, kind: 'put' | 'withdraw', address: string): Promise<void>
  /** @throws RelayError `not-found`, also when it was withdrawn. */
  get(invite: InviteId): Promise<Uint8Array>
}

/** How far in the future a statement may lie: further, it would bar every later one. */
const MAX_AHEAD = 10 * 60_000

const keyOf = (invite: InviteId): string => `link!${invite}`

export function createLinks(context: RelayContext): Links {
  const { storage, limits, clock } = context
  const rate = createRateLimiter(limits.links, 'links', clock)

  return {
    async state(invite, bytes, kind, address) {
      rate.take(address)
      const { at, blob, invite: stated } = verifyLinkStatement(bytes)
      if (stated !== invite) throw new RelayError('forbidden', 'the statement is for another link')
      if ((blob === undefined) !== (kind === 'withdraw'))
        throw new RelayError('malformed', 'putting needs a blob, withdrawing none')
      if (at > clock() + MAX_AHEAD) throw new RelayError('malformed', 'signed in the future: check the clock')
      if (!context.hasRoom() && kind === 'put') throw new RelayError('full', 'the relay has no room left')
      const old = await storage.values.get(keyOf(invite))
      if (old && equalBytes(old, bytes)) return
      if (old && verifyLinkStatement(old).at >= at)
        throw new RelayError('conflict', 'a later statement holds')
      const options = { expires: clock() + limits.linkAge }
      if (!(await storage.values.exchange(keyOf(invite), old, bytes, options)))
        throw new RelayError('conflict', 'another statement arrived at the same time; try again')
    },
    async get(invite) {
      const bytes = await storage.values.get(keyOf(invite))
      const blob = bytes && verifyLinkStatement(bytes).blob
      if (!blob) throw new RelayError('not-found', 'there is no such link, or it was withdrawn')
      return blob
    },
  }
}
