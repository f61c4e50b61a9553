/**
 * One replica of a share: what the Y.Doc holds, opened, judged and folded. Follows the document; changes it only
 * by adding entries and putting back what was taken out.
 */
import type * as Y from 'yjs'
import { crypto } from '#crypto'
import { toBase64url, utf8 } from '../bytes.ts'
import { ProtocolError } from '../errors.ts'
import type { Identity } from '../identity/identity.ts'
import type { ChangeId, DeviceId } from '../ids.ts'
import { MAX_BATCH_BYTES, MAX_CHANGE_BYTES } from '../limits.ts'
import { type MembershipChange, openChange } from '../membership/change.ts'
import { foldMembership, type Membership } from '../membership/fold.ts'
import type { Role } from '../membership/state.ts'
import type { OpenBatch } from '../records/batch.ts'
import { createRecordFacts, type RecordFacts } from '../records/facts.ts'
import { type AcceptedBatch, createLedger, type Ledger } from '../records/ledger.ts'
import { type Entries, openEntries } from './entries.ts'
import { createKeyring, type Keyring } from './keyring.ts'
import type { ShareKeys } from './keys.ts'
import type { ShareChange } from './share.ts'

const DIGEST_LENGTH = 16

export interface Replica {
  readonly doc: Y.Doc
  readonly identity: Identity
  readonly keyring: Keyring
  readonly ledger: Ledger
  readonly facts: RecordFacts
  readonly changes: Entries
  readonly batches: Entries
  readonly log: ReadonlyMap<ChangeId, MembershipChange>
  readonly membership: Membership
  /** This user's role now. */
  readonly role: Role | undefined
  /** Grows whenever something that the answers depend on changed. */
  readonly revision: number
  readonly fingerprint: string
  personOf(device: DeviceId): string
  /** Adds values to the document in one transaction and takes them in. */
  insert(values: { changes?: readonly Uint8Array[]; batches?: readonly InsertedBatch[] }): void
  onChange(listener: (change: ShareChange) => void): () => void
  /** Tells when two batches have one sequence number, so that one of them does not count. */
  onContest(listener: () => void): void
  close(): void
}

export interface InsertedBatch {
  readonly batch: OpenBatch
  readonly value: Uint8Array
}

export function openReplica(identity: Identity, keys: ShareKeys, doc: Y.Doc): Replica {
  const { share, root } = keys
  const changes = openEntries(doc, 'changes', MAX_CHANGE_BYTES)
  const batches = openEntries(doc, 'batches', MAX_BATCH_BYTES)
  const keyring = createKeyring(identity, keys)
  const ledger = createLedger(share)
  const facts = createRecordFacts()
  const log = new Map<ChangeId, MembershipChange>()
  const listeners = new Set<(change: ShareChange) => void>()
  const contestListeners = new Set<() => void>()
  const batchDigest = createDigest('batch')
  const ownWrite = Symbol('own write')
  let membership = foldMembership(share, log)
  let revision = 0

  const takeChanges = (keys: Iterable<string>): boolean => {
    let grown = false
    for (const { id, value } of changes.take(keys)) {
      try {
        const change = openChange(root, share, value)
        log.set(change.id, change)
        changes.guard(id)
        grown = true
      } catch (error) {
        // Bytes that are no change of this share are not ours to mind.
        if (!(error instanceof ProtocolError)) throw error
      }
    }
    return grown
  }

  const judge = (): { added: readonly AcceptedBatch[]; withdrawn: boolean; contested: boolean } => {
    const { added, removed, contested } = ledger.judge(membership)
    for (const { id } of added) batches.guard(id)
    for (const id of removed) batches.release(id)
    if (removed.length > 0) {
      facts.clear()
      batchDigest.clear()
    }
    for (const { id, records } of removed.length > 0 ? ledger.accepted.values() : added) {
      facts.add(records)
      batchDigest.add(id)
    }
    return { added, withdrawn: removed.length > 0, contested }
  }

  /** Takes in what stands under these keys; tells the listeners when that made a difference. */
  const absorb = (keys: { changes: Iterable<string>; batches: Iterable<string> }, local: boolean): void => {
    const grown = takeChanges(keys.changes)
    if (grown) membership = foldMembership(share, log)
    const learnt = grown && keyring.learn(membership)
    for (const { value } of batches.take(keys.batches)) ledger.take(value, keyring.batchKeys)
    if (learnt) ledger.unlock(keyring.batchKeys)
    const { added, withdrawn, contested } = judge()
    if (grown || withdrawn || added.length > 0) {
      revision++
      const change = { local, batches: added, withdrawn, membership: grown, keys: learnt }
      for (const listener of [...listeners]) listener(change)
    }
    if (contested) for (const listener of [...contestListeners]) listener()
  }

  const roleNow = (): Role | undefined => {
    const member = membership.state?.members.get(identity.userId)
    return member?.status === 'active' && member.devices.has(identity.deviceId) ? member.role : undefined
  }
  const mayWrite = () => roleNow() === 'owner' || roleNow() === 'editor'

  const onTransaction = (transaction: Y.Transaction) => {
    const changed = { changes: changes.touched(), batches: batches.touched() }
    try {
      absorb(changed, transaction.origin === ownWrite)
    } finally {
      // What a viewer puts back nobody would take from him; those who may write put it back for all.
      if (mayWrite()) {
        changes.restore(ownWrite)
        batches.restore(ownWrite)
      }
    }
  }

  absorb({ changes: changes.touched(), batches: batches.touched() }, false)
  doc.on('afterTransaction', onTransaction)

  return {
    doc,
    identity,
    keyring,
    ledger,
    facts,
    changes,
    batches,
    log,
    get membership() {
      return membership
    },
    get role() {
      return roleNow()
    },
    get revision() {
      return revision
    },
    get fingerprint() {
      const digest = createDigest('change')
      for (const { id } of membership.accepted) digest.add(id)
      return toBase64url(digest.with(batchDigest.bytes))
    },
    personOf(device) {
      const user = membership.userOf(device)
      return (user && membership.state?.members.get(user)?.name) ?? ''
    },
    insert(values) {
      const ids = { changes: [] as string[], batches: [] as string[] }
      doc.transact(() => {
        for (const value of values.changes ?? []) ids.changes.push(changes.put(value))
        for (const { batch, value } of values.batches ?? []) {
          ledger.adopt(batch)
          ids.batches.push(batches.put(value))
        }
      }, ownWrite)
      // Inside somebody's observer Yjs reports our transaction only after his; the caller wants it in at once.
      absorb(ids, true)
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    onContest: (listener) => contestListeners.add(listener),
    close() {
      doc.off('afterTransaction', onTransaction)
      listeners.clear()
      contestListeners.clear()
      doc.destroy()
    },
  }
}

/** Digest of a set of ids: the order in which they came does not show. */
function createDigest(kind: string) {
  const bytes = new Uint8Array(DIGEST_LENGTH)
  const mix = (other: Uint8Array) => {
    for (let i = 0; i < DIGEST_LENGTH; i++) bytes[i] = (bytes[i] ?? 0) ^ (other[i] ?? 0)
  }
  return {
    bytes,
    add: (id: string) => mix(crypto.sha256(utf8(`${kind}\0${id}`))),
    with(other: Uint8Array): Uint8Array {
      mix(other)
      return bytes
    },
    clear: () => bytes.fill(0),
  }
}
