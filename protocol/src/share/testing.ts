/** People, records and connections for the tests of shares. */
import * as Y from 'yjs'
import { crypto } from '#crypto'
import { toBase64url, utf8 } from '../bytes.ts'
import { ProtocolError } from '../errors.ts'
import { createIdentity, type Identity, identityFromKeys } from '../identity/identity.ts'
import { type NodeId, ROOT_NODE, type VersionId } from '../ids.ts'
import type { Content, PlaceRecord, VersionRecord } from '../records/record.ts'
import { versionId } from '../versions/id.ts'
import { createShare, joinShare } from './open.ts'
import type { ShareDocument } from './share.ts'

export interface Replica {
  readonly identity: Identity
  readonly share: ShareDocument
}

/** A moment all clocks of the tests start from: 2024-05-05 in UTC. */
export const DAY = Date.UTC(2024, 4, 5)

export const person = (name: string): Identity =>
  createIdentity({ name, deviceName: `${name}'s pc`, at: DAY })

/** Another device of somebody. */
export const deviceOf = ({ user, name }: Identity): Identity =>
  identityFromKeys({ user, name, device: { seed: crypto.randomBytes(32) }, deviceName: 'phone', at: DAY })

/** A share of Alice's with somebody in each of the roles. */
export function household(): { alice: Replica; bob: Replica; vera: Replica; all: Replica[] } {
  const alice = ownerOf(person('Alice'))
  const bob = invited(alice, person('Bob'), 'editor')
  const vera = invited(alice, person('Vera'), 'viewer')
  const all = [alice, bob, vera]
  connect(all)
  return { alice, bob, vera, all }
}

export const ownerOf = (identity: Identity): Replica => ({
  identity,
  share: createShare(identity, { name: 'Papers', relays: ['https://relay.example'], at: DAY }),
})

/** Somebody who accepted an invite but has not met anybody since. */
export function invited(owner: Replica, identity: Identity, role: 'editor' | 'viewer'): Replica {
  const payload = owner.share.invite({ role, for: identity.userId, at: DAY })
  return { identity, share: joinShare(identity, payload, { at: DAY }) }
}

export function close(replicas: readonly Replica[]): void {
  for (const { share } of replicas) share.close()
}

/** What a node does with what another sends: submissions are checked, a viewer's updates are not taken. */
export function deliver(from: Replica, to: Replica): void {
  for (const signed of [...from.share.introduction, ...from.share.outbox]) {
    try {
      to.share.submit(signed)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
    }
  }
  const { members } = to.share.membership
  const sender = members.get(from.identity.userId)
  const mayWrite = sender?.status === 'active' && sender.role !== 'viewer'
  if (members.size > 0 && !mayWrite) return
  copyState(from.share.doc, to.share.doc)
}

/** Everything of one document into another, whoever it is from. */
export function copyState(from: Y.Doc, to: Y.Doc): void {
  Y.applyUpdate(to, Y.encodeStateAsUpdate(from, Y.encodeStateVector(to)))
}

/** Everybody hears from everybody until nobody learns anything new. */
export function connect(replicas: readonly Replica[]): void {
  for (let round = 0; round < 4; round++) {
    for (const from of replicas) for (const to of replicas) if (from !== to) deliver(from, to)
  }
}

export const newNode = (): NodeId => toBase64url(crypto.randomBytes(16)) as NodeId

export function place(
  node: NodeId,
  name: string,
  { parent = ROOT_NODE, at = DAY, kind = 'file' }: Partial<Pick<PlaceRecord, 'parent' | 'at' | 'kind'>> = {},
): PlaceRecord {
  return { type: 'place', node, kind, parent, name, at }
}

export function version(
  node: NodeId,
  content: Content,
  { parents = [], at = DAY }: { readonly parents?: VersionId[]; readonly at?: number } = {},
): VersionRecord {
  const essentials = { node, parents, content }
  return { type: 'version', id: versionId(essentials), ...essentials, at }
}

export const text = (words: string, mtime = DAY): Content => {
  const bytes = utf8(words)
  const sha256 = crypto.sha256(bytes)
  return { kind: 'file', size: bytes.length, mtime, executable: false, sha256, segments: [] }
}

/** A new file; answers its node. */
export function addFile(
  { share }: Replica,
  name: string,
  words: string,
  { at = DAY, parent = ROOT_NODE }: { readonly at?: number; readonly parent?: NodeId } = {},
): NodeId {
  const node = newNode()
  share.write([place(node, name, { at, parent }), version(node, text(words, at), { at })], at)
  return node
}

export function addFolder(
  { share }: Replica,
  name: string,
  { at = DAY, parent = ROOT_NODE }: { readonly at?: number; readonly parent?: NodeId } = {},
): NodeId {
  const node = newNode()
  share.write(
    [place(node, name, { at, parent, kind: 'folder' }), version(node, { kind: 'folder' }, { at })],
    at,
  )
  return node
}

/** A new version on top of all heads. */
export function edit({ share }: Replica, node: NodeId, words: string, at = DAY): void {
  const entry = share.tree().byNode.get(node)
  if (entry) share.write([version(node, text(words, at), { parents: [...entry.heads], at })], at)
}

export function move(
  { share }: Replica,
  node: NodeId,
  name: string,
  parent: NodeId = ROOT_NODE,
  at = DAY,
): void {
  const entry = share.tree().byNode.get(node)
  if (!entry) return
  const then = Math.max(at, share.placedAt(node) + 1)
  share.write([place(node, name, { parent, at: then, kind: entry.kind })], at)
}

export function erase({ share }: Replica, node: NodeId, at = DAY): void {
  const entry = share.tree().byNode.get(node)
  if (!entry) return
  const gone: Content = { kind: 'deleted', place: share.placedAt(node) }
  share.write([version(node, gone, { parents: [...entry.heads], at })], at)
}

export const paths = ({ share }: Replica): string[] => [...share.tree().byPath.keys()].sort()

/** What a replica shows of a share, in a form that can be compared. */
export function picture({ share }: Replica): unknown {
  const { membership } = share
  return {
    fingerprint: share.fingerprint,
    tree: [...share.tree().byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
    members: [...membership.members.values()].sort((a, b) => (a.user < b.user ? -1 : 1)),
    invites: [...membership.invites.keys()].sort(),
    epoch: membership.epoch,
    rotationDue: membership.rotationDue,
    settings: share.settings,
    placements: [...share.placements].sort(([a], [b]) => (a < b ? -1 : 1)),
  }
}
