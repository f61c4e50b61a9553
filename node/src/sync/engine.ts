/**
 * One placement's synchroniser: each round looks at what may have changed, finds out what became of each node, plans,
 * tells the share, and carries out what the share wants. Whoever owns it calls `round` when there is reason to
 * (see `placement.ts`); rounds never overlap.
 */
import { randomBytes } from 'node:crypto'
import { type NodeId, ProtocolError, type ShareDocument, toBase64url, versionId } from '@cofolder/protocol'
import { ContentError, type ContentService } from '../content/content.ts'
import type { VersionStore } from '../history/version-store.ts'
import { type Action, arrange, type Install } from './arrange.ts'
import { type BaseEntry, type BaseParent, type BaseTree, PARKED, parkedName } from './base.ts'
import type { BaseStore } from './base-store.ts'
import { carryOut } from './carry-out.ts'
import type { Clock } from './clock.ts'
import { Contents, type Unknown } from './contents.ts'
import { Dirt } from './dirt.ts'
import { Fetches } from './fetches.ts'
import { type Capabilities, type FileSystem, FileSystemError, isCode } from './file-system.ts'
import { DeleteGuard } from './guard.ts'
import { outcomeOf } from './journal.ts'
import { DIGEST_WAVE, RETRY_FIRST, RETRY_MAX } from './limits.ts'
import {
  type Finding,
  type Fresh,
  isExecutable,
  type LocalTree,
  matchWithBase,
  NO_DIFFERENCES,
  withContents,
} from './match.ts'
import { type Depth, type LookOptions, lookAt, lookAtAll } from './observe.ts'
import { type Agreement, type Plan, type Policy, plan, type Remote, type Step } from './plan.ts'
import { type Problem, Problems } from './problems.ts'
import { TempFolder } from './temp-folder.ts'
import type { Watcher } from './watch.ts'

export interface EngineOptions {
  readonly share: ShareDocument
  readonly root: string
  readonly fs: FileSystem
  readonly clock: Clock
  readonly content: ContentService
  readonly history: VersionStore
  readonly store: BaseStore
  readonly base: BaseTree
  readonly capabilities: Capabilities
  readonly person: string
  readonly watcher: Watcher | undefined
  /** There is reason for a round. */
  readonly wake: () => void
  /** A conflict was settled; `path` is where the other version is kept. */
  readonly onConflict: (path: string) => void
}

/** Plans made in one round until nothing is left to agree on; each but the last tells the share something. */
const MAX_PLANS = 20
const NODE_ID_BYTES = 16
/** Files that seem gone and are looked at again with every look. */
const MAX_GONE_LOOKS = 1000
/** Pause before what the share did not take is looked at again. Milliseconds. */
const WRITE_RETRY = 5_000

type Unread = (Extract<Finding, { state: 'present' }> | Fresh) & { readonly node: NodeId }

export class Engine {
  readonly dirt = new Dirt(true)
  readonly guard = new DeleteGuard()
  readonly problems: Problems
  readonly #o: EngineOptions
  readonly #contents: Contents
  readonly #fetches: Fetches
  readonly #temp: TempFolder
  /** Nodes whose steps failed, with when they are tried again. */
  readonly #retries = new Map<NodeId, { readonly at: number; readonly delay: number }>()
  /** Steps that the last round left undone. */
  #stepsLeft = 0
  #cleaned = false

