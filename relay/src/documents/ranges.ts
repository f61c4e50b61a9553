/** Sets of clocks of Yjs clients: for each client, ranges `[from, to)` in order that neither touch nor overlap. */

/** Flat pairs: from, to, from, to … */
type Pairs = number[]

export interface ClockRange {
  readonly client: number
  readonly from: number
  readonly to: number
}

function insert(pairs: Pairs, from: number, to: number): void {
  // Nearly always the new range continues the last one.
  let end = pairs.length
  while (end > 0 && (pairs[end - 2] ?? 0) > to) end -= 2
  let start = end
  let low = from
  let high = to
  while (start > 0 && (pairs[start - 1] ?? 0) >= from) {
    start -= 2
    low = Math.min(low, pairs[start] ?? low)
    high = Math.max(high, pairs[start + 1] ?? high)
  }
  pairs.splice(start, end - start, low, high)
}

function includes(pairs: Pairs | undefined, from: number, to: number): boolean {
  if (!pairs) return false
  for (let i = pairs.length - 2; i >= 0; i -= 2) {
    if ((pairs[i] ?? 0) <= from) return (pairs[i + 1] ?? 0) >= to
  }
  return false
}

export class ClockRanges {
  readonly #clients = new Map<number, Pairs>()

  get empty(): boolean {
    return this.#clients.size === 0
  }

  add(client: number, from: number, to: number): void {
    if (to <= from) return
    const pairs = this.#clients.get(client)
    if (pairs) insert(pairs, from, to)
    else this.#clients.set(client, [from, to])
  }

  addAll(other: ClockRanges): void {
    for (const { client, from, to } of other) this.add(client, from, to)
  }

  /** True when every clock of `other` is in here. */
  contains(other: ClockRanges): boolean {
    for (const { client, from, to } of other) {
      if (!includes(this.#clients.get(client), from, to)) return false
    }
    return true
  }

  /** True when a replica that knows each client's clocks below those in `clocks` knows all of these. */
  isBelow(clocks: ReadonlyMap<number, number>): boolean {
    for (const [client, pairs] of this.#clients) {
      if ((clocks.get(client) ?? 0) < (pairs.at(-1) ?? 0)) return false
    }
    return true
  }

  /** How far each client is known without a gap. */
  stateVector(): Map<number, number> {
    const clocks = new Map<number, number>()
    for (const [client, [from, to]] of this.#clients)
      if (from === 0 && to !== undefined) clocks.set(client, to)
    return clocks
  }

  *[Symbol.iterator](): Generator<ClockRange> {
    for (const [client, pairs] of this.#clients) {
      for (let i = 0; i < pairs.length; i += 2) yield { client, from: pairs[i] ?? 0, to: pairs[i + 1] ?? 0 }
    }
  }
}
