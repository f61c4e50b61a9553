/** The middle of a round: what the placement has to say is planned, and written into the share and the base. */
import { type NodeId, ProtocolError, versionId } from '@cofolder/protocol'
import { type BaseEntry, type BaseParent, PARKED } from './base.ts'
import type { LocalTree } from './match.ts'
import type { EngineParts } from './parts.ts'
import { type Agreement, type Plan, type Policy, plan, type Remote } from './plan.ts'

/** Plans made in one round until nothing is left to agree on; each but the last tells the share something. */
const MAX_PLANS = 20
/** Pause before what the share did not take is looked at again. Milliseconds. */
const WRITE_RETRY = 5_000

export class Telling {
  readonly #o: EngineParts

  constructor(parts: EngineParts) {
    this.#o = parts
  }

  /** The local tree in which only those deletes are left that may be told now. */
  judge(local: LocalTree): LocalTree {
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
    const { release, lookAgainAt } = this.#o.guard.judge(gone, base.files, clock.now())
    const known = new Map(local.known)
    for (const node of missing) {
      if (release.has(node)) continue
      known.set(node, { state: 'busy' })
      const path = lookAgainAt !== undefined && base.pathOf(node)
      if (path && lookAgainAt !== undefined) this.#o.dirt.addLater(path.join('/'), lookAgainAt, true)
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
  async agree(local: LocalTree): Promise<Plan> {
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
        this.#o.problems.set(agreement.after?.name ?? agreement.node, error)
        this.#o.dirt.addLater('', clock.now() + WRITE_RETRY, false)
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
}

/** What the base says once it is carried out; undefined when it forgets the node. */
function afterOf(agreement: Agreement): BaseEntry | undefined {
  if (agreement.do === 'publish') return agreement.after
  return agreement.do === 'forget' ? undefined : agreement.entry
}
