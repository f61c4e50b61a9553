/**
 * The loop of one placement: reacts to what the watcher, the share and the downloads tell; never deletes because a
 * folder is not there, and says so when it does not sync.
 */
import type { ContentIndex } from '../content/content.ts'
import { BaseTree } from './base.ts'
import type { BaseStore, StoredPlacement } from './base-store.ts'
import { Engine } from './engine.ts'
import type { FileSystem } from './file-system.ts'
import { holdingsOf } from './holdings.ts'
import {
  EVENT_DEBOUNCE,
  EVENT_FLOOD,
  FULL_SCAN_INTERVAL,
  POLL_INTERVAL,
  RETRY_FIRST,
  RETRY_MAX,
  ROOT_CHECK_INTERVAL,
} from './limits.ts'
import type { Placement, PlacementOptions, PlacementState } from './placement.ts'
import type { Problem } from './problems.ts'
import { lookAtRoot, type RootState } from './root.ts'
import { TempFolder } from './temp-folder.ts'
import { Watcher } from './watch.ts'

/** Rounds are not started faster than this while changes stream in; longer when a round takes longer. Milliseconds. */
const MIN_PAUSE = 4
const MAX_PAUSE = 250

export class PlacementLoop implements Placement {
  readonly #o: PlacementOptions
  readonly #store: BaseStore
  readonly #base = new BaseTree()
  readonly #listeners = new Set<(state: PlacementState) => void>()
  #stored: StoredPlacement
  #engine: Engine | undefined
  #watcher: Watcher | undefined
  #root: RootState | undefined
  #failure: Error | undefined
  #failures = 0
  #running: Promise<void> | undefined
  #cancelTimer: () => void = () => {}
  #timerAt = Number.POSITIVE_INFINITY
  /** Something happened while a round was running. */
  #again = false
  #events = 0
  #lastRound = 0
  #fullScanAt = 0
  #waiters: { readonly looks: number; readonly resolve: () => void }[] = []
  #looksWanted = 0
  #looksDone = 0
  #notSyncingSince: number | undefined
  #said = ''
  #closed = false
  readonly #unsubscribe: () => void

