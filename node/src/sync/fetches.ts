/**
 * The downloads of one placement. They run beside everything else; each round of the engine says what is wanted now,
 * and takes what has arrived. Equal content is fetched once: the others copy it from where it was placed.
 */
import {
  type FileContent,
  type NodeId,
  type ShareId,
  type TreeEntry,
  toHex,
  type VersionId,
} from '@cofolder/protocol'
import type { ContentService, FetchRequest } from '../content/content.ts'
import type { Install } from './arrange.ts'
import type { BaseEntry, BaseTree } from './base.ts'
import type { Clock } from './clock.ts'
import { type FileSystem, isCode } from './file-system.ts'
import { FETCHES_AT_ONCE, RETRY_FIRST, RETRY_MAX } from './limits.ts'
import { type TempFolder, tempName } from './temp-folder.ts'

export interface FetchesOptions {
  readonly share: ShareId
  readonly content: ContentService
  readonly fs: FileSystem
  readonly root: string
  readonly base: BaseTree
  readonly temp: TempFolder
  readonly clock: Clock
  /** Something arrived, failed or began to wait: there is something to look at. */
  readonly onChange: () => void
}

interface Task {
  /** As the share's tree shows it now. */
  entry: TreeEntry
  readonly version: VersionId
  readonly hash: string
  readonly abort: AbortController
  state: 'queued' | 'running' | 'waiting' | 'ready' | 'failed'
  error?: Error
  /** Milliseconds since the epoch. */
  retryAt: number
  delay: number
}

export class Fetches {
  readonly #o: FetchesOptions
  readonly #tasks = new Map<NodeId, Task>()
  readonly #running = new Set<Promise<void>>()
  /** Who fetches a content; the others that want it too wait behind. */
  readonly #leaders = new Map<string, { readonly task: Task; readonly followers: Task[] }>()
  #queue: Task[] = []
  /** The last run on each temporary file: two must not write to one. */
  readonly #runs = new Map<string, Promise<void>>()
  #closed = false

  constructor(options: FetchesOptions) {
    this.#o = options
  }

  /** From now on these are wanted and no others. */
  async want(entries: readonly TreeEntry[]): Promise<void> {
    const wanted = new Map(entries.map((entry) => [entry.node, entry]))
    for (const [node, task] of this.#tasks) {
      if (wanted.get(node)?.head.id !== task.version) this.drop(node)
    }
    if (entries.length === 0) return
    await this.#o.temp.make()
    const now = this.#o.clock.now()
    for (const entry of entries) {
      const known = this.#tasks.get(entry.node)
      if (!known) this.#add(entry)
      else {
        known.entry = entry
        if (known.state === 'failed' && known.retryAt <= now) this.#enqueue(known)
      }
    }
    this.#start()
  }

