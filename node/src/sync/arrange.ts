/**
 * The order in which the steps of a plan can be carried out, in waves of steps that do not depend on each other:
 * folders before what goes into them, a name freed before it is used, rings of names broken by parking one of them,
 * a folder removed when it is empty. Pure: works on a model of the base.
 */
import { type NodeId, ROOT_NODE, type TreeEntry } from '@cofolder/protocol'
import { type BaseParent, type BaseTree, PARKED, type Stamp } from './base.ts'
import type { Capabilities } from './file-system.ts'
import { localName, otherLocalName, slotOf } from './names.ts'
import type { Step } from './plan.ts'

/** A fetched file waits in our folder under `temp`. */
export interface Install {
  readonly do: 'install'
  readonly entry: TreeEntry
  readonly temp: string
}

export type Action =
  | { readonly do: 'make-folder'; readonly entry: TreeEntry; readonly to: Spot }
  | { readonly do: 'make-link'; readonly entry: TreeEntry; readonly to: Spot }
  | { readonly do: 'move'; readonly entry: TreeEntry; readonly to: Spot }
  | { readonly do: 'install'; readonly entry: TreeEntry; readonly temp: string; readonly to: Spot }
  | { readonly do: 'set-executable'; readonly entry: TreeEntry }
  | { readonly do: 'remove'; readonly node: NodeId }
  | { readonly do: 'park'; readonly node: NodeId }
  | {
      readonly do: 'set-aside'
      readonly node: NodeId
      readonly parent: NodeId
      readonly local: string
      readonly stamp: Stamp
    }

/** A name in a folder of the placement. */
export interface Spot {
  readonly parent: NodeId
  readonly local: string
}

export interface Arrangement {
  readonly waves: readonly (readonly Action[])[]
  /** What cannot be done because something that stays is in the way, or the folder it goes to is not there. */
  readonly blocked: readonly (Step | Install)[]
}

type Pending = Exclude<Step, { do: 'fetch' }> | Install

export function arrange(
  steps: readonly (Step | Install)[],
  base: BaseTree,
  capabilities: Capabilities,
): Arrangement {
  const model = new Model(base, capabilities)
  const waves: (readonly Action[])[] = []
  const parked = new Set<NodeId>()
  let pending: Pending[] = steps.filter((step) => step.do !== 'fetch')
  while (pending.length > 0) {
    const leaving = new Set(
      pending.flatMap((step) => (step.do === 'move' || step.do === 'remove' ? nodeOf(step) : [])),
    )
    const { wave, rest } = nextWave(pending, model, leaving)
    if (wave.length === 0) {
      const inTheWay = model.inTheWay(rest)
      const park = rest.find(
        (step) => step.do === 'move' && !parked.has(nodeOf(step)) && inTheWay.has(nodeOf(step)),
      )
      if (!park) break
      parked.add(nodeOf(park))
      wave.push({ do: 'park', node: nodeOf(park) })
    }
    for (const action of wave) model.apply(action)
    waves.push(wave)
    pending = rest
  }
  return { waves, blocked: pending }
}

const nodeOf = (step: Pending): NodeId => ('entry' in step ? step.entry.node : step.node)

/** What can be done now, all at once. A folder is moved alone: it changes the paths of everything in it. */
function nextWave(
  pending: readonly Pending[],
  model: Model,
  leaving: ReadonlySet<NodeId>,
): { wave: Action[]; rest: Pending[] } {
  const wave: Action[] = []
  const rest: Pending[] = []
  const busy = new Set<NodeId>()
  const slots = new Set<string>()
  let alone = false
  for (const step of pending) {
    const node = nodeOf(step)
    const action = alone || busy.has(node) ? undefined : model.ready(step, leaving)
    const slot = action && 'to' in action ? model.slotKey(action.to) : undefined
    const movesFolder = action?.do === 'move' && model.isFolder(node)
    if (!action || (slot !== undefined && slots.has(slot)) || (movesFolder && wave.length > 0)) {
      rest.push(step)
      continue
    }
    wave.push(action)
    busy.add(node)
    if (slot !== undefined) slots.add(slot)
    if (movesFolder) alone = true
  }
  return { wave, rest }
}

/** Who stands where while the waves are carried out. */
class Model {
  readonly #base: BaseTree
  readonly #capabilities: Capabilities
  readonly #moved = new Map<NodeId, { readonly parent: BaseParent; readonly local: string } | undefined>()
  readonly #folders = new Map<BaseParent, Map<string, NodeId>>()
  readonly #made = new Set<NodeId>()

  constructor(base: BaseTree, capabilities: Capabilities) {
    this.#base = base
    this.#capabilities = capabilities
  }

  slotKey({ parent, local }: Spot): string {
    return `${parent}/${slotOf(local, this.#capabilities)}`
  }

  isFolder(node: NodeId): boolean {
    return node === ROOT_NODE || this.#made.has(node) || this.#base.get(node)?.content.kind === 'folder'
  }