  constructor(options: EngineOptions) {
    this.#o = options
    const { share, root, fs, clock, content, base, wake } = options
    this.problems = new Problems()
    this.#temp = new TempFolder(fs, root)
    this.#fetches = new Fetches({
      share: share.id,
      ...{ content, fs, root, base, clock, temp: this.#temp },
      onChange: wake,
    })
    this.#contents = new Contents({
      share: share.id,
      ...{ fs, root, clock, content },
      lookAgain: (path, at) => {
        this.dirt.addLater(path, at, true)
        wake()
      },
      onProblem: (path, error) => this.#cannotRead(path, error),
    })
  }

  /** What is not yet as it should be, as a count of files and folders. */
  get pending(): number {
    return this.#stepsLeft + this.#contents.running + this.dirt.expected
  }

  /** Downloads or steps that failed for want of room. */
  get isDiskFull(): boolean {
    return this.#fetches.errors.some(({ error }) => isFull(error)) || this.problems.find(isFull) !== undefined
  }

  get failures(): readonly Problem[] {
    const fetches = this.#fetches.errors.map(({ entry, error }) => ({
      path: entry.path,
      message: error.message,
    }))
    return [...this.problems.list(), ...fetches]
  }

  /** Whether something goes on, or will in a moment, without anybody else's doing. */
  get isActive(): boolean {
    return (
      this.#fetches.active > 0 || this.#contents.running > 0 || this.dirt.isExpecting || !this.dirt.isEmpty
    )
  }

  /** Whether all that is left waits for somebody who holds the content. */
  get isWaiting(): boolean {
    return this.#fetches.waiting > 0 && !this.isActive
  }

  /** When a round is due even if nothing happens (milliseconds since the epoch). */
  get nextAt(): number | undefined {
    const times = [this.dirt.nextAt, this.#fetches.nextRetry]
    for (const { at } of this.#retries.values()) if (at > this.#o.clock.now()) times.push(at)
    const known = times.filter((at) => at !== undefined)
    return known.length > 0 ? Math.min(...known) : undefined
  }

  /** Finishes or forgets what a crash interrupted. Before the first round. */
  async recover(intents: ReadonlyMap<string, Parameters<typeof outcomeOf>[2]>): Promise<void> {
    const { fs, root, store, base } = this.#o
    const put: BaseEntry[] = []
    const del: NodeId[] = []
    for (const intent of intents.values()) {
      const outcome = await outcomeOf(fs, root, intent)
      if (!outcome.done) continue
      if (outcome.after) put.push(outcome.after)
      else del.push(intent.node)
    }
    await store.commit({ put, del, done: intents.keys() })
    for (const node of del) base.delete(node)
    for (const entry of put) base.set(entry)
  }

  /** @throws FileSystemError when the root cannot be read, or our folder in it not be made. */
  async round(): Promise<void> {
    let local = await this.#look()
    for (;;) {
      const { rest, wave } = this.#nextWave(local)
      if (wave.length > 0) local = await this.#readWave(local, wave)
      // While files are unread, what seems gone may be one of them.
      const { now, held } = rest
        ? withholdMissing(local)
        : { now: this.#judge(local), held: NO_DIFFERENCES.known }
      const { left, steps } = await this.#agree(now)
      local = { known: new Map([...left.known, ...held]), fresh: left.fresh }
      if (rest) continue
      const done = await this.#carryOut(steps)
      if (done === 0) break
      local = withoutAside(local, steps)
    }
    await this.#cleanUp()
  }

  async close(): Promise<void> {
    await this.#fetches.close()
    await this.#contents.close()
  }

  // Looking.

  async #look(): Promise<LocalTree> {
    const { fs, root, base, capabilities, watcher, clock } = this.#o
    const paths = this.dirt.take(clock.now())
    if (paths !== 'everything' && paths.size === 0) return NO_DIFFERENCES
    watcher?.beginLook()
    const options: LookOptions = {
      ...{ fs, root, base, caseSensitive: capabilities.caseSensitive },
      onFolder: (path) => watcher?.add(path),
      isWatched: (path) => watcher?.has(path) ?? true,
      onProblem: (path, error) => this.problems.set(path.join('/'), error),
      onVanished: (path) => this.dirt.addLater(path.join('/'), clock.now() + RETRY_FIRST, true, 'tree'),
    }
    let seen: Awaited<ReturnType<typeof lookAt>>
    if (paths === 'everything') {
      this.problems.clear()
      watcher?.beginAll()
      seen = await lookAtAll(options)
      watcher?.endAll()
    } else {
      seen = await lookAt(options, this.#withGone(paths))
    }
    const { executable } = capabilities
    const matched = matchWithBase(base, seen, { executable, newNode })
    for (const node of [...this.guard.waiting()]) {
      if (matched.seen.has(node) || !base.get(node)) this.guard.isBack(node)
    }
    return matched
  }

  /** Also looks at what seemed gone a moment ago: what turned up since may be it. And closer at what could not be seen. */
  #withGone(paths: ReadonlyMap<string, Depth>): ReadonlyMap<string, Depth> {
    const all = new Map<string, Depth>()
    for (const [path, depth] of paths) all.set(path, this.problems.forget(path) ? 'tree' : depth)
    let room = MAX_GONE_LOOKS
    for (const node of this.guard.waiting()) {
      if (room-- === 0) break
      const path = this.#o.base.pathOf(node)?.join('/')
      if (path && !all.has(path)) all.set(path, 'spot')
    }
    return all
  }

  /** The next files to be read, and whether there will be more after them. */
  #nextWave(local: LocalTree): { readonly wave: readonly Unread[]; readonly rest: boolean } {
    const wave: Unread[] = []
    for (const item of unreadOf(local)) {
      if (wave.length === DIGEST_WAVE) return { wave, rest: true }
      wave.push(item)
    }
    return { wave, rest: false }
  }

  /** The local tree with the contents of some files; those that are not settled or not readable are left alone. */
  async #readWave(local: LocalTree, wave: readonly Unread[]): Promise<LocalTree> {
    const { base, capabilities } = this.#o
    const files = wave.map(({ node, path, stamp }): Unknown & { node: NodeId } => {
      const known = base.get(node)?.content
      const before = known?.kind === 'file' && known.executable
      return { node, path, stamp, executable: isExecutable(stamp, capabilities) ?? before }
    })
    const settled = files.filter((file) => this.#contents.isSettled(file))
    const read = await this.#contents.read(settled)
    const contents = new Map(settled.flatMap(({ node }, i) => (read[i] ? [[node, read[i]]] : [])))
    const busy = new Set(files.flatMap(({ node }) => (contents.has(node) ? [] : node)))
    const told = withContents(base, local, contents)
    const known = new Map(told.known)
    for (const node of busy) if (known.has(node)) known.set(node, { state: 'busy' })
    return { known, fresh: told.fresh.map((item) => (busy.has(item.node) ? { ...item, busy: true } : item)) }
  }

  #cannotRead(path: string, error: Error): void {
    this.problems.set(path, error)
    this.dirt.addLater(path, this.#o.clock.now() + RETRY_MAX, false)
  }

  // Telling.

  /** The local tree in which only those deletes are left that may be told now. */
  #judge(local: LocalTree): LocalTree {
    const { base, share, clock } = this.#o
    const tree = share.tree()
    const missing = [...local.known].flatMap(([node, { state }]) => (state === 'missing' ? node : []))
    if (missing.length === 0) return local
    const mayWrite = this.#policy().mayWrite
    const taken = new Set(local.fresh.map(({ parent, local: name }) => `${parent}/${name}`))
    const lost = new Set<BaseParent>(missing)
    const isReplaced = (node: NodeId): boolean => {
      const entry = base.get(node)
      if (!entry) return false
      const above = entry.parent
      return (
        taken.has(`${above}/${entry.local}`) || (above !== PARKED && lost.has(above) && isReplaced(above))
      )
    }
    const gone = missing.map((node) => {
      const isFile = mayWrite && base.get(node)?.content.kind !== 'folder' && tree.byNode.has(node)
      return { node, isFile, isReplaced: isReplaced(node) }
    })
    const { release, lookAgainAt } = this.guard.judge(gone, base.files, clock.now())
    const known = new Map(local.known)
    for (const node of missing) {
      if (release.has(node)) continue
      known.set(node, { state: 'busy' })
      const path = lookAgainAt !== undefined && base.pathOf(node)
      if (path && lookAgainAt !== undefined) this.dirt.addLater(path.join('/'), lookAgainAt, true)
    }
    return { known, fresh: local.fresh }
  }

  #policy(): Policy {
    const { share, capabilities, clock } = this.#o
    const mayWrite = share.role === 'owner' || share.role === 'editor'
    return { mode: 'two-way', mayWrite, executable: capabilities.executable, now: clock.now(), versionId }
  }

  #plan(local: LocalTree): Plan {
    const { share, base } = this.#o
    const remote: Remote = {
      tree: share.tree(),
      knows: (version) => share.version(version) !== undefined,
      placedAt: (node) => share.placedAt(node),
    }
    return plan(base, local, remote, this.#policy())
  }

  /** Tells and learns until there is nothing left to agree on. */
  async #agree(local: LocalTree): Promise<Plan> {
    let rest = local
    let planned = this.#plan(rest)
    for (let i = 0; i < MAX_PLANS; i++) {
      const told = planned.agree.length > 0 && (await this.#tell(planned.agree))
      if (told) rest = planned.left
      const settled = this.#settle()
      if (!told && !settled) break
      planned = this.#plan(rest)
    }
    return planned
  }

  /** The share learns first: should it be lost before the base is written, the base is behind, which heals. */
  async #tell(agreements: readonly Agreement[]): Promise<boolean> {
    const accepted = this.#write(agreements)
    const { base, store } = this.#o
    const put: BaseEntry[] = []
    const gone = new Set<NodeId>()
    /** Folders that are known as other nodes from now on, and what is in them with them. */
    const rekeyed = new Map<BaseParent, NodeId>()
    for (const agreement of accepted) {
      const after = afterOf(agreement)
      if (after) put.push(after)
      if (agreement.do === 'rekey') {
        rekeyed.set(agreement.from, agreement.entry.node)
        gone.add(agreement.from)
      } else if (!after && 'node' in agreement) gone.add(agreement.node)
    }
    const touched = new Set([...put.map(({ node }) => node), ...gone])
    for (const from of rekeyed.keys()) {
      for (const node of base.children(from).values()) {
        const child = base.get(node)
        if (child && !touched.has(node)) put.push(child)
      }
    }
    for (const entry of put) if (entry.content.kind === 'folder') this.#unwatchMoved(entry)
    for (const node of gone) base.delete(node)
    const entries = put.map((entry) => ({ ...entry, parent: rekeyed.get(entry.parent) ?? entry.parent }))
    for (const entry of entries) base.set(entry)
    const stays = new Set(put.map(({ node }) => node))
    await store.commit({ put: entries, del: [...gone].filter((node) => !stays.has(node)) })
    return accepted.length > 0
  }

  /** A folder renamed by its user is watched anew under its new path, and no longer under the old one. */
  #unwatchMoved(entry: BaseEntry): void {
    const { base, watcher } = this.#o
    const before = base.get(entry.node)
    if (!before || (before.parent === entry.parent && before.local === entry.local)) return
    const path = base.pathOf(entry.node)
    if (path && before.parent !== PARKED) watcher?.drop(path, 'before')
  }

  /** What was written, or needed no writing. One record that the share refuses must not keep the others from it. */
  #write(agreements: readonly Agreement[]): readonly Agreement[] {
    const records = agreements.flatMap((agreement) => (agreement.do === 'publish' ? agreement.records : []))
    if (records.length === 0) return agreements
    const { share, clock } = this.#o
    try {
      share.write(records, clock.now())
      return agreements
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
    }
    return agreements.filter((agreement) => {
      if (agreement.do !== 'publish') return true
      try {
        share.write(agreement.records, clock.now())
        return true
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        this.problems.set(agreement.after?.name ?? agreement.node, error)
        this.dirt.addLater('', clock.now() + WRITE_RETRY, false)
        return false
      }
    })
  }

  #settle(): boolean {
    const { share, clock, onConflict } = this.#o
    if (!this.#policy().mayWrite) return false
    const records = share.settle()
    if (records.length === 0) return false
    try {
      share.write(records, clock.now())
    } catch (error) {
      if (error instanceof ProtocolError) return false
      throw error
    }
    const { byNode } = share.tree()
    for (const record of records) {
      const path = record.type === 'place' && byNode.get(record.node)?.path
      if (path) onConflict(path)
    }
    return true
  }

  // Following.

  /** Answers how many steps were done. */
  async #carryOut(steps: readonly Step[]): Promise<number> {
    const { base, capabilities, share } = this.#o
    this.#stepsLeft = steps.length
    await this.#fetches.want(steps.flatMap((step) => (step.do === 'fetch' ? step.entry : [])))
    const now = this.#o.clock.now()
    const due = (node: NodeId): boolean => (this.#retries.get(node)?.at ?? 0) <= now
    const wanted: (Step | Install)[] = [
      ...steps.filter(({ do: kind }) => kind !== 'fetch'),
      ...this.#fetches.ready(),
    ]
    const todo = wanted.filter((step) => due('entry' in step ? step.entry.node : step.node))
    if (todo.length === 0) return 0
    const { waves } = arrange(todo, base, capabilities)
    const { fs, root, store, history, clock, person } = this.#o
    const failed = new Set<NodeId>()
    const done = await carryOut(waves, {
      share: share.id,
      ...{ fs, root, base, store, history, clock, person, capabilities, temp: this.#temp },
      onStale: (action, path) => {
        failed.add(nodeOf(action))
        this.dirt.add(path.join('/'))
        this.#delay(nodeOf(action), path, new FileSystemError('exists', 'something else stands there'))
      },
      onFolderLeft: (path) => this.#o.watcher?.drop(path, 'now'),
      onFailure: (action, path, error) => {
        failed.add(nodeOf(action))
        this.#stepFailed(action, path, error)
      },
    })
    for (const wave of waves) {
      for (const action of wave) if (!failed.has(nodeOf(action))) this.#retries.delete(nodeOf(action))
    }
    this.#stepsLeft = steps.length - done
    return done
  }

  #stepFailed(action: Action, path: readonly string[], error: FileSystemError): void {
    const node = nodeOf(action)
    if (isCode(error, 'not-found', 'exists', 'not-a-folder', 'not-empty')) {
      this.dirt.add(path.join('/'), isCode(error, 'not-empty') ? 'tree' : 'spot')
      for (let i = 1; i < path.length; i++) this.dirt.add(path.slice(0, i).join('/'))
    }
    if (action.do === 'install' && isCode(error, 'not-found', 'io')) this.#fetches.failed(node, error)
    this.#delay(node, path, error)
  }

  /** The first time it is tried again as soon as somebody has looked; then less and less often. */
  #delay(node: NodeId, path: readonly string[], error: Error): void {
    const before = this.#retries.get(node)
    const delay = before ? Math.min(Math.max(before.delay * 2, RETRY_FIRST), RETRY_MAX) : 0
    this.#retries.set(node, { at: this.#o.clock.now() + delay, delay })
    if (before) this.problems.set(path.join('/'), error)
  }

  async #cleanUp(): Promise<void> {
    if (this.#stepsLeft > 0 && this.#cleaned) return
    const parked = [...this.#o.base.children(PARKED).values()].map(parkedName)
    await this.#temp.clean(new Set([...this.#fetches.tempNames(), ...parked]), !this.#cleaned)
    if (this.#stepsLeft === 0) await this.#temp.remove()
    this.#cleaned = true
  }
}

const isFull = (error: Error): boolean =>
  isCode(error, 'full') || (error instanceof ContentError && error.code === 'disk-full')

const newNode = (): NodeId => toBase64url(randomBytes(NODE_ID_BYTES)) as NodeId

const nodeOf = (action: Action): NodeId => ('entry' in action ? action.entry.node : action.node)

function* unreadOf(local: LocalTree): Iterable<Unread> {
  for (const [node, finding] of local.known) {
    if (finding.state === 'present' && finding.content === 'unknown') yield { ...finding, node }
  }
  for (const item of local.fresh) if (item.content === 'unknown' && !item.busy) yield item
}

/** What the base says once it is carried out; undefined when it forgets the node. */
function afterOf(agreement: Agreement): BaseEntry | undefined {
  if (agreement.do === 'publish') return agreement.after
  return agreement.do === 'forget' ? undefined : agreement.entry
}

/** What was set aside is nobody's any more. */
function withoutAside(local: LocalTree, steps: readonly Step[]): LocalTree {
  const aside = new Set(steps.flatMap((step) => (step.do === 'set-aside' ? step.node : [])))
  if (aside.size === 0) return local
  const known = new Map([...local.known].filter(([node]) => !aside.has(node)))
  return { known, fresh: local.fresh.filter(({ node }) => !aside.has(node)) }
}

/** What seems gone is kept out of the plan for now. */
function withholdMissing(local: LocalTree): { now: LocalTree; held: ReadonlyMap<NodeId, Finding> } {
  const held = new Map([...local.known].filter(([, { state }]) => state === 'missing'))
  const known = new Map<NodeId, Finding>(local.known)
  for (const node of held.keys()) known.set(node, { state: 'busy' })
  return { now: { known, fresh: local.fresh }, held }
}
