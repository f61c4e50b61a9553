/** The epoch keys a device holds, and those it learns from the membership log. */

import { crypto } from '#crypto'
import { equalBytes } from '../bytes.ts'
import { inviteIdOf } from '../identity/derive.ts'
import { deviceAgreement, type Identity } from '../identity/identity.ts'
import type { ChangeId } from '../ids.ts'
import type { Membership } from '../membership/fold.ts'
import { inviteAgreementSecret, unwrapEpochs } from '../membership/wraps.ts'
import { batchKey } from '../records/batch.ts'
import type { EpochKeys, ShareKeys } from './keys.ts'

export interface Keyring {
  readonly keys: ShareKeys
  /** Opens what the log wraps for this device; true when `keys` changed. */
  learn(membership: Membership): boolean
  /** Keys that batches of an epoch may be sealed under: more than one when two epochs began at once. */
  batchKeys(epoch: number): readonly Uint8Array[]
}

interface Candidate {
  readonly keys: EpochKeys
  readonly batchKey: Uint8Array
}

export function createKeyring(identity: Identity, initial: ShareKeys): Keyring {
  const candidates = new Map<number, Candidate[]>()
  const read = new Set<ChangeId>()
  const secrets = recipientsOf(identity, initial)
  let keys = initial

  /** True when it was not known; the latest that holds comes first. */
  const add = (epoch: number, learnt: EpochKeys, holds: boolean): boolean => {
    const list = candidates.get(epoch) ?? []
    const known = list.find((other) => equalBytes(other.keys.key, learnt.key))
    const writeSeed = learnt.writeSeed ?? known?.keys.writeSeed
    const merged = writeSeed === undefined ? { key: learnt.key } : { key: learnt.key, writeSeed }
    const candidate = { keys: merged, batchKey: known?.batchKey ?? batchKey(learnt.key) }
    const others = list.filter((other) => other !== known)
    candidates.set(epoch, holds || list[0] === known ? [candidate, ...others] : [...others, candidate])
    return known === undefined || (known.keys.writeSeed === undefined) !== (writeSeed === undefined)
  }
  for (const [epoch, held] of initial.epochs) add(epoch, held, true)

  return {
    get keys() {
      return keys
    },
    learn(membership) {
      let learnt = false
      for (const { id, body } of membership.accepted) {
        if (read.has(id) || !('wraps' in body)) continue
        read.add(id)
        // Keys come from the owner, and from one's own devices; anybody else's would only lead astray.
        if (body.kind === 'device' && body.user !== identity.userId) continue
        for (const [recipient, sealed] of body.wraps) {
          const secret = secrets.get(recipient)
          const epochs = secret && unwrapEpochs(secret, keys.share, sealed)
          for (const [epoch, held] of epochs ?? []) {
            const begins = 'epoch' in body && body.epoch === epoch
            if (add(epoch, held, begins)) learnt = true
          }
        }
      }
      if (learnt) keys = { ...keys, epochs: firstOf(candidates) }
      return learnt
    },
    batchKeys: (epoch) => (candidates.get(epoch) ?? []).map((candidate) => candidate.batchKey),
  }
}

/** The agreement secrets this device can open wraps with, by the id they are addressed to. */
function recipientsOf(identity: Identity, keys: ShareKeys): ReadonlyMap<string, Uint8Array> {
  const secrets = new Map<string, Uint8Array>([[identity.deviceId, deviceAgreement(identity.device).secret]])
  if (keys.inviteSeed) {
    const invite = inviteIdOf(crypto.ed25519PublicKey(keys.inviteSeed))
    secrets.set(invite, inviteAgreementSecret(keys.inviteSeed))
  }
  return secrets
}

function firstOf(candidates: ReadonlyMap<number, readonly Candidate[]>): ReadonlyMap<number, EpochKeys> {
  const sorted = [...candidates].sort(([a], [b]) => a - b)
  return new Map(sorted.flatMap(([epoch, [first]]) => (first ? [[epoch, first.keys] as const] : [])))
}
