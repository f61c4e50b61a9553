/**
 * Watches the folders of a placement, each by itself: recursive watchers on Linux miss folders made in quick
 * succession and keep old paths after a rename. Whoever lists a folder has it watched first, so nothing falls
 * between. Where no more folders can be watched, it says so, and the placement is polled.
 */
import { type FileSystem, FileSystemError, type FolderWatch } from './file-system.ts'
import { TEMP_FOLDER } from './limits.ts'

export interface WatcherOptions {
  readonly fs: FileSystem
  readonly root: string
  /** Path of what may have changed, names joined by `/`; empty for the root itself. */
  readonly onEvent: (path: string) => void
  /** Called once, when watching does not work any more. */
  readonly onFailure: (error: FileSystemError) => void
}

export class Watcher {
  readonly #o: WatcherOptions
  readonly #folders = new Map<string, { readonly watch: FolderWatch; readonly look: number }>()
  #look = 0
  #seen: Set<string> | undefined
  #failed = false

  constructor(options: WatcherOptions) {
    this.#o = options
  }

  /** False once folders are not all watched: then polling is needed. */
  get works(): boolean {
    return !this.#failed
  }

  /** Watches a folder from now on. Again for one that is watched: it may be another folder now. */
  add(path: readonly string[]): void {
    if (this.#failed) return
    const key = path.join('/')
    const prefix = key === '' ? '' : `${key}/`
    this.#seen?.add(key)
    try {
      const before = this.#folders.get(key)
      const watch = this.#o.fs.watch([this.#o.root, ...path].join('/'), (name) => {
        if (name === undefined) this.#o.onEvent(key)
        else if (prefix !== '' || name !== TEMP_FOLDER) this.#o.onEvent(prefix + name)
      })
      this.#folders.set(key, { watch, look: this.#look })
      before?.watch.close()
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error
      if (error.code !== 'limit' && error.code !== 'unsupported') return // gone or unreadable: listing it tells
      this.#failed = true
      this.close()
      this.#o.onFailure(error)
    }
  }

  /** Whether changes in a folder would be told; true where watching was given up. */
  has(path: readonly string[]): boolean {
    return this.#failed || this.#folders.has(path.join('/'))
  }

  /** What is added from here on is of a new look at the folder. */
  beginLook(): void {
    this.#look++
  }

  /**
   * A folder, and what is in it, is no longer at this path; with `before`, except for what this look found there
   * since.
   */
  drop(path: readonly string[], when: 'now' | 'before'): void {
    const key = path.join('/')
    for (const [at, { watch, look }] of this.#folders) {
      if (at !== key && !at.startsWith(`${key}/`)) continue
      if (when === 'before' && look === this.#look) continue
      watch.close()
      this.#folders.delete(at)
    }
  }

  /** Between the two calls every folder that is still there is added; the others are watched no more. */
  beginAll(): void {
    this.#seen = new Set()
  }
  endAll(): void {
    for (const [key, { watch }] of this.#folders) {
      if (this.#seen?.has(key)) continue
      watch.close()
      this.#folders.delete(key)
    }
    this.#seen = undefined
  }

  close(): void {
    for (const { watch } of this.#folders.values()) watch.close()
    this.#folders.clear()
  }
}
