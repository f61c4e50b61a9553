/** The HTTP API and the web page, on 127.0.0.1 for this user alone. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { ProtocolError } from '@cofolder/protocol'
import { getRequestListener } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { streamSSE } from 'hono/streaming'
import * as v from 'valibot'
import { RequestError } from '../shares/errors.ts'
import { describeApi } from './openapi.ts'
import { type ApiContext, routes } from './routes.ts'

const MAX_BODY_BYTES = 1024 * 1024
const KEEP_ALIVE_MS = 15_000
const VERSION = '0.1.0'
const PAGE = join(import.meta.dirname, '../../../web/dist')
/** The page loads nothing from elsewhere and runs no script but its own. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
const MEDIA_TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
}
const STATUS = {
  'not-found': 404,
  ambiguous: 409,
  invalid: 400,
  forbidden: 403,
  conflict: 409,
  unavailable: 503,
  timeout: 504,
} as const

export interface ApiServer extends AsyncDisposable {
  /** Base URL, `http://127.0.0.1:PORT`. */
  readonly address: string
  readonly port: number
  close(): Promise<void>
}

function refuse(
  c: Context,
  status: 400 | 401 | 403 | 404 | 409 | 413 | 500 | 503 | 504,
  code: string,
  message: string,
): Response {
  return c.json({ error: { code, message } }, status)
}

/** Compares secrets in a time that does not depend on where they differ. */
function sameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}

function createApp(context: ApiContext, token: string, report: (error: Error) => void): Hono {
  const app = new Hono()
  // A page elsewhere must not reach us under a name that it made point here, nor from its own origin.
  app.use(async (c, next) => {
    const host = c.req.header('host') ?? ''
    const own = new URL(context.address()).host
    if (host !== own && host !== own.replace('127.0.0.1', 'localhost')) {
      return refuse(c, 403, 'forbidden', 'Cofolder answers to its own address alone')
    }
    const origin = c.req.header('origin')
    if (origin !== undefined && origin !== `http://${host}`) {
      return refuse(c, 403, 'forbidden', 'Cofolder answers to its own page alone')
    }
    c.header('X-Content-Type-Options', 'nosniff')
    c.header('Referrer-Policy', 'no-referrer')
    c.header('Cross-Origin-Resource-Policy', 'same-origin')
    c.header('Content-Security-Policy', CONTENT_SECURITY_POLICY)
    return next()
  })
  app.use('/api/v1/*', async (c, next) => {
    const given = /^Bearer (.+)$/.exec(c.req.header('authorization') ?? '')?.[1] ?? ''
    if (!sameSecret(given, token)) {
      return refuse(c, 401, 'unauthorised', 'this needs the token from the file api-token in the profile')
    }
    return next()
  })
  app.use(
    '/api/v1/*',
    bodyLimit({
      maxSize: MAX_BODY_BYTES,
      onError: (c) => refuse(c, 413, 'too-large', 'the request is too large'),
    }),
  )
  app.get('/api/openapi.json', (c) => c.json(describeApi(VERSION)))
  app.get('/api/v1/events', (c) =>
    streamSSE(c, async (stream) => {
      const stop = context.shares.events.listen(
        (event) => void stream.writeSSE({ data: JSON.stringify(event), event: event.type }),
      )
      stream.onAbort(stop)
      while (!stream.aborted) {
        await stream.writeSSE({ data: '', event: 'alive' })
        await stream.sleep(KEEP_ALIVE_MS)
      }
      stop()
    }),
  )
  for (const { method, path, input, run } of routes) {
    app[method](`/api/v1${path}`, async (c) => {
      let body: unknown
      if (input !== undefined) {
        try {
          body = await c.req.json()
        } catch {
          return refuse(c, 400, 'invalid', 'the body is not JSON')
        }
      }
      const answer = await run(context, body, c.req.param('share') ?? '', c.req.raw.signal)
      return c.json(answer ?? null)
    })
  }
  app.get('*', page)
  app.notFound((c) => refuse(c, 404, 'not-found', 'there is nothing here'))
  app.onError((error, c) => {
    if (error instanceof RequestError) return refuse(c, STATUS[error.code], error.code, error.message)
    if (error instanceof v.ValiError) {
      const [issue] = error.issues
      return refuse(c, 400, 'invalid', `${v.getDotPath(issue) ?? 'body'}: ${issue.message}`)
    }
    if (error instanceof ProtocolError)
      return refuse(c, error.code === 'forbidden' ? 403 : 400, error.code, error.message)
    report(error)
    return refuse(c, 500, 'internal', 'something went wrong inside Cofolder: its output says what')
  })
  return app
}

async function page(c: Context): Promise<Response> {
  const wanted = normalize(c.req.path).replace(/^\/+/, '') || 'index.html'
  const type = MEDIA_TYPES[extname(wanted)]
  if (type === undefined || wanted.startsWith('..')) return c.notFound()
  try {
    return c.body(new Uint8Array(await readFile(join(PAGE, wanted))), 200, { 'Content-Type': type })
  } catch {
    return c.notFound() // The page is not built, or has no such file.
  }
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1')
  await Promise.race([
    once(server, 'listening'),
    once(server, 'error').then(([error]) =>
      Promise.reject(error instanceof Error ? error : new Error(String(error))),
    ),
  ])
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the API listens on no port')
  return address.port
}

/** Starts to answer. `port` 0 picks one. @throws when the port is taken */
export async function startApi(
  context: Omit<ApiContext, 'address'>,
  options: { port: number; token: string; onError: (error: Error) => void },
): Promise<ApiServer> {
  let address = ''
  const app = createApp({ ...context, address: () => address }, options.token, options.onError)
  const server = createServer(getRequestListener(app.fetch))
  const port = await listen(server, options.port)
  address = `http://127.0.0.1:${port}`
  const close = async (): Promise<void> => {
    const closed = once(server, 'close')
    server.close()
    server.closeIdleConnections()
    // Streams of events have no end of their own.
    const late = setTimeout(() => server.closeAllConnections(), 500)
    await closed
    clearTimeout(late)
  }
  return { address, port, close, [Symbol.asyncDispose]: close }
}
