/** What cannot be synced, by path, with the reason; the rest goes on. */

export interface Problem {
  /** Names from the root, joined by `/`. */
  readonly path: string
  readonly message: string
}

export class Problems {
  readonly #errors = new Map<string, Error>()

  set(path: string, error: Error): void {
    this.#errors.set(path, error)
  }

  clear(): void {
    this.#errors.clear()
  }

  /** Forgets what is known of a path and of what is in it; answers whether there was something. */
  forget(path: string): boolean {
    let found = false
    for (const key of this.#errors.keys()) {
      if (key === path || key.startsWith(`${path}/`)) found = this.#errors.delete(key)
    }
    return found
  }

  list(): readonly Problem[] {
    return [...this.#errors].map(([path, { message }]) => ({ path, message }))
  }
}
