/** What a test's process and its children say to one another. */
import type { DeviceId, FileContent } from '@cofolder/protocol'
import type { FetchProgress } from '../content.ts'
import type { ContentStats } from '../service.ts'

export type ChildCall =
  | { readonly do: 'add'; readonly paths: readonly string[] }
  | { readonly do: 'connect'; readonly device: DeviceId; readonly addresses: readonly string[] }
  | { readonly do: 'fetch'; readonly content: FileContent; readonly to: string }
  | { readonly do: 'progress' }
  | { readonly do: 'end' }

export interface ChildReply {
  readonly device?: DeviceId
  readonly addresses?: readonly string[]
  readonly contents?: FileContent[]
  readonly fetched?: string
  readonly failure?: string
  readonly progress?: FetchProgress
  readonly stats?: ContentStats
  /** Bytes. */
  readonly peakMemory?: number
}
