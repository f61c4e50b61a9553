/** Making, opening and joining shares. */
import * as Y from 'yjs'
import { crypto } from '#crypto'
import { parse } from '../encoding/cbor.ts'
import { ProtocolError } from '../errors.ts'
import { shareIdOf } from '../identity/derive.ts'
import type { Identity } from '../identity/identity.ts'
import type { InvitePayload } from '../invites/payload.ts'
import { sealChange } from '../membership/change.ts'
import { createEpochKeys, wrapEpochs } from '../membership/wraps.ts'
import { SettingsRecordSchema } from '../records/record.ts'
import { createDocument, type DocumentOptions } from './document.ts'
import type { ShareKeys } from './keys.ts'
import { openReplica } from './replica.ts'
import type { ShareDocument } from './share.ts'

const SEED_LENGTH = 32

/**
 * A new share of which this user is the owner. `relays` are base URLs, most wanted first; `at` in milliseconds.
 * @throws ProtocolError `malformed`
 */
export function createShare(
  identity: Identity,
  { name, relays, at }: { readonly name: string; readonly relays: readonly string[]; readonly at: number },
): ShareDocument {
  const settings = parse(SettingsRecordSchema, { type: 'settings', name: name.normalize('NFC'), relays, at })
  const adminSeed = crypto.randomBytes(SEED_LENGTH)
  const share = shareIdOf(crypto.ed25519PublicKey(adminSeed))
  const root = crypto.randomBytes(SEED_LENGTH)
  const epochs = new Map([[0, createEpochKeys()]])
  const { certificate, deviceId, userId: user } = identity
  const wrap = wrapEpochs(certificate.agreementKey, share, epochs, true)
  const created = sealChange(
    root,
    {
      ...{ kind: 'create', share, at, prev: [], user, name: identity.name, certificate, epoch: 0 },
      wraps: wrap ? [[deviceId, wrap]] : [],
    },
    [adminSeed, identity.user.seed, identity.device.seed],
  )
  const replica = openReplica(identity, { share, root, adminSeed, epochs }, new Y.Doc())
  replica.insert({ changes: [created.value] })
  const document = createDocument(replica)
  document.write([settings], at)
  return document
}

/**
 * Opens a share this device has the keys of. `update` is the persisted Yjs state; `settings` answer until the
 * document has some; `outbox` is what an earlier session still had to submit.
 * @throws ProtocolError `malformed` when `update` is no Yjs update
 */
export function openShare(
  identity: Identity,
  keys: ShareKeys,
  { update, ...options }: DocumentOptions & { readonly update?: Uint8Array } = {},
): ShareDocument {
  const doc = new Y.Doc()
  // Named before anything is applied: the types of the roots are ours to say, not those of whoever wrote to them.
  doc.getMap('changes')
  doc.getMap('batches')
  if (update) {
    try {
      Y.applyUpdate(doc, update)
    } catch (error) {
      doc.destroy()
      throw new ProtocolError('malformed', 'the stored state of the share is damaged', { cause: error })
    }
  }
  return createDocument(openReplica(identity, keys, doc), options)
}

/**
 * Accepts an invite. The join is in the document (editors) or the outbox (viewers); this user is a member once
 * the log that it builds on has arrived.
 */
export function joinShare(
  identity: Identity,
  payload: InvitePayload,
  { at }: { readonly at: number },
): ShareDocument {
  const { share, root, epochs, seed, role, name, relays } = payload
  const { certificate, userId: user } = identity
  const join = sealChange(
    root,
    {
      ...{ kind: 'join', share, at, prev: [payload.change], inviteKey: crypto.ed25519PublicKey(seed) },
      ...{ user, name: identity.name, certificate },
    },
    [seed, identity.user.seed, identity.device.seed],
  )
  const replica = openReplica(identity, { share, root, inviteSeed: seed, epochs }, new Y.Doc())
  const settings = { name, relays: [...relays] }
  if (role === 'viewer') return createDocument(replica, { settings, outbox: [join.value] })
  replica.insert({ changes: [join.value] })
  return createDocument(replica, { settings })
}
