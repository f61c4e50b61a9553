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
  readonly #folders = new Map<string, FolderWatch>()
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
      this.#folders.set(key, watch)
      before?.close()
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error
      if (error.code !== 'limit' && error.code !== 'unsupported') return // gone or unreadable: listing it tells
      this.#failed = true
      this.close()
      this.#o.onFailure(error)
    }
  }

  /** Between the two calls every folder that is still there is added; the others are watched no more. */
  beginAll(): void {
    this.#seen = new Set()
  }
  endAll(): void {
    for (const [key, watch] of this.#folders) {
      if (this.#seen?.has(key)) continue
      watch.close()
      this.#folders.delete(key)
    }
    this.#seen = undefined
  }

  close(): void {
    for (const watch of this.#folders.values()) watch.close()
    this.#folders.clear()
  }
}
