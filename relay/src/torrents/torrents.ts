/** The info hashes that the tracker serves: those that a reader of some document named lately. */
import type { ShareId } from '@cofolder/protocol'
import type { RelayContext } from '../context.ts'
import { RelayError } from '../errors.ts'
import { createRateLimiter } from '../rates.ts'

export interface Torrents {
  /** Allows info hashes (lower-case hex) for some time. @throws RelayError `rate-limited`, `full`. */
  allow(document: ShareId, infoHashes: readonly string[]): Promise<void>
  isAllowed(infoHash: string): Promise<boolean>
}

const keyOf = (infoHash: string): string => `torrent!${infoHash}`
const NOTHING = new Uint8Array()

export function createTorrents(context: RelayContext): Torrents {
  const { storage, limits, clock } = context
  const rate = createRateLimiter(limits.torrents, 'torrents of this document', clock)
  return {
    async allow(document, infoHashes) {
      if (!context.hasRoom()) throw new RelayError('full', 'the relay has no room left')
      rate.take(document, infoHashes.length)
      const options = { expires: clock() + limits.torrentAge }
      await Promise.all(infoHashes.map((hash) => storage.values.put(keyOf(hash), NOTHING, options)))
    },
    isAllowed: async (infoHash) => (await storage.values.get(keyOf(infoHash))) !== undefined,
  }
}
