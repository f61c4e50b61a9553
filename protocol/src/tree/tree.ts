/** The visible tree of a share: what people see, a pure function of its records (see `merge.ts`). */
import type { DeviceId, NodeId, VersionId } from '../ids.ts'
import type { NodeKind, VersionRecord } from '../records/record.ts'

/** A version with the device that signed it. */
export interface AuthoredVersion extends VersionRecord {
  readonly author: DeviceId
}

export interface TreeEntry {
  readonly node: NodeId
  readonly kind: NodeKind
  readonly parent: NodeId
  /** As shown: the recorded name, or a conflict name where two nodes claim one name. */
  readonly name: string
  /** Names from the root joined by `/`, without a leading one. */
  readonly path: string
  /** `at` of the place record that holds. */
  readonly placedAt: number
  /** The version that holds; of several heads the one the share's policy keeps. */
  readonly head: AuthoredVersion
  /** All live heads; more than one is a conflict that nobody has settled yet. */
  readonly heads: readonly VersionId[]
  /** Folders with the same name in the same place, made at the same time by several people, shown as this one. */
  readonly aliases: readonly NodeId[]
}

export interface ShareTree {
  readonly byPath: ReadonlyMap<string, TreeEntry>
  /** Also finds a folder by an alias. */
  readonly byNode: ReadonlyMap<NodeId, TreeEntry>
}
