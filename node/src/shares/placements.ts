/** The placements of this device, open while the daemon runs, and what they hold for the content service. */
import type { ShareId } from '@cofolder/protocol'
import type { ContentIndex, ContentService } from '../content/content.ts'
import type { VersionStore } from '../history/version-store.ts'
import type { Replica } from '../metadata/replicas.ts'
import type { Database } from '../profile/profile.ts'
import { placementLevel } from '../sync/base-store.ts'
import type { Clock } from '../sync/clock.ts'
import type { FileSystem } from '../sync/file-system.ts'
import { openPlacement, type Placement, type PlacementEvent } from '../sync/placement.ts'
import type { KeptShare } from './records.ts'

export interface Placements {
  /** Opens the placement of a share; it runs until closed. */
  open(kept: KeptShare, replica: Replica): Promise<Placement>
  get(share: ShareId): Placement | undefined
  /** Stops keeping a share here; the files stay. With `forget`, what is remembered of them goes. */
  shut(share: ShareId): Promise<void>
  close(): Promise<void>
}

/** What placements and old versions hold, as one index; filled as placements open. */
export interface OpenIndex extends ContentIndex {
  readonly placements: Map<ShareId, Placement>
}

export function createIndex(history: VersionStore): OpenIndex {
  const placements = new Map<ShareId, Placement>()
  return {
    placements,
    async locate(share, sha256) {
      const placed = (await placements.get(share)?.index.locate(share, sha256)) ?? []
      return placed.length > 0 ? placed : history.locate(share, sha256)
    },
    locateSegment: async (share, sha256) =>
      (await placements.get(share)?.index.locateSegment(share, sha256)) ?? [],
  }
}

export function createPlacements(parts: {
  db: Database
  fs: FileSystem
  clock: Clock
  index: OpenIndex
  content: ContentService
  history: VersionStore
  userName: string
  onEvent: (share: ShareId, event: PlacementEvent) => void
}): Placements {
  const { placements } = parts.index
  return {
    async open(kept, replica) {
      const placement = await openPlacement({
        share: replica.share,
        root: kept.root,
        db: placementLevel(parts.db, kept.share),
        fs: parts.fs,
        clock: parts.clock,
        content: parts.content,
        history: parts.history,
        watch: true,
        userName: parts.userName,
        onEvent: (event) => parts.onEvent(kept.share, event),
      })
      placements.set(kept.share, placement)
      placement.onState(({ pending }) => replica.setPending(pending))
      replica.setPending(placement.state().pending)
      return placement
    },
    get: (share) => placements.get(share),
    async shut(share) {
      const placement = placements.get(share)
      placements.delete(share)
      await placement?.close()
    },
    async close() {
      await Promise.all([...placements.values()].map((placement) => placement.close()))
      placements.clear()
    },
  }
}
