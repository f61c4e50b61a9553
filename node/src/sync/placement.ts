/**
 * Keeps one share and one local folder the same: what a placement is for the rest of the node. `loop.ts` runs it.
 */
import type { ShareDocument } from '@cofolder/protocol'
import type { ContentIndex, ContentService } from '../content/content.ts'
import type { VersionStore } from '../history/version-store.ts'
import { BaseStore, type PlacementLevel } from './base-store.ts'
import type { Clock } from './clock.ts'
import type { FileSystem } from './file-system.ts'
import { PlacementLoop } from './loop.ts'
import type { Problem } from './problems.ts'

export interface PlacementState {
  readonly state: 'in-sync' | 'syncing' | 'waiting' | 'error'
  /** Files here that are in the share, and their bytes. */
  readonly filesTotal: number
  readonly bytesTotal: number
  /** Files and folders that are not yet as they should be. */
  readonly pending: number
  /** Milliseconds since the epoch; set while nothing is synced at all. */
  readonly notSyncingSince?: number
  readonly error?: string
  /** Somebody must say whether so many files are really to be deleted for everybody. */
  readonly needsConfirmation?: { readonly deletes: number }
}

export interface PlacementEvent {
  /** `conflict`: several people changed one file; `path` is where the version that did not win is kept. */
  readonly type: 'error' | 'conflict'
  readonly message: string
  /** Names from the share's root, joined by `/`. */
  readonly path?: string
}

export interface Placement extends AsyncDisposable {
  state(): PlacementState
  onState(listener: (state: PlacementState) => void): () => void
  /** Looks at everything, and resolves when nothing is left to do that can be done now. */
  scan(): Promise<void>
  /** Yes to what `needsConfirmation` or an error asks: delete for everybody, or merge this folder. */
  confirm(): Promise<void>
  /** What the placement holds, for the content service. */
  readonly index: ContentIndex
  /** Paths that cannot be synced, and why. */
  problems(): readonly Problem[]
  close(): Promise<void>
}

export interface PlacementOptions {
  readonly share: ShareDocument
  /** Absolute path of the folder; made when it was never synced and is missing. */
  readonly root: string
  readonly db: PlacementLevel
  readonly fs: FileSystem
  readonly clock: Clock
  readonly content: ContentService
  readonly history: VersionStore
  /** Whether to react to changes by itself; otherwise only `scan` looks at the folder. */
  readonly watch: boolean
  /** This user's name, for files of his that are set aside. */
  readonly userName?: string
  readonly onEvent: (event: PlacementEvent) => void
}

export async function openPlacement(options: PlacementOptions): Promise<Placement> {
  const store = new BaseStore(options.db)
  const stored = await store.load()
  const placement = new PlacementLoop(options, store, stored)
  await placement.start()
  return placement
}
