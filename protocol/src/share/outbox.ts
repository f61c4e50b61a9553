/** What this device signed but may not write into the document itself, until it shows up there. */
import { ProtocolError } from '../errors.ts'
import { changeIdOf } from '../membership/change.ts'
import { batchIdOf, openBatch, readSealedBatch } from '../records/batch.ts'
import type { Replica } from './replica.ts'

export interface Outbox {
  add(value: Uint8Array): void
  values(): readonly Uint8Array[]
  /** The membership changes among them. */
  changes(): readonly Uint8Array[]
  /** The greatest sequence number used here; 0 when none. */
  lastSeq(): number
}

export function createOutbox(replica: Replica, earlier: readonly Uint8Array[]): Outbox {
  let waiting: { readonly value: Uint8Array; readonly seq: number }[] = []

  const add = (value: Uint8Array) => {
    waiting.push({ value, seq: seqOf(replica, value) })
  }
  const isWaiting = (value: Uint8Array) =>
    !replica.changes.has(changeIdOf(value)) && !replica.batches.has(batchIdOf(value))
  const sweep = () => {
    waiting = waiting.filter(({ value }) => isWaiting(value))
    return waiting
  }
  for (const value of earlier) add(value)

  return {
    add,
    values: () => sweep().map(({ value }) => value),
    changes: () =>
      sweep()
        .filter(({ seq }) => seq === 0)
        .map(({ value }) => value),
    lastSeq: () => Math.max(0, ...waiting.map(({ seq }) => seq)),
  }
}

/** Changes, and batches of a viewer, that are offered again: more have long been superseded. */
const MAX_OFFERED = 6

/** What stands in the document because this user, or this device, signed it about himself. */
export function introductionOf({ identity, log, role, ledger, changes, batches }: Replica): Uint8Array[] {
  const { deviceId, userId } = identity
  const own = [...log.values()].filter(
    ({ body, certificate }) =>
      certificate?.device === deviceId || (body.kind === 'leave' && body.user === userId),
  )
  const placements = role === 'viewer' ? [...ledger.accepted.values()] : []
  const offered = placements
    .filter(({ device, records }) => device === deviceId && records.every(({ type }) => type === 'placement'))
    .slice(-MAX_OFFERED)
  return [
    ...own.slice(-MAX_OFFERED).flatMap(({ id }) => changes.value(id) ?? []),
    ...offered.flatMap(({ id }) => batches.value(id) ?? []),
  ]
}

/** The sequence number of a batch; 0 for a membership change. */
function seqOf({ keyring }: Replica, value: Uint8Array): number {
  try {
    const sealed = readSealedBatch(value)
    for (const key of keyring.batchKeys(sealed.epoch)) {
      const batch = openBatch(keyring.keys.share, sealed, key)
      if (batch) return batch.seq
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  }
  return 0
}
