/** The membership log as a graph: one order for all replicas, and who knew of what. Pure. */
import type { ChangeId } from '../ids.ts'
import type { MembershipChange } from './change.ts'

/** A set of positions in the order, one bit each. */
export type Positions = Uint32Array

export interface OrderedLog {
  /** Every change after all those it names. */
  readonly changes: readonly MembershipChange[]
  readonly positionOf: ReadonlyMap<ChangeId, number>
  /** Of each change: itself and everything it builds on. */
  readonly past: readonly Positions[]
  /** Changes that no other names. */
  readonly heads: readonly ChangeId[]
}

/** Changes that take something away come first among those that are free: they must not come too late. */
const RESTRICTING: ReadonlySet<string> = new Set(['remove', 'demote', 'revoke-invite'])
const BITS = 32

/** Orders the changes whose past is known as a whole; the others wait for what they name. */
export function orderLog(all: ReadonlyMap<ChangeId, MembershipChange>): OrderedLog {
  const missing = new Map<ChangeId, number>()
  const followers = new Map<ChangeId, MembershipChange[]>()
  const free: MembershipChange[] = []
  for (const change of all.values()) {
    const named = new Set(change.body.prev)
    // Only the first change has no past; anything else without one would come before everything.
    if (named.size === 0) {
      if (change.body.kind === 'create') free.push(change)
      continue
    }
    missing.set(change.id, named.size)
    for (const id of named) {
      const list = followers.get(id)
      if (list) list.push(change)
      else followers.set(id, [change])
    }
  }

  const changes: MembershipChange[] = []
  const positionOf = new Map<ChangeId, number>()
  for (let next = takeFirst(free); next; next = takeFirst(free)) {
    positionOf.set(next.id, changes.length)
    changes.push(next)
    for (const follower of followers.get(next.id) ?? []) {
      const left = (missing.get(follower.id) ?? 0) - 1
      missing.set(follower.id, left)
      if (left === 0) free.push(follower)
    }
  }

  const past: Positions[] = []
  const named = new Set<ChangeId>()
  for (const [position, change] of changes.entries()) {
    const bits = emptyPositions(changes.length)
    add(bits, position)
    for (const id of change.body.prev) {
      named.add(id)
      const earlier = past[positionOf.get(id) ?? -1]
      if (earlier) unite(bits, earlier)
    }
    past.push(bits)
  }
  const heads = changes.map(({ id }) => id).filter((id) => !named.has(id))
  return { changes, positionOf, past, heads }
}

/** Everything that somebody who knew these heads knew; undefined when one of them is unknown here. */
export function pastOf(log: OrderedLog, heads: readonly ChangeId[]): Positions | undefined {
  const bits = emptyPositions(log.changes.length)
  for (const id of heads) {
    const past = log.past[log.positionOf.get(id) ?? -1]
    if (!past) return undefined
    unite(bits, past)
  }
  return bits
}

export function has(bits: Positions | undefined, position: number): boolean {
  return (((bits?.[Math.floor(position / BITS)] ?? 0) >>> (position % BITS)) & 1) === 1
}

/** Whether neither of two changes knew of the other. */
export function concurrent(log: OrderedLog, a: number, b: number): boolean {
  return a !== b && !has(log.past[a], b) && !has(log.past[b], a)
}

const emptyPositions = (length: number): Positions => new Uint32Array(Math.ceil(length / BITS))

function add(bits: Positions, position: number): void {
  const word = Math.floor(position / BITS)
  bits[word] = (bits[word] ?? 0) | (1 << (position % BITS))
}

function unite(bits: Positions, other: Positions): void {
  for (let word = 0; word < other.length; word++) bits[word] = (bits[word] ?? 0) | (other[word] ?? 0)
}

function takeFirst(free: MembershipChange[]): MembershipChange | undefined {
  let best = 0
  for (let i = 1; i < free.length; i++) {
    const [a, b] = [free[i], free[best]]
    if (a && b && comesBefore(a, b)) best = i
  }
  const [taken] = free.splice(best, 1)
  return taken
}

function comesBefore(a: MembershipChange, b: MembershipChange): boolean {
  const [first, second] = [RESTRICTING.has(a.body.kind), RESTRICTING.has(b.body.kind)]
  return first === second ? a.id < b.id : first
}
