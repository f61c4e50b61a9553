/** What the parts of a synchroniser work with and share. */
import type { ShareDocument } from '@cofolder/protocol'
import type { ContentService } from '../content/content.ts'
import type { VersionStore } from '../history/version-store.ts'
import type { BaseTree } from './base.ts'
import type { BaseStore } from './base-store.ts'
import type { Clock } from './clock.ts'
import type { Dirt } from './dirt.ts'
import type { Capabilities, FileSystem } from './file-system.ts'
import type { DeleteGuard } from './guard.ts'
import type { Problems } from './problems.ts'
import type { TempFolder } from './temp-folder.ts'
import type { Watcher } from './watch.ts'

export interface EngineOptions {
  readonly share: ShareDocument
  readonly root: string
  readonly fs: FileSystem
  readonly clock: Clock
  readonly content: ContentService
  readonly history: VersionStore
  readonly store: BaseStore
  readonly base: BaseTree
  readonly capabilities: Capabilities
  readonly person: string
  readonly watcher: Watcher | undefined
  /** There is reason for a round. */
  readonly wake: () => void
  /** A conflict was settled; `path` is where the other version is kept. */
  readonly onConflict: (path: string) => void
}

/** What has to be looked at, waits, or does not work: written by one part, read by another. */
export interface EngineParts extends EngineOptions {
  readonly dirt: Dirt
  readonly guard: DeleteGuard
  readonly problems: Problems
  readonly temp: TempFolder
}
