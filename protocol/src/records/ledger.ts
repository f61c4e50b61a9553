/**
 * The batches of a share: which of them open, and which of those count. A pure function of what was taken in,
 * the keys and the membership; the order of arrival does not matter.
 */
import { ProtocolError } from '../errors.ts'
import type { BatchId, DeviceId, ShareId, UserId } from '../ids.ts'
import type { Membership, Standing } from '../membership/fold.ts'
import { type OpenBatch, openBatch, readSealedBatch, type SealedBatch } from './batch.ts'
import type { AuthoredRecord } from './columns.ts'
import type { ShareRecord } from './record.ts'

/** A batch that counts. */
export interface AcceptedBatch {
  readonly id: BatchId
  readonly device: DeviceId
  readonly user: UserId
  /** Author's clock, milliseconds since the epoch. */
  readonly at: number
  readonly records: readonly AuthoredRecord[]
}

/** Keys to try on batches of an epoch. */
type BatchKeys = (epoch: number) => readonly Uint8Array[]

interface Judgement {
  readonly added: readonly AcceptedBatch[]
  readonly removed: readonly BatchId[]
  /** Whether a sequence number was claimed by more than one batch among those decided about. */
  readonly contested: boolean
}

export interface Ledger {
  /** Takes in sealed bytes. What cannot be opened yet is kept aside; what is no batch at all is ignored. */
  take(value: Uint8Array, keys: BatchKeys): void
  /** Takes in a batch this device just sealed, sparing it to open it again. */
  adopt(batch: OpenBatch): void
  /** Tries again what was kept aside for want of a key. */
  unlock(keys: BatchKeys): void
  /** Decides about what was taken in since; about everything when `membership` is another than last time. */
  judge(membership: Membership): Judgement
  readonly accepted: ReadonlyMap<BatchId, AcceptedBatch>
  /** The greatest sequence number seen of a device; 0 when none. */
  lastSeq(device: DeviceId): number
  /** The greatest sequence number that counts of a device; 0 when none does. */
  lastAcceptedSeq(device: DeviceId): number
  /** Batches of a device that do not count only because another has their sequence number. */
  displaced(device: DeviceId): readonly OpenBatch[]
}

export function createLedger(share: ShareId): Ledger {
  const locked = new Map<BatchId, SealedBatch>()
  const opened = new Map<BatchId, OpenBatch>()
  /** All opened batches by device and sequence number; nearly always one each. */
  const slots = new Map<DeviceId, Map<number, OpenBatch[]>>()
  const contested = new Map<string, readonly OpenBatch[]>()
  const accepted = new Map<BatchId, AcceptedBatch>()
  let unjudged: OpenBatch[] = []
  let judgedBy: Membership | undefined

  const slotOf = ({ device, seq }: OpenBatch): OpenBatch[] => slots.get(device)?.get(seq) ?? []

  const admit = (batch: OpenBatch) => {
    if (opened.has(batch.id)) return
    opened.set(batch.id, batch)
    let bySeq = slots.get(batch.device)
    if (!bySeq) {
      bySeq = new Map()
      slots.set(batch.device, bySeq)
    }
    const slot = [...slotOf(batch), batch]
    bySeq.set(batch.seq, slot)
    if (slot.length > 1) contested.set(`${batch.device} ${batch.seq}`, slot)
    unjudged.push(batch)
  }

  const tryOpen = (sealed: SealedBatch, keys: BatchKeys): void => {
    for (const key of keys(sealed.epoch)) {
      const batch = openBatch(share, sealed, key)
      if (!batch) continue
      locked.delete(sealed.id)
      admit(batch)
      return
    }
    locked.set(sealed.id, sealed)
  }

  return {
    accepted,
    take(value, keys) {
      ignoringMalformed(() => tryOpen(readSealedBatch(value), keys))
    },
    adopt: admit,
    unlock(keys) {
      for (const sealed of [...locked.values()]) {
        if (!ignoringMalformed(() => tryOpen(sealed, keys))) locked.delete(sealed.id)
      }
    },
    judge(membership) {
      const all = membership !== judgedBy
      const slotsToJudge = new Set<OpenBatch[]>()
      for (const batch of all ? opened.values() : unjudged) slotsToJudge.add(slotOf(batch))
      unjudged = []
      judgedBy = membership

      const added: AcceptedBatch[] = []
      const removed: BatchId[] = []
      let isContested = false
      for (const slot of slotsToJudge) {
        const holder = holderOf(slot, membership)
        if (slot.length > 1) isContested = true
        for (const { id } of slot) if (id !== holder?.id && accepted.delete(id)) removed.push(id)
        if (!holder || accepted.has(holder.id)) continue
        accepted.set(holder.id, holder)
        added.push(holder)
      }
      return { added, removed, contested: isContested }
    },
    lastSeq(device) {
      let last = 0
      for (const seq of slots.get(device)?.keys() ?? []) if (seq > last) last = seq
      return last
    },
    lastAcceptedSeq(device) {
      let last = 0
      for (const [seq, slot] of slots.get(device) ?? []) {
        if (seq > last && slot.some(({ id }) => accepted.has(id))) last = seq
      }
      return last
    },
    displaced(device) {
      const membership = judgedBy
      if (!membership) return []
      const losers = [...contested.values()]
        .flat()
        .filter((batch) => batch.device === device && !accepted.has(batch.id))
      return losers.filter((batch) => countingUser(batch, membership) !== undefined)
    },
  }
}

/** The batch that holds a sequence number: of those that are allowed, the one with the smallest id. */
function holderOf(slot: readonly OpenBatch[], membership: Membership): AcceptedBatch | undefined {
  const sorted = slot.length > 1 ? slot.toSorted((a, b) => (a.id < b.id ? -1 : 1)) : slot
  for (const batch of sorted) {
    const user = countingUser(batch, membership)
    if (user !== undefined)
      return { id: batch.id, device: batch.device, user, at: batch.at, records: batch.records }
  }
  return undefined
}

/** The author, when all that he wrote is his to write; undefined otherwise and while that is not known. */
function countingUser(batch: OpenBatch, membership: Membership): UserId | undefined {
  const standing = membership.standing(batch)
  if (!standing.known || standing.user === undefined) return undefined
  return batch.records.every((record) => mayWrite(record, batch.device, standing)) ? standing.user : undefined
}

export function mayWrite(
  record: ShareRecord,
  device: DeviceId,
  { role }: Pick<Extract<Standing, { known: true }>, 'role'>,
): boolean {
  switch (record.type) {
    case 'place':
    case 'version':
      return role === 'owner' || role === 'editor'
    case 'settings':
      return role === 'owner'
    case 'placement':
      return role !== undefined && record.device === device
  }
}

/** Bytes from peers that are no batch are no batch, and nothing more. False when they were not. */
function ignoringMalformed(step: () => void): boolean {
  try {
    step()
    return true
  } catch (error) {
    if (error instanceof ProtocolError) return false
    throw error
  }
}
