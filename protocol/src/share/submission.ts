/** Letting in what a member signed but may not write into the document himself. */
import { ProtocolError } from '../errors.ts'
import { changeIdOf, openChange } from '../membership/change.ts'
import { foldMembership } from '../membership/fold.ts'
import { batchIdOf, openBatch, readSealedBatch } from '../records/batch.ts'
import { mayWrite } from '../records/ledger.ts'
import type { Replica } from './replica.ts'

const SUBMITTED_KINDS: ReadonlySet<string> = new Set(['join', 'leave', 'device'])

/** Inserts a submitted change or batch. @throws ProtocolError when it is not one that may be submitted, or is not valid. */
export function submit(replica: Replica, signed: Uint8Array): void {
  if (replica.role !== 'owner' && replica.role !== 'editor') {
    throw new ProtocolError('forbidden', 'only an editor can let others into the document')
  }
  if (replica.changes.has(changeIdOf(signed)) || replica.batches.has(batchIdOf(signed))) return
  if (isBatch(signed)) submitBatch(replica, signed)
  else submitChange(replica, signed)
}

/** A batch and a change differ in their outermost form. */
function isBatch(signed: Uint8Array): boolean {
  try {
    readSealedBatch(signed)
    return true
  } catch (error) {
    if (error instanceof ProtocolError) return false
    throw error
  }
}

function submitChange(replica: Replica, signed: Uint8Array): void {
  const { share, root } = replica.keyring.keys
  const change = openChange(root, share, signed)
  if (!SUBMITTED_KINDS.has(change.body.kind)) {
    throw new ProtocolError('forbidden', `a change of kind ${change.body.kind} cannot be submitted`)
  }
  if (!change.body.prev.every((id) => replica.log.has(id))) {
    throw new ProtocolError('not-found', 'the change builds on one that is not known here')
  }
  const next = foldMembership(share, new Map([...replica.log, [change.id, change]]))
  if (!next.accepted.some(({ id }) => id === change.id)) {
    throw new ProtocolError('forbidden', `the membership does not allow this ${change.body.kind}`)
  }
  replica.insert({ changes: [signed] })
}

function submitBatch(replica: Replica, signed: Uint8Array): void {
  const { keyring, membership } = replica
  const sealed = readSealedBatch(signed)
  const batch = keyring
    .batchKeys(sealed.epoch)
    .map((key) => openBatch(keyring.keys.share, sealed, key))
    .find((opened) => opened !== undefined)
  if (!batch) throw new ProtocolError('wrong-key', 'the batch is sealed under a key that is not known here')
  const standing = membership.standing(batch)
  if (!standing.known)
    throw new ProtocolError('not-found', 'the batch builds on a change that is not known here')
  const allowed = batch.records.every(
    (record) => record.type === 'placement' && mayWrite(record, batch.device, standing),
  )
  if (!allowed) throw new ProtocolError('forbidden', 'the batch holds what its author may not write')
  replica.insert({ batches: [{ batch, value: signed }] })
}
