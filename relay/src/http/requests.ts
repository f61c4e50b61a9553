/** Plain requests: to the tracker, or to the application. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RelayContext } from '../context.ts'
import { RelayError } from '../errors.ts'
import { createRateLimiter } from '../rates.ts'
import { asksForAll } from '../tracker/requests.ts'
import type { Tracker } from '../tracker/tracker.ts'
import { addressOf, limitKey } from './address.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** A refusal as BitTorrent clients read it. */
const failure = (reason: string): string => `d14:failure reason${Buffer.byteLength(reason)}:${reason}e`

const TRACKER_PATH = /^\/(announce|scrape)(\?|$)/

export function createRequestHandler(options: {
  readonly context: RelayContext
  readonly tracker: Tracker
  readonly trustProxy: boolean
  readonly otherwise: (request: IncomingMessage, response: ServerResponse) => Promise<void>
}): Handler {
  const { context, tracker, trustProxy } = options
  const announces = createRateLimiter(context.limits.requests, 'announces', context.clock)

  function track(request: IncomingMessage, response: ServerResponse, url: string): void {
    const address = addressOf(request, trustProxy)
    announces.take(limitKey(address))
    if (asksForAll(url)) throw new RelayError('forbidden', 'name the torrents')
    tracker.onRequest(url, { address, port: request.socket.remotePort ?? 0 }, response)
  }

  return (request, response) => {
    const url = request.url ?? ''
    if (request.method !== 'GET' || !TRACKER_PATH.test(url)) {
      options.otherwise(request, response).catch((error: Error) => {
        context.log(`a request failed: ${error.message}`)
        response.destroy()
      })
      return
    }
    try {
      track(request, response, url)
    } catch (error) {
      if (!(error instanceof RelayError)) throw error
      context.refused.add(1, error.code)
      response.writeHead(200, { 'content-type': 'text/plain' }).end(failure(error.message))
    }
  }
}
