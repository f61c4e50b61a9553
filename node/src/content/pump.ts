/** Bytes between two threads over a MessagePort, with acknowledgements, so that neither side drowns the other. */
import type { MessagePort } from 'node:worker_threads'
import { ContentError } from './content.ts'

/** Bytes sent and not yet taken by the other side. */
const WINDOW = 2 * 1024 * 1024

type Parcel = { readonly bytes: Uint8Array; readonly taken?: undefined } | { readonly taken: number }

export interface Pump {
  /** Resolves when there is room for more. Rejects once closed. */
  send(bytes: Uint8Array): Promise<void>
  close(): void
}

export interface PumpHandlers {
  /** The next bytes, in order; the one before has been taken when its promise resolved. */
  receive(bytes: Uint8Array): Promise<void>
  onClose(): void
}

export function createPump(port: MessagePort, { receive, onClose }: PumpHandlers): Pump {
  let unacknowledged = 0
  let closed = false
  let room: (() => void)[] = []
  let taking: Promise<void> = Promise.resolve()

  const wake = () => {
    const waiting = room
    room = []
    for (const resume of waiting) resume()
  }
  const close = () => {
    if (closed) return
    closed = true
    port.close()
    wake()
  }

  port.on('message', (parcel: Parcel) => {
    if (parcel.taken !== undefined) {
      unacknowledged -= parcel.taken
      if (unacknowledged < WINDOW) wake()
      return
    }
    const { bytes } = parcel
    taking = taking
      .then(async () => {
        if (closed) return
        await receive(bytes)
        port.postMessage({ taken: bytes.length })
      })
      .catch(() => {
        close()
        onClose()
      })
  })
  port.on('close', () => {
    closed = true
    wake()
    onClose()
  })

  return {
    async send(bytes) {
      if (closed) throw new ContentError('aborted', 'the stream is closed')
      unacknowledged += bytes.length
      port.postMessage({ bytes })
      if (unacknowledged >= WINDOW) await new Promise<void>((resolve) => room.push(resolve))
    },
    close,
  }
}
