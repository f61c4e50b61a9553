/** A share as it was left on disk, opened. */
import { checkUpdate, type Identity, openShare, type ShareDocument, type ShareKeys } from '@cofolder/protocol'
import * as Y from 'yjs'
import { FROM_DISK, keepUpdates } from './keeping.ts'
import type { DamagedEntry, LogContent, ReplicaLog } from './log.ts'
import type { ReplicaRecord } from './rest.ts'

export interface StoredParts {
  readonly identity: Identity
  readonly record: ReplicaRecord
  readonly keys: ShareKeys
  readonly log: ReplicaLog
}

/**
 * Puts back what could be read but builds, for Yjs, on what could not: values stand under their own hash and need
 * nothing before them. What the others have comes from them; this device alone may have had the rest.
 */
function salvage(doc: Y.Doc): void {
  const pending = doc.store.pendingStructs
  if (!pending) return
  doc.transact(() => {
    for (const struct of Y.decodeUpdateV2(pending.update).structs) {
      if (!(struct instanceof Y.Item) || !(struct.content instanceof Y.ContentBinary)) continue
      const { parentSub, content } = struct
      // A root's name, in an update that is not part of a document yet; Yjs' types do not know that.
      const root: unknown = struct.parent
      if ((root !== 'changes' && root !== 'batches') || parentSub === null) continue
      if (!doc.getMap(root).has(parentSub)) doc.getMap(root).set(parentSub, content.content)
    }
  })
}

/** The document with all that could be read, its log following it, and what could not be read. */
export async function openStored(
  parts: StoredParts,
): Promise<{ readonly share: ShareDocument; readonly damaged: readonly DamagedEntry[] }> {
  const { log } = parts
  const content = await log.load()
  const opened = open(parts, content)
  if (opened) {
    if (content.damaged.length > 0) salvage(opened.doc)
    return { share: opened, damaged: content.damaged }
  }
  // Some entry is whole but no update: found by looking at each, which costs as much again and so comes last.
  const unreadable = content.updates.filter(({ bytes }) => !isUpdate(bytes)).map(({ key }) => key)
  await log.drop(unreadable)
  const rest = content.updates.filter(({ key }) => !unreadable.includes(key))
  const share = open(parts, { updates: rest, damaged: [] })
  if (!share) throw new Error(`the share ${parts.record.id} cannot be read from disk`)
  salvage(share.doc)
  const damaged = unreadable.map((key) => ({ key, reason: 'malformed' as const }))
  return { share, damaged: [...content.damaged, ...damaged] }
}

function open(
  { identity, record, keys, log }: StoredParts,
  { updates }: LogContent,
): ShareDocument | undefined {
  const { name, relays, outbox } = record
  const share = openShare(identity, keys, { settings: { name, relays: [...relays] }, outbox })
  // Also what the document writes by itself on seeing what was read.
  keepUpdates(share.doc, log)
  try {
    // In one transaction: what the document means is worked out once.
    share.doc.transact(() => {
      for (const { bytes } of updates) Y.applyUpdate(share.doc, bytes)
    }, FROM_DISK)
    return share
  } catch {
    share.close()
    return undefined
  }
}

function isUpdate(bytes: Uint8Array): boolean {
  try {
    checkUpdate(bytes)
    return true
  } catch {
    return false
  }
}
