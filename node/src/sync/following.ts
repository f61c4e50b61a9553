/** The last part of a round: the placement follows the share, as far as can be done now. */
import type { NodeId } from '@cofolder/protocol'
import { type Action, arrange, type Install } from './arrange.ts'
import { carryOut } from './carry-out.ts'
import { Fetches } from './fetches.ts'
import { FileSystemError, isCode } from './file-system.ts'
import { RETRY_FIRST, RETRY_MAX } from './limits.ts'
import type { EngineParts } from './parts.ts'
import type { Step } from './plan.ts'

/** A step that failed, and when it is tried again. */
interface Retry {
  readonly at: number
  /** 0 after the first failure, which is not yet a problem: what is there may only have changed. */
  readonly delay: number
  readonly path: string
  readonly error: Error
}

export class Following {
  readonly fetches: Fetches
  readonly #o: EngineParts
  readonly #retries = new Map<NodeId, Retry>()
  /** Steps that the last plan asked for and that are not done. */
  stepsLeft = 0

  constructor(parts: EngineParts) {
    this.#o = parts
    const { share, content, fs, root, base, temp, clock, wake } = parts
    this.fetches = new Fetches({ share: share.id, content, fs, root, base, temp, clock, onChange: wake })
  }

  /** When something that failed is tried again (milliseconds since the epoch). */
  get nextAt(): number | undefined {
    const now = this.#o.clock.now()
    const times = [...this.#retries.values()].flatMap(({ at }) => (at > now ? at : []))
    const fetch = this.fetches.nextRetry
    if (fetch !== undefined) times.push(fetch)
    return times.length > 0 ? Math.min(...times) : undefined
  }

  /** Answers how many steps were done. */
  async carryOut(steps: readonly Step[]): Promise<number> {
    const { base, capabilities, share } = this.#o
    this.stepsLeft = steps.length
    await this.fetches.want(steps.flatMap((step) => (step.do === 'fetch' ? step.entry : [])))
    const wanted: (Step | Install)[] = [
      ...steps.filter(({ do: kind }) => kind !== 'fetch'),
      ...this.fetches.ready(),
    ]
    const nodes = new Set(steps.map((step) => ('entry' in step ? step.entry.node : step.node)))
    for (const node of this.#retries.keys()) if (!nodes.has(node)) this.#retries.delete(node)
    const todo = wanted.filter((step) => this.isDue('entry' in step ? step.entry.node : step.node))
    if (todo.length === 0) return 0
    const { waves } = arrange(todo, base, capabilities)
    const { fs, root, store, history, clock, person } = this.#o
    const failed = new Set<NodeId>()
    const done = await carryOut(waves, {
      share: share.id,
      ...{ fs, root, base, store, history, clock, person, capabilities, temp: this.#o.temp },
      onStale: (action, path) => {
        failed.add(nodeOf(action))
        this.#o.dirt.add(path.join('/'))
        this.#delay(nodeOf(action), path, new FileSystemError('exists', 'something else stands there'))
      },
      // What is in it is nobody else's: not shared, or not to be.
      mayStay: (node) => share.role === 'viewer' || this.#retries.has(node),
      onFolderLeft: (path) => this.#o.watcher?.drop(path, 'now'),
      onFailure: (action, path, error) => {
        failed.add(nodeOf(action))
        this.#stepFailed(action, path, error)
      },
    })
    for (const wave of waves) {
      for (const action of wave) if (!failed.has(nodeOf(action))) this.#retries.delete(nodeOf(action))
    }
    this.stepsLeft = steps.length - done
    return done
  }

  #stepFailed(action: Action, path: readonly string[], error: FileSystemError): void {
    const node = nodeOf(action)
    if (isCode(error, 'not-found', 'exists', 'not-a-folder', 'not-empty')) {
      this.#o.dirt.add(path.join('/'), isCode(error, 'not-empty') ? 'tree' : 'spot')
      for (let i = 1; i < path.length; i++) this.#o.dirt.add(path.slice(0, i).join('/'))
    }
    if (action.do === 'install' && isCode(error, 'not-found', 'io')) this.fetches.failed(node, error)
    this.#delay(node, path, error)
  }

  get failedSteps(): readonly Retry[] {
    return [...this.#retries.values()].filter(({ delay }) => delay > 0)
  }

  isDue(node: NodeId): boolean {
    return (this.#retries.get(node)?.at ?? 0) <= this.#o.clock.now()
  }

  /** The first time it is tried again as soon as somebody has looked; then less and less often. */
  #delay(node: NodeId, path: readonly string[], error: Error): void {
    const before = this.#retries.get(node)
    const delay = before ? Math.min(Math.max(before.delay * 2, RETRY_FIRST), RETRY_MAX) : 0
    this.#retries.set(node, { at: this.#o.clock.now() + delay, delay, path: path.join('/'), error })
    this.fetches.release(node)
  }
}

const nodeOf = (action: Action): NodeId => ('entry' in action ? action.entry.node : action.node)
