/** From the document to its log. */
import type * as Y from 'yjs'
import type { ReplicaLog } from './log.ts'

/** Origin of the transaction that brings in what stands in the log already. */
export const FROM_DISK = Symbol('from disk')

/** Writes what a document learns to its log. What this device writes itself must reach the disk. */
export function keepUpdates(doc: Y.Doc, log: ReplicaLog): void {
  doc.on('update', (update: Uint8Array, origin: unknown, _doc: Y.Doc, transaction: Y.Transaction) => {
    if (origin !== FROM_DISK) log.append(update, transaction.local)
  })
}
