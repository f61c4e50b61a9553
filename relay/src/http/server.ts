/** The HTTP server under everything: bounded connections and times; answers 503 until the relay is ready. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { RelayLimits } from '../limits.ts'
import { limitKey } from './address.ts'
import type { UpgradeHandler } from './upgrades.ts'

/** Time for the request's head, in milliseconds: slower is an attempt to hold connections. */
const HEAD_TIMEOUT = 15_000
/** Time for a whole request with at most a few hundred KB of body, in milliseconds. */
const REQUEST_TIMEOUT = 60_000
/** Bytes of a request's head; a token has less than 1 KB. */
const MAX_HEAD_BYTES = 16 * 1024

export interface WebServer {
  readonly port: number
  readonly connections: number
  /** From now on requests are answered. */
  serve(
    onRequest: (request: IncomingMessage, response: ServerResponse) => void,
    onUpgrade: UpgradeHandler,
  ): void
  /** Takes no more connections; resolves when those that are open have ended. */
  stop(): Promise<void>
  close(): Promise<void>
}

export async function listen(options: {
  readonly host: string
  readonly port: number
  readonly limits: RelayLimits
  /** Behind a proxy all connections come from one address. */
  readonly trustProxy: boolean
  readonly onRefused: (reason: string) => void
  readonly log: (line: string) => void
}): Promise<WebServer> {
  const { limits } = options
  const server = createServer({
    headersTimeout: HEAD_TIMEOUT,
    requestTimeout: REQUEST_TIMEOUT,
    maxHeaderSize: MAX_HEAD_BYTES,
  })
  server.maxConnections = limits.connections
  const sockets = new Set<Socket>()
  const perAddress = new Map<string, number>()

  server.on('connection', (socket) => {
    const key = limitKey(socket.remoteAddress ?? 'unknown')
    const count = (perAddress.get(key) ?? 0) + 1
    if (!options.trustProxy && count > limits.connectionsPerAddress) {
      options.onRefused('connections')
      socket.destroy()
      return
    }
    perAddress.set(key, count)
    sockets.add(socket)
    socket.on('close', () => {
      sockets.delete(socket)
      const left = (perAddress.get(key) ?? 1) - 1
      if (left > 0) perAddress.set(key, left)
      else perAddress.delete(key)
    })
  })
  server.on('clientError', (_error, socket) => {
    options.onRefused('malformed')
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    else socket.destroy()
  })
  const notYet = (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(503, { 'retry-after': '1' }).end()
  }
  server.on('request', notYet)

  server.listen(options.port, options.host)
  await once(server, 'listening')
  server.on('error', (error) => options.log(`http: ${error.message}`))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening on a port')
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopped ??= new Promise((resolve) => server.close(() => resolve()))
    return stopped
  }

  return {
    port: address.port,
    get connections() {
      return sockets.size
    },
    serve(onRequest, onUpgrade) {
      server.off('request', notYet)
      server.on('request', onRequest)
      server.on('upgrade', onUpgrade)
    },
    stop,
    async close() {
      const closed = stop()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
