/** Records on their way into the document. */
import { ProtocolError } from '../errors.ts'
import { batchKey, type OpenBatch, sealBatch, splitRecords } from '../records/batch.ts'
import { checkRecord } from '../records/codec.ts'
import { mayWrite } from '../records/ledger.ts'
import type { ShareRecord } from '../records/record.ts'
import type { InsertedBatch, Replica } from './replica.ts'

/**
 * Signs and seals records as this device, in as few batches as they fit. `after` is the greatest sequence number
 * this device has used elsewhere.
 * @throws ProtocolError
 */
export function sealRecords(
  replica: Replica,
  records: readonly ShareRecord[],
  { at, after }: { readonly at: number; readonly after: number },
): InsertedBatch[] {
  const { identity, keyring, ledger, membership, role } = replica
  const { share, epochs } = keyring.keys
  const device = identity.deviceId
  if (!records.every((record) => mayWrite(record, device, { role }))) {
    throw new ProtocolError('forbidden', role ? `a ${role} may not write this` : 'not a member of the share')
  }
  for (const record of records) checkRecord(record)
  const epoch = membership.state?.epoch ?? 0
  const epochKeys = epochs.get(epoch)
  if (!epochKeys) throw new ProtocolError('wrong-key', 'the present key of the share has not arrived yet')
  const keys = { epoch, batchKey: batchKey(epochKeys.key), deviceSeed: identity.device.seed }
  const heads = membership.basisOf(device)
  let seq = Math.max(after, ledger.lastSeq(device))
  return splitRecords(records).map((list) => {
    seq += 1
    return sealBatch({ share, device, seq, at, heads, records: list }, keys)
  })
}

/**
 * A device that lost its last write in a crash, after others had got it, gives the same sequence number to the
 * next one; only one of the two counts. What the other held is written once more.
 */
export function rewriteDisplaced(replica: Replica, write: (records: readonly ShareRecord[]) => void): void {
  const { facts, identity, ledger } = replica
  replica.onContest(() => {
    if (replica.role !== 'owner' && replica.role !== 'editor') return
    const lost = ledger.displaced(identity.deviceId).flatMap(({ records }: OpenBatch) => records)
    const records = lost.filter((record) => !isKnown(record))
    if (records.length > 0) write(records)
  })

  function isKnown(record: ShareRecord): boolean {
    switch (record.type) {
      case 'place':
        return (facts.placeOf(record.node)?.at ?? Number.NEGATIVE_INFINITY) >= record.at
      case 'version':
        return facts.versions.has(record.id)
      case 'settings':
        return (facts.settings?.at ?? Number.NEGATIVE_INFINITY) >= record.at
      case 'placement':
        return (facts.placements.get(record.device)?.at ?? Number.NEGATIVE_INFINITY) >= record.at
    }
  }
}
