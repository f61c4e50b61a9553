/**
 * Which deletes may be told to the others now. A file may be gone for a moment only, so deletes wait a little; and
 * when most of a share is gone at once, somebody is asked first: an emptied disk looks just like that.
 */
import type { NodeId } from '@cofolder/protocol'
import {
  DELETE_GRACE,
  DELETE_MAX_GRACE,
  MASS_DELETE_ALL_FROM,
  MASS_DELETE_FROM,
  MASS_DELETE_SHARE,
  MASS_DELETE_WINDOW,
} from './limits.ts'

/** Something of the base that is not there any more. */
export interface Gone {
  readonly node: NodeId
  /** Folders follow their files and are not counted. */
  readonly isFile: boolean
  /** Something else has its name already: it is not coming back. */
  readonly isReplaced: boolean
}

export interface Verdict {
  /** May be published. */
  readonly release: ReadonlySet<NodeId>
  /** When those that wait are to be looked at again (milliseconds since the epoch). */
  readonly lookAgainAt: number | undefined
}

export class DeleteGuard {
  readonly #since = new Map<NodeId, number>()
  /** Waiting for somebody to confirm. */
  readonly #held = new Map<NodeId, boolean>()
  readonly #confirmed = new Set<NodeId>()
  #recent: { readonly at: number; readonly files: number }[] = []

  /** Deletes of files that wait for a confirmation. */
  get held(): number {
    let files = 0
    for (const isFile of this.#held.values()) if (isFile) files++
    return files
  }

  /** `gone` is all that was just found missing; `knownFiles` what the base holds, the missing included. */
  judge(gone: readonly Gone[], knownFiles: number, now: number): Verdict {
    let newest = 0
    let oldest = now
    for (const { node } of gone) {
      const since = this.#since.get(node) ?? now
      this.#since.set(node, since)
      newest = Math.max(newest, since)
      oldest = Math.min(oldest, since)
    }
    const isDue = now - newest >= DELETE_GRACE || now - oldest >= DELETE_MAX_GRACE
    const due = isDue ? gone : gone.filter(({ isReplaced }) => isReplaced)
    const lookAgainAt = isDue ? undefined : newest + DELETE_GRACE

    const asking = due.filter(({ node }) => !this.#confirmed.has(node))
    if (this.#isMass(asking, knownFiles, now)) {
      for (const { node, isFile } of asking) this.#held.set(node, isFile)
      const confirmed = due.filter(({ node }) => this.#confirmed.has(node))
      return { release: this.#release(confirmed, now), lookAgainAt }
    }
    return { release: this.#release(due, now), lookAgainAt }
  }

  /** A node is there after all, or nobody asks for it any more. */
  isBack(node: NodeId): void {
    this.#since.delete(node)
    this.#held.delete(node)
    this.#confirmed.delete(node)
  }

  /** Nodes that are waited for, in either way. */
  waiting(): Iterable<NodeId> {
    return this.#since.keys()
  }

  /** Lets all that is held go; answers how many files. */
  confirm(): number {
    const files = this.held
    for (const node of this.#held.keys()) this.#confirmed.add(node)
    this.#held.clear()
    return files
  }

  #release(gone: readonly Gone[], now: number): ReadonlySet<NodeId> {
    const release = new Set(gone.map(({ node }) => node))
    const files = gone.filter(({ node, isFile }) => isFile && !this.#confirmed.has(node)).length
    for (const node of release) this.isBack(node)
    if (files > 0) this.#recent.push({ at: now, files })
    return release
  }

  #isMass(gone: readonly Gone[], knownFiles: number, now: number): boolean {
    this.#recent = this.#recent.filter(({ at }) => now - at < MASS_DELETE_WINDOW)
    const files = gone.filter(({ isFile }) => isFile).length
    if (files === 0) return false
    let earlier = 0
    for (const one of this.#recent) earlier += one.files
    const deletes = files + earlier
    const known = knownFiles + earlier
    return (
      (deletes >= MASS_DELETE_FROM && deletes > known * MASS_DELETE_SHARE) ||
      (deletes >= known && known >= MASS_DELETE_ALL_FROM)
    )
  }
}
