/** The documents that somebody is connected to now, and their connections. */
import type { ShareId } from '@cofolder/protocol'
import type { WebSocket } from 'ws'
import type { RelayContext } from '../context.ts'
import { RelayError } from '../errors.ts'
import type { Sockets } from '../http/sockets.ts'
import type { Inboxes } from '../messages/inbox.ts'
import type { Admission, Rights } from '../rights/rights.ts'
import { type DocumentMetrics, serveConnection } from './connection.ts'
import { LiveDocument, type Member } from './live.ts'

export interface Documents {
  /** Documents in memory. */
  readonly live: number
  /** Serves an open WebSocket whose token was checked. */
  connect(socket: WebSocket, document: ShareId, admission: Admission): void
  /** Waits until what was taken in is stored. The sockets are closed by now. */
  close(): Promise<void>
}

interface Open {
  readonly document: Promise<LiveDocument>
  /** Connections that hold it, also those that are still entering. */
  holders: number
}

export function createDocuments(
  context: RelayContext,
  parts: { readonly sockets: Sockets; readonly rights: Rights; readonly inboxes: Inboxes },
): Documents {
  const open = new Map<ShareId, Open>()
  const closing = new Set<Promise<void>>()
  const metrics: DocumentMetrics = {
    updates: context.metrics.counter('updates_total', 'Updates received on documents'),
    bytes: context.metrics.counter('update_bytes_total', 'Bytes of updates received on documents'),
  }

  function hold(id: ShareId): Open {
    let held = open.get(id)
    if (!held) {
      held = { document: LiveDocument.open(id, context), holders: 0 }
      open.set(id, held)
    }
    if (held.holders >= context.limits.connectionsPerDocument)
      throw new RelayError('rate-limited', 'too many connections to this document')
    held.holders++
    return held
  }

  function letGo(id: ShareId, held: Open): void {
    held.holders--
    if (held.holders > 0) return
    if (open.get(id) === held) open.delete(id)
    const done = held.document
      .then((document) => document.close())
      .catch((error: Error) => context.log(`document ${id}: ${error.message}`))
      .finally(() => closing.delete(done))
    closing.add(done)
  }

  /** A document that could not store an update is opened anew from what is stored. */
  function forget(id: ShareId, held: Open): void {
    if (open.get(id) === held) open.delete(id)
  }

  return {
    get live() {
      return open.size
    },
    connect(webSocket, id, admission) {
      parts.sockets.serve(webSocket, (socket) => {
        const member: Member = { socket, writes: admission.right === 'write', epoch: admission.epoch }
        const release = parts.rights.devices.hold(admission.device)
        let held: Open
        try {
          held = hold(id)
        } catch (error) {
          socket.fail(error)
          return { onMessage() {}, onClose: release }
        }
        const connection = serveConnection({ id, member, context, metrics, ...parts }, held.document)
        return {
          onMessage: connection.onMessage,
          async onClose() {
            release()
            const document = await connection.leave()
            if (document?.broken) forget(id, held)
            letGo(id, held)
          },
        }
      })
    },
    async close() {
      await Promise.all(closing)
    },
  }
}
