/** Folders held open for a batch of changes, so that no link put in their place leads elsewhere. */
import type { FileSystem, PinnedFolder } from './file-system.ts'
import { CALLS_AT_ONCE } from './limits.ts'
import { forEachParallel } from './parallel.ts'

export class PinnedFolders {
  readonly #fs: FileSystem
  readonly #root: string
  readonly #open = new Map<string, Promise<PinnedFolder>>()
  readonly #changed = new Set<string>()

  constructor(fs: FileSystem, root: string) {
    this.#fs = fs
    this.#root = root
  }

  /** A path to the entry through its folder. */
  async at(path: readonly string[], changes = true): Promise<string> {
    const names = path.slice(0, -1)
    const key = names.join('/')
    let folder = this.#open.get(key)
    if (!folder) {
      folder = this.#fs.pin(this.#root, names)
      this.#open.set(key, folder)
    }
    const pinned = await folder
    if (changes) this.#changed.add(key)
    return `${pinned.path}/${path.at(-1) ?? ''}`
  }

  async sync(): Promise<void> {
    await forEachParallel([...this.#changed], CALLS_AT_ONCE, async (key) =>
      (await this.#open.get(key))?.sync(),
    )
  }

  async close(): Promise<void> {
    for (const opened of await Promise.allSettled(this.#open.values())) {
      if (opened.status === 'fulfilled') await opened.value.close()
    }
  }
}