  constructor(options: PlacementOptions, store: BaseStore, stored: StoredPlacement) {
    this.#o = options
    this.#store = store
    this.#stored = stored
    for (const entry of stored.entries) this.#base.set(entry)
    // What lost its folder to damage is found again by its content.
    for (const { node } of stored.entries) if (!this.#base.pathOf(node)) this.#base.delete(node)
    this.#unsubscribe = options.share.onChange(() => this.#wakeIn(this.#pause()))
  }

  async start(): Promise<void> {
    const looking = this.#checkRoot()
    // No round may begin meanwhile, whatever the share tells.
    this.#running = looking.catch(() => {})
    try {
      await looking
    } finally {
      this.#running = undefined
    }
    this.#wakeIn(0)
  }

  // What is asked.

  state(): PlacementState {
    const engine = this.#engine
    const totals = {
      filesTotal: this.#base.files,
      bytesTotal: this.#base.bytes,
      pending: engine?.pending ?? 0,
    }
    const since = this.#notSyncingSince === undefined ? {} : { notSyncingSince: this.#notSyncingSince }
    const trouble = this.#trouble()
    if (trouble) return { ...totals, ...since, ...trouble }
    const deletes = engine?.guard.held ?? 0
    if (deletes > 0) {
      const error = `${deletes} files are gone here. Confirm to delete them for everybody, or put them back`
      return { ...totals, state: 'error', error, needsConfirmation: { deletes } }
    }
    if (engine?.isDiskFull) return { ...totals, state: 'error', error: 'The disk is full' }
    const [problem] = engine?.failures ?? []
    const error = problem && { error: `${problem.path}: ${problem.message}` }
    const isDone = engine !== undefined && totals.pending === 0 && !engine.isActive && !this.#isDue()
    const isWaiting = engine?.isWaiting === true
    return { ...totals, state: isDone ? 'in-sync' : isWaiting ? 'waiting' : 'syncing', ...error }
  }

  onState(listener: (state: PlacementState) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  problems(): readonly Problem[] {
    return this.#engine?.failures ?? []
  }

  async scan(): Promise<void> {
    if (this.#closed) return
    const looks = ++this.#looksWanted
    this.#engine?.dirt.addAll()
    const done = new Promise<void>((resolve) => this.#waiters.push({ looks, resolve }))
    this.#wakeIn(0)
    await done
  }

  async confirm(): Promise<void> {
    if (this.#root?.state === 'other') {
      await this.#store.clear()
      await this.#store.setRoot(this.#root.identity)
      this.#stored = { ...this.#stored, root: this.#root.identity, intents: new Map() }
      this.#base.clear()
    } else this.#engine?.guard.confirm()
    await this.scan()
  }

  get index(): ContentIndex {
    return holdingsOf(this.#base, this.#o.root)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#unsubscribe()
    this.#cancelTimer()
    this.#watcher?.close()
    await this.#running
    await this.#engine?.close()
    this.#tellWaiters()
    this.#listeners.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Before the members are known, and after somebody has left, his folder is his own. */
  get #isMember(): boolean {
    return this.#o.share.role !== undefined
  }

  // The loop.

  /** Begins a round in so many milliseconds unless one is due sooner. */
  #wakeIn(ms: number): void {
    const at = this.#o.clock.now() + ms
    if (this.#closed || at >= this.#timerAt) return
    this.#cancelTimer()
    this.#timerAt = at
    this.#cancelTimer = this.#o.clock.after(ms, () => {
      this.#timerAt = Number.POSITIVE_INFINITY
      if (this.#running) this.#again = true
      else this.#running = this.#run()
    })
  }

  /** While changes stream in, rounds are spaced by what a round costs. */
  #pause(): number {
    return Math.min(Math.max(this.#lastRound, MIN_PAUSE), MAX_PAUSE)
  }

  async #run(): Promise<void> {
    this.#again = false
    const { clock } = this.#o
    const started = clock.now()
    const looks = this.#looksWanted
    try {
      await this.#checkRoot()
      if (this.#engine && this.#isMember) {
        this.#beginRound(started)
        await this.#engine.round()
      }
      this.#failure = undefined
      this.#failures = 0
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error))
      this.#failures++
      this.#engine?.dirt.addAll()
    }
    this.#lastRound = clock.now() - started
    this.#running = undefined
    this.#schedule()
    const isIdle =
      this.#failure || !this.#engine || !this.#isMember || (!this.#engine.isActive && !this.#again)
    if (isIdle) this.#tellWaiters(looks)
    this.#tellState()
  }

  #beginRound(now: number): void {
    const engine = this.#engine
    if (!engine) return
    const interval = this.#watcher?.works === false ? POLL_INTERVAL : FULL_SCAN_INTERVAL
    if (now >= this.#fullScanAt || this.#events > EVENT_FLOOD) engine.dirt.addAll()
    if (engine.dirt.isFull) this.#fullScanAt = now + interval
    this.#events = 0
  }

  #isDue(): boolean {
    return this.#again || this.#looksWanted > this.#looksDone
  }

  /** Sets the timer for whatever is next. */
  #schedule(): void {
    const engine = this.#engine
    const next = engine?.nextAt
    if (this.#failure) this.#wakeIn(Math.min(RETRY_FIRST * 2 ** Math.min(this.#failures, 10), RETRY_MAX))
    else if (!this.#isMember) return
    else if (this.#again || (engine && !engine.dirt.isEmpty)) this.#wakeIn(this.#pause())
    else if (next !== undefined) this.#wakeIn(Math.max(next - this.#o.clock.now(), MIN_PAUSE))
    if (this.#o.watch || !engine) this.#wakeIn(ROOT_CHECK_INTERVAL)
  }

  // The folder.

  async #checkRoot(): Promise<void> {
    const { fs, root } = this.#o
    let found = await lookAtRoot(fs, root, this.#stored.root)
    if (found.state === 'missing' && !this.#stored.root) {
      await makeFolders(fs, root)
      found = await lookAtRoot(fs, root, undefined)
    }
    if (found.state === 'new') {
      await this.#store.setRoot(found.identity)
      this.#stored = { ...this.#stored, root: found.identity }
      found = { ...found, state: 'known' }
    }
    this.#root = found
    if (found.state === 'known') this.#engine ??= await this.#makeEngine()
    else await this.#dropEngine()
  }

  async #makeEngine(): Promise<Engine> {
    const { share, root, fs, clock, content, history, userName, onEvent, watch } = this.#o
    // Asked where nobody looks; the engine cleans up.
    const temp = new TempFolder(fs, root)
    await temp.make()
    const capabilities = await fs.capabilities(temp.path)
    this.#watcher = watch ? this.#makeWatcher() : undefined
    const engine = new Engine({
      ...{ share, root, fs, clock, content, history, capabilities, base: this.#base, store: this.#store },
      person: userName ?? 'mine',
      watcher: this.#watcher,
      wake: () => this.#wakeIn(this.#pause()),
      onConflict: (path) =>
        onEvent({ type: 'conflict', path, message: `Another version is kept as ${path}` }),
    })
    await engine.recover(this.#stored.intents)
    this.#stored = { ...this.#stored, intents: new Map(), entries: [] }
    return engine
  }

  async #dropEngine(): Promise<void> {
    const engine = this.#engine
    this.#engine = undefined
    this.#watcher?.close()
    this.#watcher = undefined
    await engine?.close()
  }

  #makeWatcher(): Watcher {
    const { fs, root, onEvent } = this.#o
    return new Watcher({
      fs,
      root,
      onEvent: (path) => {
        this.#engine?.dirt.add(path)
        this.#events++
        this.#wakeIn(EVENT_DEBOUNCE)
      },
      onFailure: ({ message }) => {
        this.#fullScanAt = 0
        onEvent({
          type: 'error',
          message: `${root} cannot be watched and is looked at now and then: ${message}`,
        })
      },
    })
  }

  // What is told.

  #trouble(): { readonly state: 'waiting' | 'error'; readonly error: string } | undefined {
    const root = this.#root
    if (root?.state === 'missing') return { state: 'waiting', error: root.message }
    if (root?.state === 'other') return { state: 'error', error: root.message }
    if (!this.#isMember)
      return { state: 'waiting', error: 'Nothing is synced until this share knows you as a member' }
    return this.#failure && { state: 'error', error: this.#failure.message }
  }

  #tellState(): void {
    const isSyncing = this.#trouble() === undefined
    this.#notSyncingSince = isSyncing ? undefined : (this.#notSyncingSince ?? this.#o.clock.now())
    const state = this.state()
    const { error } = state
    if (state.state === 'error' && error !== undefined && error !== this.#said) {
      this.#o.onEvent({ type: 'error', message: error })
    }
    this.#said = error ?? ''
    for (const listener of this.#listeners) listener(state)
  }

  #tellWaiters(looks = Number.POSITIVE_INFINITY): void {
    this.#looksDone = Math.max(this.#looksDone, Math.min(looks, this.#looksWanted))
    const done = this.#waiters.filter((waiter) => waiter.looks <= looks)
    this.#waiters = this.#waiters.filter((waiter) => waiter.looks > looks)
    for (const { resolve } of done) resolve()
  }
}

async function makeFolders(fs: FileSystem, path: string): Promise<void> {
  const parent = path.slice(0, path.lastIndexOf('/'))
  try {
    await fs.makeFolder(path)
  } catch {
    if (parent === '') return
    await makeFolders(fs, parent)
    await fs.makeFolder(path).catch(() => {})
  }
}
