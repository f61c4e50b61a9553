/** The first half of a round: what has changed in the folder, and what the changed files contain. */
import { randomBytes } from 'node:crypto'
import { type NodeId, toBase64url } from '@cofolder/protocol'
import { type BaseTree, PARKED, parkedName } from './base.ts'
import { Contents, type Unknown } from './contents.ts'
import { statIfThere } from './file-system.ts'
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
import type { EngineParts } from './parts.ts'

const NODE_ID_BYTES = 16
/** Files that seem gone and are looked at again with every look. */
const MAX_GONE_LOOKS = 1000

type Unread = (Extract<Finding, { state: 'present' }> | Fresh) & { readonly node: NodeId }

export class Looking {
  readonly #o: EngineParts
  readonly #contents: Contents

  constructor(parts: EngineParts) {
    this.#o = parts
    const { share, fs, root, clock, content, dirt, wake } = parts
    this.#contents = new Contents({
      share: share.id,
      ...{ fs, root, clock, content },
      lookAgain: (path, at) => {
        dirt.addLater(path, at, true)
        wake()
      },
      onProblem: (path, error) => this.#cannotRead(path, error),
    })
  }

  /** Files that are being hashed beside everything else. */
  get hashing(): number {
    return this.#contents.running
  }

  close(): Promise<void> {
    return this.#contents.close()
  }

  /** Looks at all that is due, and says how it differs from the base. */
  async look(): Promise<LocalTree> {
    const { fs, root, base, capabilities, watcher, clock } = this.#o
    const paths = this.#o.dirt.take(clock.now())
    if (paths !== 'everything' && paths.size === 0) return NO_DIFFERENCES
    watcher?.beginLook()
    const options: LookOptions = {
      ...{ fs, root, base, caseSensitive: capabilities.caseSensitive },
      onFolder: (path) => watcher?.add(path),
      isWatched: (path) => watcher?.has(path) ?? true,
      onProblem: (path, error) => this.#o.problems.set(path.join('/'), error),
      onVanished: (path) => this.#o.dirt.addLater(path.join('/'), clock.now() + RETRY_FIRST, true, 'tree'),
    }
    let seen: Awaited<ReturnType<typeof lookAt>>
    if (paths === 'everything') {
      await this.#lookAtParked()
      this.#o.problems.clear()
      watcher?.beginAll()
      seen = await lookAtAll(options)
      watcher?.endAll()
    } else {
      seen = await lookAt(options, this.#withGone(paths))
    }
    const { executable } = capabilities
    const matched = matchWithBase(base, seen, { executable, newNode })
    for (const node of [...this.#o.guard.waiting()]) {
      if (matched.seen.has(node) || !base.get(node)) this.#o.guard.isBack(node)
    }
    return matched
  }

  /** What somebody took out of our own folder is fetched again. */
  async #lookAtParked(): Promise<void> {
    const { base, fs, store } = this.#o
    for (const node of [...base.children(PARKED).values()]) {
      if (await statIfThere(fs, `${this.#o.temp.path}/${parkedName(node)}`)) continue
      const gone = [...withDescendants(base, node)]
      await store.commit({ del: gone })
      for (const one of gone) base.delete(one)
    }
  }

  /** Also looks at what seemed gone a moment ago: what turned up since may be it. And closer at what could not be seen. */
  #withGone(paths: ReadonlyMap<string, Depth>): ReadonlyMap<string, Depth> {
    const all = new Map<string, Depth>()
    for (const [path, depth] of paths) all.set(path, this.#o.problems.forget(path) ? 'tree' : depth)
    let room = MAX_GONE_LOOKS
    for (const node of this.#o.guard.waiting()) {
      if (room-- === 0) break
      const path = this.#o.base.pathOf(node)?.join('/')
      if (path && !all.has(path)) all.set(path, 'spot')
    }
    return all
  }

  /** The next files to be read, and whether there will be more after them. */
  nextWave(local: LocalTree): { readonly wave: readonly Unread[]; readonly rest: boolean } {
    const wave: Unread[] = []
    for (const item of unreadOf(local)) {
      if (wave.length === DIGEST_WAVE) return { wave, rest: true }
      wave.push(item)
    }
    return { wave, rest: false }
  }

  /** The local tree with the contents of some files; those that are not settled or not readable are left alone. */
  async readWave(local: LocalTree, wave: readonly Unread[]): Promise<LocalTree> {
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
    this.#o.problems.set(path, error)
    this.#o.dirt.addLater(path, this.#o.clock.now() + RETRY_MAX, false)
  }
}

const newNode = (): NodeId => toBase64url(randomBytes(NODE_ID_BYTES)) as NodeId

function* unreadOf(local: LocalTree): Iterable<Unread> {
  for (const [node, finding] of local.known) {
    if (finding.state === 'present' && finding.content === 'unknown') yield { ...finding, node }
  }
  for (const item of local.fresh) if (item.content === 'unknown' && !item.busy) yield item
}

function* withDescendants(base: BaseTree, node: NodeId): Iterable<NodeId> {
  yield node
  for (const child of base.children(node).values()) yield* withDescendants(base, child)
}
