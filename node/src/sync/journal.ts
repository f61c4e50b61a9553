/**
 * The write-ahead journal: what a step is about to do to the user's folder, noted durably before. After a crash a
 * step is either seen to be done, then the base learns of it, or it is as if it had never begun.
 */
import type { NodeId } from '@cofolder/protocol'
import { type BaseEntry, objectOf, stampOf } from './base.ts'
import { type FileSystem, isCode, statIfThere } from './file-system.ts'

export interface Intent {
  readonly node: NodeId
  /** Local names from the root of what is taken away from there. */
  readonly from?: readonly string[] | undefined
  /** Local names from the root of what will stand there. */
  readonly to?: readonly string[] | undefined
  /** The file system object that is moved or removed (see `objectOf`); undefined for one that is yet to be made. */
  readonly object?: string | undefined
  /** What the base says of the node once it is done; undefined when it is to be forgotten. */
  readonly after?: BaseEntry | undefined
}

export type Outcome =
  | { readonly done: true; readonly after: BaseEntry | undefined }
  | { readonly done: false }

/** Looks whether a step that was begun has happened, and finishes one that was half done. */
export async function outcomeOf(fs: FileSystem, root: string, intent: Intent): Promise<Outcome> {
  const { from, to, object, after } = intent
  if (object === undefined) return { done: false }
  if (to) {
    const found = await look(fs, root, to)
    if (!found || objectOf(stampOf(found)) !== object) return { done: false }
    // Renamed by a second name, of which the first was not yet taken away.
    if (from && found.kind !== 'folder') {
      await fs.removeIf([root, ...from].join('/'), (stat) => objectOf(stampOf(stat)) === object)
    }
    return { done: true, after: after && { ...after, stamp: stampOf(found) } }
  }
  if (!from) return { done: false }
  const left = await look(fs, root, from)
  return left && objectOf(stampOf(left)) === object ? { done: false } : { done: true, after }
}

/** Undefined when nothing is there, or no folder leads there any more. */
async function look(fs: FileSystem, root: string, names: readonly string[]) {
  try {
    return await statIfThere(fs, [root, ...names].join('/'))
  } catch (error) {
    if (isCode(error, 'not-a-folder')) return undefined
    throw error
  }
}
