/**
 * A map that never changes, made of an older one and what differs from it, so that a snapshot of a large tree
 * costs as much as what changed in it.
 */

/** Entries that differ before everything is copied into a map of its own: a quarter of the base. */
const MAX_DIFFERENCE = 0.25
const MIN_DIFFERENCE = 64

export interface OverlayBuilder<K, V> {
  remove(key: K): void
  set(key: K, value: V): void
  /** The map; the builder is used up. */
  done(): ReadonlyMap<K, V>
}

/** Begins a map that is like `last` but for what is then removed and set. */
export function overlay<K, V>(last: ReadonlyMap<K, V> | undefined): OverlayBuilder<K, V> {
  if (!last) {
    const fresh = new Map<K, V>()
    return {
      remove: (key) => fresh.delete(key),
      set: (key, value) => fresh.set(key, value),
      done: () => fresh,
    }
  }
  const base = last instanceof Overlay ? last.base : last
  const difference = new Map<K, V | typeof GONE>(last instanceof Overlay ? last.difference : [])
  return {
    remove: (key) => difference.set(key, GONE),
    set: (key, value) => difference.set(key, value),
    done() {
      const made = new Overlay(base, difference)
      return difference.size > Math.max(MIN_DIFFERENCE, base.size * MAX_DIFFERENCE) ? new Map(made) : made
    },
  }
}

const GONE = Symbol('gone')

class Overlay<K, V> implements ReadonlyMap<K, V> {
  readonly base: ReadonlyMap<K, V>
  readonly difference: ReadonlyMap<K, V | typeof GONE>
  readonly size: number

  constructor(base: ReadonlyMap<K, V>, difference: ReadonlyMap<K, V | typeof GONE>) {
    this.base = base
    this.difference = difference
    let size = base.size
    for (const [key, value] of difference) size += Number(value !== GONE) - Number(base.has(key))
    this.size = size
  }

  get(key: K): V | undefined {
    const value = this.difference.get(key)
    return value === GONE ? undefined : (value ?? this.base.get(key))
  }

  has(key: K): boolean {
    const value = this.difference.get(key)
    return value === undefined ? this.base.has(key) : value !== GONE
  }

  *entries(): MapIterator<[K, V]> {
    for (const entry of this.base) if (!this.difference.has(entry[0])) yield entry
    for (const [key, value] of this.difference) if (value !== GONE) yield [key, value]
  }

  *keys(): MapIterator<K> {
    for (const [key] of this.entries()) yield key
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries()
  }

  forEach(callback: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) callback(value, key, this)
  }
}
