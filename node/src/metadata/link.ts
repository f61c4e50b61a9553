/** One direct stream of one share: keeps the replicas of two devices equal while it lasts. */
import { createSyncSession, type DeviceId, type ShareDocument } from '@cofolder/protocol'
import type { MessageStream } from '../network/network.ts'
import type { PresenceBoard } from './presence.ts'
import { splitMessage } from './split.ts'

export interface Link {
  readonly device: DeviceId
  /** Which of the two devices opened the stream. */
  readonly initiator: DeviceId
  /** When it began, by `performance.now()`. */
  readonly since: number
  /** True once the other side has spoken: it took us in. */
  readonly live: boolean
  /** Resolves when the stream has ended. Never rejects. */
  readonly ended: Promise<void>
  send(message: Uint8Array): void
  close(): void
}

export interface LinkParts {
  readonly stream: MessageStream
  readonly messages: AsyncIterator<Uint8Array>
  readonly initiator: DeviceId
  readonly share: ShareDocument
  readonly presence: PresenceBoard
  /** Resolves when what this device wrote so far is on disk; undefined when it is. */
  readonly written: () => Promise<void> | undefined
  readonly mayWrite: () => boolean
  readonly onSubmission: (signed: Uint8Array) => void
  readonly onLive: () => void
}

export function createLink(parts: LinkParts): Link {
  const { stream, messages, share } = parts
  const queue: Uint8Array[] = []
  let sending = false
  let live = false
  let open = true

  function send(message: Uint8Array): void {
    if (!open) return
    queue.push(message)
    if (sending) return
    sending = true
    // After this tick's listeners: what the message tells must be in the log's queue before we ask whether it is written.
    queueMicrotask(() => void sendQueue())
  }

  async function sendQueue(): Promise<void> {
    try {
      for (let message = queue[0]; message; message = queue[0]) {
        const writing = parts.written()
        if (writing) await writing
        queue.shift()
        for (const part of splitMessage(message)) await stream.send(part)
      }
    } catch {
      // The stream is gone; the loop below ends with it.
      close()
    } finally {
      sending = false
    }
  }

  const path = parts.presence.open(stream.device)
  const session = createSyncSession({
    doc: share.doc,
    awareness: path.awareness,
    mayWrite: parts.mayWrite,
    send,
    onSubmission: parts.onSubmission,
    onRefused: () => undefined,
  })

  function close(): void {
    if (!open) return
    open = false
    path.close()
    session.close()
    queue.length = 0
    void closeStream(stream)
  }

  async function receive(): Promise<void> {
    try {
      for (let next = await messages.next(); !next.done && open; next = await messages.next()) {
        session.receive(next.value)
        if (live) continue
        live = true
        parts.onLive()
      }
    } catch {
      // Cut off, or a message that was not well formed: it changed nothing, and the stream ends here.
    } finally {
      close()
    }
  }

  session.start()
  return {
    device: stream.device,
    initiator: parts.initiator,
    since: performance.now(),
    get live() {
      return live && open
    },
    ended: receive(),
    send,
    close,
  }
}

/** A stream that cannot be closed is already gone. */
export const closeStream = (stream: MessageStream): Promise<void> => stream.close().catch(() => undefined)
