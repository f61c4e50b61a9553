/**
 * One placement's synchroniser: each round looks at what may have changed, finds out what became of each node, plans,
 * tells the share, and carries out what the share wants. Whoever owns it calls `round` when there is reason to
 * (see `placement.ts`); rounds never overlap.
 */
import type { NodeId } from '@cofolder/protocol'
import { ContentError } from '../content/content.ts'
import { type BaseEntry, PARKED, parkedName } from './base.ts'
import { Dirt } from './dirt.ts'
import { isCode } from './file-system.ts'
import { Following } from './following.ts'
import { DeleteGuard } from './guard.ts'
import { type Intent, outcomeOf } from './journal.ts'
import { Looking } from './looking.ts'
import { type Finding, type LocalTree, NO_DIFFERENCES } from './match.ts'
import type { EngineOptions, EngineParts } from './parts.ts'
import type { Step } from './plan.ts'
import { type Problem, Problems } from './problems.ts'
import { Telling } from './telling.ts'
import { TempFolder } from './temp-folder.ts'

export class Engine {
  readonly #o: EngineParts
  readonly #looking: Looking
  readonly #telling: Telling
  readonly #following: Following
  #cleaned = false

  constructor(options: EngineOptions) {
    const temp = new TempFolder(options.fs, options.root)
    this.#o = { ...options, temp, dirt: new Dirt(true), guard: new DeleteGuard(), problems: new Problems() }
    this.#looking = new Looking(this.#o)
    this.#telling = new Telling(this.#o)
    this.#following = new Following(this.#o)
  }

  get dirt(): Dirt {
    return this.#o.dirt
  }
  get guard(): DeleteGuard {
    return this.#o.guard
  }

  /** What is not yet as it should be, as a count of files and folders. */
  get pending(): number {
    return this.#following.stepsLeft + this.#looking.hashing + this.dirt.expected
  }

  /** Downloads or steps that failed for want of room. */
  get isDiskFull(): boolean {
    const { fetches, failedSteps } = this.#following
    return [...fetches.errors, ...failedSteps].some(({ error }) => isFull(error))
  }

  get failures(): readonly Problem[] {
    const { fetches, failedSteps } = this.#following
    const missing = fetches.errors.map(({ entry, error }) => ({ path: entry.path, message: error.message }))
    const undone = failedSteps.map(({ path, error }) => ({ path, message: error.message }))
    return [...this.#o.problems.list(), ...missing, ...undone]
  }

  /** Whether something goes on, or will in a moment, without anybody else's doing. */
  get isActive(): boolean {
    const following = this.#following
    const isComing = following.fetches.isActive((node) => following.isDue(node))
    return isComing || this.#looking.hashing > 0 || this.dirt.isExpecting || !this.dirt.isEmpty
  }

  /** Whether all that is left waits for somebody who holds the content. */
  get isWaiting(): boolean {
    return this.#following.fetches.waiting > 0 && !this.isActive
  }

  /** When a round is due even if nothing happens (milliseconds since the epoch). */
  get nextAt(): number | undefined {
    const times = [this.dirt.nextAt, this.#following.nextAt].filter((at) => at !== undefined)
    return times.length > 0 ? Math.min(...times) : undefined
  }

  /** Finishes or forgets what a crash interrupted. Before the first round. */
  async recover(intents: ReadonlyMap<string, Intent>): Promise<void> {
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
    let local = await this.#looking.look()
    for (;;) {
      const { rest, wave } = this.#looking.nextWave(local)
      if (wave.length > 0) local = await this.#looking.readWave(local, wave)
      // While files are unread, what seems gone may be one of them.
      const { now, held } = rest
        ? withholdMissing(local)
        : { now: this.#telling.judge(local), held: NO_DIFFERENCES.known }
      const { left, steps } = await this.#telling.agree(now)
      local = { known: new Map([...left.known, ...held]), fresh: left.fresh }
      if (rest) continue
      const done = await this.#following.carryOut(steps)
      if (done === 0) break
      local = withoutAside(local, steps)
    }
    await this.#cleanUp()
  }

  async close(): Promise<void> {
    await this.#following.fetches.close()
    await this.#looking.close()
  }

  async #cleanUp(): Promise<void> {
    const { fetches, stepsLeft } = this.#following
    if (stepsLeft > 0 && this.#cleaned) return
    const { base, temp } = this.#o
    const parked = [...base.children(PARKED).values()].map(parkedName)
    await temp.clean(new Set([...fetches.tempNames(), ...parked]), !this.#cleaned)
    if (stepsLeft === 0) await temp.remove()
    this.#cleaned = true
  }
}

const isFull = (error: Error): boolean =>
  isCode(error, 'full') || (error instanceof ContentError && error.code === 'disk-full')

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
