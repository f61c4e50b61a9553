/** Small trees made of numbers, for the laws of planning and arranging. */
import {
  type NodeId,
  ROOT_NODE,
  type ShareTree,
  type TreeEntry,
  toBase64url,
  versionId,
} from '@cofolder/protocol'
import type * as fc from 'fast-check'
import { type BaseEntry, BaseTree, type LiveContent, type Stamp } from '../base.ts'

/** One node: what it holds, where it hangs (an index into the list, or -1 for the root) and its name. */
export interface Twig {
  readonly node: NodeId
  parent: number
  name: string
  content: LiveContent
  dead: boolean
}

export const nodeId = (n: number): NodeId =>
  toBase64url(Uint8Array.from({ length: 16 }, (_, i) => (i < 4 ? (n >> (i * 8)) & 255 : 7))) as NodeId

export const fileOf = (n: number, executable = false): LiveContent => {
  const sha256 = new Uint8Array(32).fill(n & 255)
  return { kind: 'file', size: n + 1, mtime: n, executable, sha256, segments: [] }
}

export const stampFor = (n: number): Stamp => {
  const time = String(n)
  return { size: n, mtimeMs: n, mtime: time, ctime: time, inode: time, birth: '0', mode: 0o644 }
}

/** A seed per change: which node, what is done to it, with what. */
export type Change = readonly [node: number, what: number, other: number, name: number]

const NAMES = ['a', 'b', 'c', 'd']

export function changes(check: typeof fc, max: number): fc.Arbitrary<Change[]> {
  const number = check.nat({ max: 200 })
  return check.array(check.tuple(number, number, number, number), { maxLength: max })
}

/** Carries out changes that make sense and leaves out the others. */
export function grown(twigs: readonly Twig[], steps: readonly Change[], base: number): Twig[] {
  const out = twigs.map((twig) => ({ ...twig }))
  steps.forEach(([n, what, other, name], i) => {
    const twig = out[n % Math.max(out.length, 1)]
    const folder = folderAt(out, other)
    const text = NAMES[name % NAMES.length] ?? 'a'
    switch (what % 6) {
      case 0:
      case 1:
        if (isFree(out, folder, text)) {
          const content: LiveContent =
            what % 12 < 6
              ? { kind: 'folder' }
              : name % 7 === 0
                ? { kind: 'symlink', target: text }
                : fileOf(base + i)
          out.push({ node: nodeId(base + i), parent: folder, name: text, content, dead: false })
        }
        break
      case 2:
      case 3:
        if (twig && !twig.dead && isFree(out, folder, text) && !isWithin(out, folder, out.indexOf(twig))) {
          twig.parent = folder
          twig.name = text
        }
        break
      case 4:
        if (twig?.content.kind === 'file') twig.content = fileOf(base + i, name % 2 === 0)
        break
      case 5:
        if (twig) kill(out, out.indexOf(twig))
    }
  })
  return out
}

/** A pair of trees may be swapped and turned inside out: rings of names are what is hard. */
export function swapped(twigs: readonly Twig[], pairs: readonly Change[]): Twig[] {
  const out = twigs.map((twig) => ({ ...twig }))
  for (const [a, , b] of pairs) {
    const [one, other] = [out[a % Math.max(out.length, 1)], out[b % Math.max(out.length, 1)]]
    if (!one || !other || one === other || one.dead || other.dead) continue
    const [i, j] = [out.indexOf(one), out.indexOf(other)]
    if (isWithin(out, one.parent, j) || isWithin(out, other.parent, i)) continue
    const [parent, name] = [one.parent, one.name]
    one.parent = other.parent
    one.name = other.name
    other.parent = parent
    other.name = name
  }
  return out
}

export function treeOf(twigs: readonly Twig[]): ShareTree {
  const byPath = new Map<string, TreeEntry>()
  const byNode = new Map<NodeId, TreeEntry>()
  twigs.forEach((twig, i) => {
    if (twig.dead) return
    const { node, content, name } = twig
    const essentials = { node, parents: [], content }
    const head = {
      type: 'version' as const,
      id: versionId(essentials),
      ...essentials,
      at: 1,
      author: '' as never,
    }
    const parent = twigs[twig.parent]?.node ?? ROOT_NODE
    const entry: TreeEntry = {
      ...{ node, kind: content.kind, parent, name, path: pathOf(twigs, i), placedAt: 1, head },
      heads: [head.id],
      aliases: [],
    }
    byPath.set(entry.path, entry)
    byNode.set(node, entry)
  })
  return { byPath, byNode }
}

export function baseOf(twigs: readonly Twig[]): BaseTree {
  const base = new BaseTree()
  for (const { node, parent, name, path, head, placedAt } of treeOf(twigs).byPath.values()) {
    if (head.content.kind === 'deleted') continue
    const stamp = stampFor([...path].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) % 1e9, 7))
    const entry: BaseEntry = {
      ...{ node, parent, name, local: name, placedAt, version: head.id, parents: [], content: head.content },
      stamp: { ...stamp, inode: node },
    }
    base.set(entry)
  }
  return base
}

const folderAt = (twigs: readonly Twig[], n: number): number => {
  const folders = twigs.flatMap(({ content, dead }, i) => (content.kind === 'folder' && !dead ? [i] : []))
  return folders[n % (folders.length + 1)] ?? -1
}
const isFree = (twigs: readonly Twig[], parent: number, name: string): boolean =>
  !twigs.some((twig) => !twig.dead && twig.parent === parent && twig.name === name)
const isWithin = (twigs: readonly Twig[], at: number, folder: number): boolean =>
  at !== -1 && (at === folder || isWithin(twigs, twigs[at]?.parent ?? -1, folder))
function kill(twigs: readonly Twig[], i: number): void {
  const twig = twigs[i]
  if (!twig || twig.dead) return
  twig.dead = true
  twigs.forEach((child, j) => {
    if (child.parent === i) kill(twigs, j)
  })
}
function pathOf(twigs: readonly Twig[], i: number): string {
  const twig = twigs[i]
  if (!twig) return ''
  return twig.parent === -1 ? twig.name : `${pathOf(twigs, twig.parent)}/${twig.name}`
}
