/** Our folder in a placement's root: partial downloads, and entries parked while names are exchanged. */
import { type TreeEntry, toHex } from '@cofolder/protocol'
import { type FileSystem, FileSystemError, isCode } from './file-system.ts'
import { TEMP_FOLDER } from './limits.ts'

const HASH_DIGITS = 16
const OURS = /^[A-Za-z0-9_-]{22}-([0-9a-f]{16}|link)$/

/** The same for one content of one node every time, so that an interrupted download goes on. */
export function tempName({ node, head }: TreeEntry): string {
  const { content } = head
  return content.kind === 'file' ? `${node}-${toHex(content.sha256).slice(0, HASH_DIGITS)}` : `${node}-link`
}

export class TempFolder {
  readonly path: string
  readonly #fs: FileSystem

  constructor(fs: FileSystem, root: string) {
    this.#fs = fs
    this.path = `${root}/${TEMP_FOLDER}`
  }

  /** @throws FileSystemError `not-a-folder` when something else has its name. */
  async make(): Promise<void> {
    try {
      await this.#fs.makeFolder(this.path)
    } catch (error) {
      if (!isCode(error, 'exists')) throw error
      const { kind } = await this.#fs.stat(this.path)
      if (kind !== 'folder') throw new FileSystemError('not-a-folder', `${this.path} is not a folder`)
    }
  }

  /**
   * Removes what no download or parked entry needs any more. What others put there is left alone, unless
   * `everything` is from a run that is over.
   */
  async clean(wanted: ReadonlySet<string>, everything: boolean): Promise<void> {
    try {
      for (const { name } of await this.#fs.list(this.path)) {
        if (!wanted.has(name) && (everything || OURS.test(name)))
          await this.#removeFile(`${this.path}/${name}`)
      }
    } catch (error) {
      if (!isCode(error, 'not-found', 'not-a-folder', 'denied')) throw error
    }
  }

  /** Removes the folder when nothing is in it. */
  async remove(): Promise<void> {
    try {
      await this.#fs.removeFolder(this.path)
    } catch (error) {
      if (!isCode(error, 'not-found', 'not-empty', 'not-a-folder', 'denied')) throw error
    }
  }

  /** Folders are never ours to empty: only a parked one can be here, and it is wanted. */
  async #removeFile(path: string): Promise<void> {
    try {
      await this.#fs.remove(path)
    } catch (error) {
      if (!isCode(error, 'not-found', 'denied', 'exists')) throw error
    }
  }
}
