/** A share's document over one replica: questions, writing, and the changes of membership. */
import { ProtocolError } from '../errors.ts'
import type { NodeId, UserId } from '../ids.ts'
import type { InvitePayload } from '../invites/payload.ts'
import { type ChangeBody, type SealedChange, sealChange } from '../membership/change.ts'
import * as office from '../membership/office.ts'
import type { MembershipState } from '../membership/state.ts'
import { wrapEpochs } from '../membership/wraps.ts'
import type { SettingsRecord } from '../records/record.ts'
import { type MergedTree, mergeTree } from '../tree/merge.ts'
import { patchTree } from '../tree/patch.ts'
import { oldestFirst } from '../versions/graph.ts'
import { settle } from '../versions/settle.ts'
import { everAt } from './ever-at.ts'
import { createOutbox, introductionOf } from './outbox.ts'
import type { Replica } from './replica.ts'
import type { ShareDocument } from './share.ts'
import { submit } from './submission.ts'
import { rewriteDisplaced, sealRecords } from './writing.ts'

/** Nodes that changed, up to which the tree is patched rather than merged anew. */
const MAX_PATCHED = 256
/** Devices an invite names as places to look for the share. */
const MAX_HINTS = 32

type ShareSettings = Pick<SettingsRecord, 'name' | 'relays'>

export interface DocumentOptions {
  /** What to answer until a settings record is known. */
  readonly settings?: ShareSettings
  /** Signed bytes of an earlier session that may not have reached the document. */
  readonly outbox?: readonly Uint8Array[]
}

