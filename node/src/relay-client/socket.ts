/** A WebSocket to a relay that comes back by itself, with a fresh token each time. */
import { SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX } from '@cofolder/protocol'
import { WebSocket } from 'ws'
import { FIRST_RETRY_MS, LONGEST_RETRY_MS, SILENCE_LIMIT_MS } from './limits.ts'

export interface SocketSession {
  /** One binary message. Throwing closes the connection, which is then made anew. */
  onMessage(message: Uint8Array): void
  /** The connection ended. */
  onClose(): void
}

export interface LastingSocketOptions {
  /** ws(s) address. */
  readonly url: string
  readonly maxMessageBytes: number
  /** Runs before each attempt. @throws when no attempt makes sense now */
  readonly token: () => Promise<string>
  readonly onOpen: (send: (message: Uint8Array) => void) => SocketSession
  readonly onState: (connected: boolean, error?: Error) => void
}

export interface LastingSocket {
  readonly connected: boolean
  /** Tries again at once instead of waiting. */
  wake(): void
  close(): Promise<void>
}

export function openLastingSocket(options: LastingSocketOptions): LastingSocket {
  let socket: WebSocket | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let pause = FIRST_RETRY_MS
  let connected = false
  let closed = false
  let attempt: Promise<void> = Promise.resolve()

  function retry(error?: Error): void {
    if (connected || error) options.onState(false, error)
    connected = false
    if (closed) return
    const varied = pause * (0.5 + Math.random())
    pause = Math.min(LONGEST_RETRY_MS, pause * 2)
    timer = setTimeout(start, varied)
    timer.unref()
  }

  function start(): void {
    clearTimeout(timer)
    timer = undefined
    attempt = connect()
  }

  async function connect(): Promise<void> {
    let token: string
    try {
      token = await options.token()
    } catch (error) {
      retry(error instanceof Error ? error : new Error(String(error)))
      return
    }
    if (closed) return
    const opening = new WebSocket(options.url, [SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX + token], {
      maxPayload: options.maxMessageBytes,
      perMessageDeflate: false,
      handshakeTimeout: 10_000,
    })
    opening.binaryType = 'nodebuffer'
    socket = opening
    let session: SocketSession | undefined
    let failure: Error | undefined
    const silence = setTimeout(() => opening.terminate(), SILENCE_LIMIT_MS)
    silence.unref()
    opening.on('ping', () => silence.refresh())
    opening.on('open', () => {
      pause = FIRST_RETRY_MS
      connected = true
      session = options.onOpen((message) => {
        if (opening.readyState === opening.OPEN) opening.send(message)
      })
      options.onState(true)
    })
    opening.on('message', (data: Buffer) => {
      silence.refresh()
      try {
        session?.onMessage(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error))
        opening.close()
      }
    })
    opening.on('error', (error) => {
      failure = error
    })
    opening.on('close', (code, reason) => {
      clearTimeout(silence)
      session?.onClose()
      if (socket === opening) socket = undefined
      failure ??=
        code >= 4000 ? new Error(`the relay closed the connection: ${reason.toString() || code}`) : undefined
      retry(failure ?? new Error('the connection to the relay was lost'))
    })
  }

  start()
  return {
    get connected() {
      return connected
    },
    wake() {
      if (timer !== undefined && !closed) start()
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await attempt
      const open = socket
      if (!open) return
      const gone = new Promise<void>((resolve) => open.once('close', () => resolve()))
      open.close(1000)
      // A relay that does not answer the close must not keep us.
      const late = setTimeout(() => open.terminate(), 1_000)
      await gone
      clearTimeout(late)
    },
  }
}