  /** What can be put in its place. */
  ready(): Install[] {
    const installs: Install[] = []
    for (const { state, entry } of this.#tasks.values()) {
      if (state === 'ready') installs.push({ do: 'install', entry, temp: this.#tempPath(entry) })
    }
    return installs
  }

  /** No longer wanted, or in its place. */
  drop(node: NodeId): void {
    const task = this.#tasks.get(node)
    if (!task) return
    this.#tasks.delete(node)
    task.abort.abort()
    this.#stepDown(task)
    this.#start()
  }

  /** The fetched file was not good for its place: it is fetched again, later. */
  failed(node: NodeId, error: Error): void {
    const task = this.#tasks.get(node)
    if (task) this.#fail(task, error)
  }

  /** Names in the temporary folder that are needed. */
  tempNames(): string[] {
    return [...this.#tasks.values()].map(({ entry }) => tempName(entry))
  }

  /** The content of a node cannot be put in its place now: others that want it need not wait for that. */
  release(node: NodeId): void {
    const task = this.#tasks.get(node)
    if (!task) return
    this.#stepDown(task)
    this.#start()
  }

  /** Whether something is on its way, or has come and `isDue` to be put in its place. */
  isActive(isDue: (node: NodeId) => boolean): boolean {
    for (const { state, entry } of this.#tasks.values()) {
      if (state === 'running' || (state === 'ready' && isDue(entry.node))) return true
    }
    return false
  }
  /** Downloads for which nobody reachable has the content. */
  get waiting(): number {
    return this.#count('waiting')
  }
  get nextRetry(): number | undefined {
    let next: number | undefined
    for (const { state, retryAt } of this.#tasks.values()) {
      if (state === 'failed' && (next === undefined || retryAt < next)) next = retryAt
    }
    return next
  }
  get errors(): readonly { readonly entry: TreeEntry; readonly error: Error }[] {
    return [...this.#tasks.values()].flatMap(({ entry, error }) => (error ? [{ entry, error }] : []))
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const node of [...this.#tasks.keys()]) this.drop(node)
    await Promise.all(this.#running)
  }

  #count(state: Task['state']): number {
    let count = 0
    for (const task of this.#tasks.values()) if (task.state === state) count++
    return count
  }

  #add(entry: TreeEntry): void {
    const { content } = entry.head
    if (content.kind !== 'file') return
    const task: Task = {
      entry,
      version: entry.head.id,
      hash: toHex(content.sha256),
      abort: new AbortController(),
      state: 'queued',
      retryAt: 0,
      delay: RETRY_FIRST,
    }
    this.#tasks.set(entry.node, task)
    this.#enqueue(task)
  }

  #enqueue(task: Task): void {
    task.state = 'queued'
    const leader = this.#leaders.get(task.hash)
    if (leader && leader.task !== task) leader.followers.push(task)
    else {
      this.#leaders.set(task.hash, { task, followers: leader?.followers ?? [] })
      this.#queue.push(task)
    }
  }

  /** Somebody else may fetch this content, or copy it from where it was placed. */
  #stepDown(task: Task): void {
    const leader = this.#leaders.get(task.hash)
    if (leader?.task !== task) return
    this.#leaders.delete(task.hash)
    for (const follower of leader.followers) if (this.#isWanted(follower)) this.#enqueue(follower)
  }

  #isWanted(task: Task): boolean {
    return this.#tasks.get(task.entry.node) === task
  }

  #start(): void {
    let taken = 0
    while (!this.#closed && this.#running.size < FETCHES_AT_ONCE && taken < this.#queue.length) {
      const task = this.#queue[taken++]
      if (task?.state !== 'queued' || !this.#isWanted(task)) continue
      const name = tempName(task.entry)
      const run = this.#run(task, this.#runs.get(name)).finally(() => {
        this.#running.delete(run)
        if (this.#runs.get(name) === run) this.#runs.delete(name)
        this.#start()
      })
      this.#running.add(run)
      this.#runs.set(name, run)
    }
    if (taken > 0) this.#queue = this.#queue.slice(taken)
  }

  async #run(task: Task, before: Promise<void> | undefined): Promise<void> {
    task.state = 'running'
    await before
    const { entry, abort } = task
    if (abort.signal.aborted) return
    const { content } = entry.head
    try {
      if (content.kind === 'file') await this.#fetch(entry, content, abort.signal, task)
      if (abort.signal.aborted) return
      task.state = 'ready'
      delete task.error
    } catch (error) {
      if (abort.signal.aborted) return
      this.#fail(task, error instanceof Error ? error : new Error(String(error)))
    }
    this.#o.onChange()
  }

  async #fetch(entry: TreeEntry, content: FileContent, signal: AbortSignal, task: Task): Promise<void> {
    const to = this.#tempPath(entry)
    if (content.size === 0) {
      try {
        await this.#o.fs.remove(to)
      } catch (error) {
        if (!isCode(error, 'not-found')) throw error
      }
      return this.#o.fs.createFile(to)
    }
    const base = this.#oldVersion(this.#o.base.get(entry.node))
    const request: FetchRequest = { share: this.#o.share, content, to, ...(base && { base }) }
    await this.#o.content.fetch(request, {
      signal,
      onWaiting: () => {
        if (task.state !== 'running') return
        task.state = 'waiting'
        this.#o.onChange()
      },
    })
  }

  #oldVersion(old: BaseEntry | undefined): FetchRequest['base'] {
    const names = old && this.#o.base.pathOf(old.node)
    if (!names || old.content.kind !== 'file') return undefined
    return { path: [this.#o.root, ...names].join('/'), content: old.content }
  }

  #fail(task: Task, error: Error): void {
    task.state = 'failed'
    task.error = error
    task.retryAt = this.#o.clock.now() + task.delay
    task.delay = Math.min(task.delay * 2, RETRY_MAX)
    this.#stepDown(task)
    this.#start()
  }

  #tempPath(entry: TreeEntry): string {
    return `${this.#o.temp.path}/${tempName(entry)}`
  }
}
