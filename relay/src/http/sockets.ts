/**
 * WebSockets under the relay's limits: signs of life, messages one after the other with back-pressure, slow clients
 * cut off, refusals as close codes.
 */
import type { Socket } from 'node:net'
import type { RawData, WebSocket } from 'ws'
import type { RelayContext } from '../context.ts'
import { asRelayError, CLOSE_CODE, RelayError } from '../errors.ts'
import { CLOSE_GRACE, METER_INTERVAL } from '../limits.ts'

/** Bytes of messages that may be in work for one client before no more are read. */
const MAX_PENDING = 8 * 1024 * 1024
/** Unsent bytes below which more of a long answer is produced. */
const DRAINED = 1024 * 1024
/** What a close frame holds. */
const MAX_REASON = 120
const GOING_AWAY = 1001

export interface RelaySocket {
  /** Unique in this relay. */
  readonly id: string
  readonly open: boolean
  send(message: Uint8Array): void
  /** Resolves when most of what was sent is on its way, or the socket is closed. */
  drained(): Promise<void>
  /** Closes with the code that stands for the error. */
  refuse(error: RelayError): void
  /** Closes after any error; what a client need not know goes to the log. */
  fail(error: unknown): void
}

interface SocketHandlers {
  /** A RelayError it rejects with closes the socket. Called in order; without waiting for the one before. */
  onMessage(message: Uint8Array): Promise<void> | void
  onClose(): Promise<void> | void
}

export interface Sockets {
  readonly count: number
  /** Takes over an open WebSocket. */
  serve(socket: WebSocket, handlers: (socket: RelaySocket) => SocketHandlers): RelaySocket
  /** Only signs of life and closing, for a socket that somebody else reads. */
  watch(socket: WebSocket): void
  /** Counts what comes in on the connection below, so that unfinished messages cannot fill the memory. */
  meter(socket: WebSocket, connection: Socket): void
  close(): Promise<void>
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return new Uint8Array(Buffer.concat(data))
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

export function createSockets(context: RelayContext): Sockets {
  const { limits, refused } = context
  /** Sockets, and whether each gave a sign of life since it was last asked. */
  const alive = new Map<WebSocket, boolean>()
  /** Connections, and how far they had been read when the last message was complete. */
  const metered = new Map<WebSocket, { readonly connection: Socket; mark: number }>()
  /** What handlers do after a close. */
  const leaving = new Set<Promise<void>>()
  let nextId = 0

  const heartbeat = setInterval(() => {
    for (const [socket, sign] of alive) {
      if (!sign) socket.terminate()
      else {
        alive.set(socket, false)
        socket.ping()
      }
    }
  }, limits.heartbeat)
  heartbeat.unref()

  function cutOffLargest(): void {
    const unfinished = [...metered].map(([socket, { connection, mark }]) => ({
      socket,
      bytes: connection.bytesRead - mark,
    }))
    let sum = unfinished.reduce((total, { bytes }) => total + bytes, 0)
    if (sum <= limits.unfinishedBytes) return
    for (const { socket, bytes } of unfinished.sort((a, b) => b.bytes - a.bytes)) {
      if (sum <= limits.unfinishedBytes) break
      refused.add(1, 'memory')
      socket.terminate()
      sum -= bytes
    }
  }
  const metering = setInterval(cutOffLargest, METER_INTERVAL)
  metering.unref()

  function meter(socket: WebSocket, connection: Socket): void {
    const reading = { connection, mark: connection.bytesRead }
    metered.set(socket, reading)
    socket.on('message', () => {
      reading.mark = connection.bytesRead
    })
    socket.on('close', () => metered.delete(socket))
  }

  function watch(socket: WebSocket): void {
    alive.set(socket, true)
    const sign = (): void => void (alive.has(socket) && alive.set(socket, true))
    socket.on('pong', sign)
    socket.on('message', sign)
    socket.on('close', () => alive.delete(socket))
    // What follows is always a close; nothing else is to be done about a broken connection.
    socket.on('error', () => socket.terminate())
  }

  function serve(socket: WebSocket, handlersFor: (socket: RelaySocket) => SocketHandlers): RelaySocket {
    watch(socket)
    let pending = 0

    const refuse = (error: RelayError): void => {
      if (socket.readyState !== socket.OPEN) return
      refused.add(1, error.code)
      socket.close(CLOSE_CODE[error.code], error.message.slice(0, MAX_REASON))
    }
    const fail = (error: unknown): void => {
      refuse(asRelayError(error, context.log))
    }
    const waiters = new Set<() => void>()
    const wake = (): void => {
      if (socket.readyState === socket.OPEN && socket.bufferedAmount > DRAINED) return
      for (const waiter of waiters) waiter()
      waiters.clear()
    }
    const relaySocket: RelaySocket = {
      id: `${context.id}/${nextId++}`,
      get open() {
        return socket.readyState === socket.OPEN
      },
      send(message) {
        if (socket.readyState !== socket.OPEN) return
        if (socket.bufferedAmount > limits.unsentBytes) {
          refused.add(1, 'too-slow')
          socket.terminate()
          return
        }
        // A failed send is followed by the close that everything waits for.
        socket.send(message, wake)
      },
      async drained() {
        if (socket.readyState !== socket.OPEN || socket.bufferedAmount <= DRAINED) return
        const done = Promise.withResolvers<void>()
        waiters.add(done.resolve)
        await done.promise
      },
      refuse,
      fail,
    }
    const handlers = handlersFor(relaySocket)

    const take = async (message: Uint8Array): Promise<void> => {
      pending += message.length
      if (pending > MAX_PENDING) socket.pause()
      try {
        await handlers.onMessage(message)
      } catch (error) {
        fail(error)
      } finally {
        pending -= message.length
        if (pending <= MAX_PENDING) socket.resume()
      }
    }
    socket.on('message', (data, binary) => {
      if (socket.readyState !== socket.OPEN) return
      if (!binary) return refuse(new RelayError('malformed', 'only binary messages are understood'))
      void take(bytesOf(data))
    })
    socket.on('close', () => {
      wake()
      const done = Promise.resolve(handlers.onClose())
        .catch((error: Error) => context.log(`after a connection closed: ${error.message}`))
        .finally(() => leaving.delete(done))
      leaving.add(done)
    })
    return relaySocket
  }

  return {
    get count() {
      return alive.size
    },
    serve,
    watch,
    meter,
    async close() {
      clearInterval(heartbeat)
      clearInterval(metering)
      const gone = [...alive.keys()].map(
        (socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())),
      )
      for (const socket of alive.keys()) socket.close(GOING_AWAY, 'the relay is stopping')
      const late = setTimeout(() => {
        for (const socket of alive.keys()) socket.terminate()
      }, CLOSE_GRACE)
      await Promise.all(gone)
      clearTimeout(late)
      await Promise.all(leaving)
    },
  }
}