export function createDocument(replica: Replica, options: DocumentOptions = {}): ShareDocument {
  const { identity, keyring, facts, ledger } = replica
  const { share, root, adminSeed } = keyring.keys
  const outbox = createOutbox(replica, options.outbox ?? [])
  let merged: MergedTree | undefined
  let mergedAt = -1
  let namedBy = replica.membership

  const mergedNow = (): MergedTree => {
    if (merged && mergedAt === replica.revision) return merged
    // Conflict names hold the names of members.
    const last = namedBy === replica.membership ? merged : undefined
    namedBy = replica.membership
    mergedAt = replica.revision
    const changes = facts.refresh()
    const isSmall = changes !== undefined && changes.length <= MAX_PATCHED
    const patched = last && isSmall ? patchTree(last, changes, replica.personOf) : undefined
    merged = patched ?? mergeTree(facts.nodes(), replica.personOf, last)
    return merged
  }

  const stateNow = (): MembershipState =>
    replica.membership.state ?? {
      share,
      // Nobody's key: the log, which names the owner, has not arrived.
      owner: '' as UserId,
      members: new Map(),
      invites: new Map(),
      epoch: Math.max(0, ...keyring.keys.epochs.keys()),
      rotationDue: false,
      heads: [],
    }

  const officeAt = (at: number): office.Office => {
    const { state } = replica.membership
    if (!adminSeed || !state || replica.role !== 'owner') {
      throw new ProtocolError('forbidden', 'only the owner of the share may do this')
    }
    const { epochs } = keyring.keys
    const lastSeqOf = ledger.lastAcceptedSeq
    return { share, root, adminSeed, epochs, membership: replica.membership, state, at, lastSeqOf }
  }

  /** Into the document where this device may write it, otherwise into the outbox. */
  const publish = (change: SealedChange): Uint8Array => {
    if (replica.role === 'owner' || replica.role === 'editor') replica.insert({ changes: [change.value] })
    else outbox.add(change.value)
    return change.value
  }

  const settings = (): ShareSettings => {
    const { name, relays } = facts.settings ?? options.settings ?? { name: '', relays: [] }
    return { name, relays }
  }

  const document: ShareDocument = {
    id: share,
    doc: replica.doc,
    get keys() {
      return keyring.keys
    },
    get membership() {
      return stateNow()
    },
    get role() {
      return replica.role
    },
    get settings() {
      return settings()
    },
    get placements() {
      return facts.placements
    },
    get fingerprint() {
      return replica.fingerprint
    },
    get outbox() {
      return outbox.values()
    },
    get introduction() {
      return [...introductionOf(replica), ...outbox.changes()]
    },
    tree: () => mergedNow().tree,
    everAt(path) {
      mergedNow()
      return everAt(path, facts.nodes(), facts.node)
    },
    history: (node) => oldestFirst(facts.versionsOf(node)),
    version: (id) => facts.versions.get(id),
    userOf: (device) => replica.membership.userOf(device),
    placedAt: (node) => facts.placeOf(node)?.at ?? 0,

    write(records, at = Date.now()) {
      const batches = sealRecords(replica, records, { at, after: outbox.lastSeq() })
      if (replica.role === 'viewer') for (const { value } of batches) outbox.add(value)
      else replica.insert({ batches })
    },
    settle() {
      const { collisions } = mergedNow()
      return settle({
        conflicts: [...facts.conflicted].flatMap((node) => facts.node(node) ?? []),
        collisions,
        versions: facts.versions,
        isKnown: (node: NodeId) => facts.placeOf(node) !== undefined,
        personOf: replica.personOf,
      })
    },

    invite({ at, ...wanted }): InvitePayload {
      const { change, seed, epochs } = office.makeInvite(officeAt(at), wanted)
      replica.insert({ changes: [change.value] })
      const holders = [...stateNow().members.values()]
        .filter(({ status }) => status === 'active')
        .flatMap(({ devices }) => [...devices.keys()])
        .sort((a, b) => Number(b === identity.deviceId) - Number(a === identity.deviceId))
      return {
        ...{ share, ...settings(), role: wanted.role, seed, change: change.id, root, epochs },
        from: { id: identity.userId, name: identity.name },
        devices: holders.slice(0, MAX_HINTS).map((id) => ({ id, addresses: [] })),
      }
    },
    revokeInvite(invite, at) {
      replica.insert({ changes: [office.revokeInvite(officeAt(at), invite).value] })
      replica.insert({ changes: [office.rotate(officeAt(at)).value] })
    },
    setRole(user, role, at) {
      const now = officeAt(at)
      if (now.state.members.get(user)?.role === role) return
      replica.insert({ changes: [(role === 'editor' ? office.promote : office.demote)(now, user).value] })
    },
    remove(user, at) {
      replica.insert({ changes: [office.removeMember(officeAt(at), user).value] })
    },
    rotate(at) {
      replica.insert({ changes: [office.rotate(officeAt(at)).value] })
    },
    leave(at) {
      if (replica.role === undefined) throw new ProtocolError('forbidden', 'not a member of the share')
      if (replica.role === 'owner') throw new ProtocolError('forbidden', 'the owner cannot leave his share')
      const body: ChangeBody = {
        kind: 'leave',
        share,
        at,
        prev: [...stateNow().heads],
        user: identity.userId,
      }
      return publish(sealChange(root, body, [identity.user.seed]))
    },
    addDevice(at) {
      const { state } = replica.membership
      const member = state?.members.get(identity.userId)
      if (!state || member?.status !== 'active')
        throw new ProtocolError('forbidden', 'not a member of the share')
      const { certificate } = identity
      const wrap = wrapEpochs(certificate.agreementKey, share, keyring.keys.epochs, member.role !== 'viewer')
      const change = sealChange(
        root,
        {
          ...{ kind: 'device', share, at, prev: [...state.heads], user: identity.userId, certificate },
          wraps: wrap ? [[identity.deviceId, wrap]] : [],
        },
        [identity.user.seed, identity.device.seed],
      )
      if (member.role === 'viewer') outbox.add(change.value)
      else replica.insert({ changes: [change.value] })
      return change.value
    },
    submit: (signed) => submit(replica, signed),

    onChange: (listener) => replica.onChange(listener),
    close: () => replica.close(),
    [Symbol.dispose]() {
      document.close()
    },
  }
  rewriteDisplaced(replica, (records) => document.write(records))
  return document
}
