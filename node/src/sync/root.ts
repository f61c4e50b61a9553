/** The folder a placement keeps its share in: whether it is there, and is the one that was synced before. */
import { stampOf } from './base.ts'
import type { RootIdentity } from './base-store.ts'
import { type FileStat, type FileSystem, FileSystemError } from './file-system.ts'

export type RootState =
  | { readonly state: 'known'; readonly identity: RootIdentity }
  /** Never synced before. */
  | { readonly state: 'new'; readonly identity: RootIdentity }
  | { readonly state: 'missing'; readonly message: string }
  /** Another folder under the same path: nothing is concluded from it until somebody says so. */
  | { readonly state: 'other'; readonly identity: RootIdentity; readonly message: string }

export async function lookAtRoot(
  fs: FileSystem,
  root: string,
  known: RootIdentity | undefined,
): Promise<RootState> {
  let stat: FileStat
  try {
    stat = await fs.stat(root)
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error
    return {
      state: 'missing',
      message: `${root} cannot be reached (${error.code}): is it moved or not mounted?`,
    }
  }
  if (stat.kind !== 'folder') return { state: 'missing', message: `${root} is not a folder any more` }
  const { inode, birth } = stampOf(stat)
  const identity = { inode, birth }
  if (!known) return { state: 'new', identity }
  if (known.inode === inode && known.birth === birth) return { state: 'known', identity }
  const message = `${root} is not the folder that was synced here before. Put that one back, or confirm to merge this one`
  return { state: 'other', identity, message }
}