  /** The action for a step if it can be carried out now. */
  ready(step: Pending, leaving: ReadonlySet<NodeId>): Action | undefined {
    switch (step.do) {
      case 'set-aside':
        return step
      case 'set-executable':
        return this.#where(step.entry.node) ? { do: 'set-executable', entry: step.entry } : undefined
      case 'remove': {
        const ready = !this.isFolder(step.node) || this.#slots(step.node).size === 0
        return ready ? { do: 'remove', node: step.node } : undefined
      }
      case 'move': {
        const to = this.#spotFor(step.entry, leaving)
        return to && !this.#isWithin(to.parent, step.entry.node)
          ? { do: 'move', entry: step.entry, to }
          : undefined
      }
      case 'install':
      case 'make-link': {
        // Content is replaced where the file is, wherever it will go.
        const here = this.#where(step.entry.node)
        if (here?.parent === PARKED) return undefined
        const to = here ? { parent: here.parent, local: here.local } : this.#spotFor(step.entry, leaving)
        if (!to) return undefined
        return step.do === 'install' ? { ...step, to } : { do: 'make-link', entry: step.entry, to }
      }
      case 'make-folder': {
        const to = this.#spotFor(step.entry, leaving)
        return to && { do: 'make-folder', entry: step.entry, to }
      }
    }
  }

  /**
   * The nodes that keep blocked steps from their places: they hold the name, are still in a folder that is to go, or lie
   * between a folder and where it goes.
   */
  inTheWay(blocked: readonly Pending[]): ReadonlySet<NodeId> {
    const found = new Set<NodeId>()
    for (const step of blocked) {
      // A folder cannot go before what is still in it, though that may want the folder's name.
      if (step.do === 'remove') for (const node of this.#slots(step.node).values()) found.add(node)
      if (!('entry' in step)) continue
      const { node, parent } = step.entry
      const holder = this.#holder(parent, this.#wanted(step.entry))
      if (holder !== undefined && holder !== node) found.add(holder)
      if (!this.#isWithin(parent, node)) continue
      for (
        let at: BaseParent | undefined = parent;
        at && at !== node && at !== PARKED;
        at = this.#where(at)?.parent
      ) {
        found.add(at)
      }
    }
    return found
  }

  apply(action: Action): void {
    if (action.do === 'make-folder') this.#made.add(action.entry.node)
    if (action.do === 'park') this.#put(action.node, { parent: PARKED, local: action.node })
    else if ('to' in action) this.#put(action.entry.node, action.to)
    else if (action.do !== 'set-executable') this.#put(action.node, undefined)
  }

  #where(node: NodeId): { readonly parent: BaseParent; readonly local: string } | undefined {
    if (this.#moved.has(node)) return this.#moved.get(node)
    return this.#base.get(node)
  }

  #slots(parent: BaseParent): Map<string, NodeId> {
    let slots = this.#folders.get(parent)
    if (!slots) {
      slots = new Map()
      for (const [local, node] of this.#base.children(parent))
        slots.set(slotOf(local, this.#capabilities), node)
      this.#folders.set(parent, slots)
    }
    return slots
  }

  #put(node: NodeId, to: { readonly parent: BaseParent; readonly local: string } | undefined): void {
    const from = this.#where(node)
    if (from) this.#slots(from.parent).delete(slotOf(from.local, this.#capabilities))
    this.#moved.set(node, to)
    if (to) this.#slots(to.parent).set(slotOf(to.local, this.#capabilities), node)
  }

  #wanted(entry: TreeEntry): string {
    const known = this.#base.get(entry.node)
    if (known?.name === entry.name) return known.local
    return localName(entry.name, this.#capabilities, entry.parent === ROOT_NODE)
  }

  /** Where the entry can go now; undefined while its folder is missing or its name is taken. */
  #spotFor(entry: TreeEntry, leaving: ReadonlySet<NodeId>): Spot | undefined {
    const { parent, node, name } = entry
    const folder = this.#where(parent)
    if (parent !== ROOT_NODE && (!folder || folder.parent === PARKED || !this.isFolder(parent)))
      return undefined
    const first = this.#wanted(entry)
    const holder = this.#holder(parent, first)
    if (!holder || holder === node) return { parent, local: first }
    // Taken for good by a name that differs in case only: another name serves.
    const isCaseTwin = !leaving.has(holder) && this.#where(holder)?.local !== first
    if (this.#capabilities.caseSensitive || !isCaseTwin) return undefined
    const local = otherLocalName(name, node, this.#capabilities)
    const other = this.#holder(parent, local)
    return !other || other === node ? { parent, local } : undefined
  }

  #holder(parent: BaseParent, local: string): NodeId | undefined {
    return this.#slots(parent).get(slotOf(local, this.#capabilities))
  }

  #isWithin(node: BaseParent, folder: NodeId): boolean {
    let at: BaseParent | undefined = node
    for (let depth = 0; at && at !== ROOT_NODE && at !== PARKED && depth < 5000; depth++) {
      if (at === folder) return true
      at = this.#where(at)?.parent
    }
    return false
  }
}
