/** What has to be looked at: at once, or from some time on. Observations are kept here, not pending work. */
import type { Depth } from './observe.ts'

interface Later {
  readonly at: number
  readonly depth: Depth
  /** Whether a scan that was asked for waits for it. */
  readonly counts: boolean
}

export class Dirt {
  #all: boolean
  #paths = new Map<string, Depth>()
  readonly #later = new Map<string, Later>()

  constructor(all: boolean) {
    this.#all = all
  }

  get isFull(): boolean {
    return this.#all
  }

  get isEmpty(): boolean {
    return !this.#all && this.#paths.size === 0
  }

  /** Whether something will be due that a scan waits for. */
  get isExpecting(): boolean {
    for (const { counts } of this.#later.values()) if (counts) return true
    return false
  }

  /** How many paths a scan waits for. */
  get expected(): number {
    let count = this.#paths.size
    for (const { counts } of this.#later.values()) if (counts) count++
    return count
  }

  addAll(): void {
    this.#all = true
  }

  add(path: string, depth: Depth = 'spot'): void {
    if (path === '') this.#all = true
    else if (this.#paths.get(path) !== 'tree') this.#paths.set(path, depth)
  }

  /** To be looked at from `at` (milliseconds since the epoch) on. */
  addLater(path: string, at: number, counts: boolean, depth: Depth = 'spot'): void {
    this.#later.set(path, { at, depth, counts })
  }

  /** When the next of those that wait is due. */
  get nextAt(): number | undefined {
    let next: number | undefined
    for (const { at } of this.#later.values()) if (next === undefined || at < next) next = at
    return next
  }

  /** All that is due, which is then no longer here. */
  take(now: number): 'everything' | ReadonlyMap<string, Depth> {
    for (const [path, { at, depth }] of this.#later) {
      if (at > now && !this.#all) continue
      this.#later.delete(path)
      this.add(path, depth)
    }
    const taken = this.#all ? 'everything' : this.#paths
    this.#all = false
    this.#paths = new Map()
    return taken
  }
}
