/** The relay's HTTP interface: JSON, or bytes where the protocol says so; every refusal as `{error:{code,message}}`. */
import {
  encodeCbor,
  InviteIdSchema,
  MAX_CHANGE_BYTES,
  MAX_ENVELOPE_BYTES,
  parse,
  type RelayInfo,
  ShareIdSchema,
  TorrentsSchema,
  UserIdSchema,
} from '@cofolder/protocol'
import type { HttpBindings } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { cors } from 'hono/cors'
import { secureHeaders } from 'hono/secure-headers'
import type { RelayContext } from '../context.ts'
import { asRelayError, RelayError } from '../errors.ts'
import type { Links } from '../links/links.ts'
import type { Inboxes } from '../messages/inbox.ts'
import type { Mailboxes } from '../messages/mailbox.ts'
import { createRateLimiter } from '../rates.ts'
import type { Rights } from '../rights/rights.ts'
import type { Torrents } from '../torrents/torrents.ts'
import { addressOf, limitKey } from './address.ts'
import { addPages } from './pages.ts'

export interface AppParts {
  readonly context: RelayContext
  readonly rights: Rights
  readonly mailboxes: Mailboxes
  readonly inboxes: Inboxes
  readonly links: Links
  readonly torrents: Torrents
  readonly info: () => RelayInfo
  readonly trustProxy: boolean
  readonly pageDir: string | undefined
}

type Env = { Bindings: HttpBindings }

/** One access statement. */
const MAX_STATEMENT_BYTES = 4 * 1024
/** A thousand info hashes as JSON. */
const MAX_TORRENTS_BYTES = 64 * 1024
/** A signed link statement around its blob. */
const MAX_LINK_BYTES = 4 * MAX_ENVELOPE_BYTES
/** How long a browser may remember what is allowed across origins, in seconds. */
const CORS_AGE = 600

const upTo = (maxSize: number) =>
  bodyLimit({
    maxSize,
    onError() {
      throw new RelayError('too-large', `a body may have ${maxSize} bytes`)
    },
  })

const bodyOf = async (c: Context<Env>): Promise<Uint8Array> => new Uint8Array(await c.req.arrayBuffer())
const cborAnswer = (c: Context<Env>, value: unknown): Response =>
  c.body(new Uint8Array(encodeCbor(value)), 200, { 'content-type': 'application/cbor' })

async function jsonOf(c: Context<Env>): Promise<unknown> {
  try {
    return await c.req.json()
  } catch (cause) {
    throw new RelayError('malformed', 'not JSON', { cause })
  }
}

function tokenOf(c: Context<Env>): string | undefined {
  return /^Bearer (\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
}

export function createApp(parts: AppParts): Hono<Env> {
  const { context, rights, mailboxes, inboxes, links, torrents, trustProxy } = parts
  const requests = createRateLimiter(context.limits.requests, 'requests', context.clock)
  const keyOf = (c: Context<Env>): string => limitKey(addressOf(c.env.incoming, trustProxy))
  const document = (c: Context<Env>) => parse(ShareIdSchema, c.req.param('id'))
  const user = (c: Context<Env>) => parse(UserIdSchema, c.req.param('id'))
  const invite = (c: Context<Env>) => parse(InviteIdSchema, c.req.param('id'))
  const removed = (c: Context<Env>, found: boolean): Response => {
    if (!found) throw new RelayError('not-found', 'there is no such message')
    return c.body(null, 204)
  }

  const app = new Hono<Env>()
  app.use(
    secureHeaders({
      referrerPolicy: 'no-referrer',
      crossOriginResourcePolicy: 'cross-origin',
      xFrameOptions: 'DENY',
    }),
  )
  app.use(cors({ origin: '*', exposeHeaders: ['Retry-After'], maxAge: CORS_AGE }))
  app.use(async (c, next) => {
    requests.take(keyOf(c))
    await next()
  })
  app.onError((thrown, c) => {
    const error = asRelayError(thrown, context.log)
    context.refused.add(1, error.code)
    if (error.retryAfter !== undefined) c.header('Retry-After', `${error.retryAfter}`)
    return c.json({ error: { code: error.code, message: error.message } }, error.status)
  })
  app.notFound(() => {
    throw new RelayError('not-found', 'there is nothing here')
  })

  app.get('/healthz', (c) => c.json({ ok: true }))
  app.get('/metrics', (c) => c.text(context.metrics.text()))
  app.get('/v1/relay', (c) => c.json(parts.info()))

  app.put('/v1/documents/:id/access', upTo(MAX_STATEMENT_BYTES), async (c) => {
    await rights.state(document(c), await bodyOf(c), keyOf(c))
    return c.body(null, 204)
  })
  app.post('/v1/documents/:id/inbox', upTo(MAX_CHANGE_BYTES), async (c) => {
    await rights.admit(tokenOf(c), document(c), 'read')
    return c.json({ id: await inboxes.submit(document(c), await bodyOf(c)) }, 201)
  })
  app.get('/v1/documents/:id/inbox', async (c) => {
    await rights.admit(tokenOf(c), document(c), 'write')
    return cborAnswer(c, await inboxes.list(document(c)))
  })
  app.delete('/v1/documents/:id/inbox/:message', async (c) => {
    await rights.admit(tokenOf(c), document(c), 'write')
    return removed(c, await inboxes.remove(document(c), c.req.param('message')))
  })
  app.post('/v1/documents/:id/torrents', upTo(MAX_TORRENTS_BYTES), async (c) => {
    await rights.admit(tokenOf(c), document(c), 'read')
    const { infoHashes } = parse(TorrentsSchema, await jsonOf(c))
    await torrents.allow(document(c), infoHashes)
    return c.body(null, 204)
  })

  app.post('/v1/mailbox/:id', upTo(MAX_ENVELOPE_BYTES), async (c) =>
    c.json({ id: await mailboxes.send(user(c), await bodyOf(c), keyOf(c)) }, 201),
  )
  app.get('/v1/mailbox/:id', async (c) => {
    rights.admitToMailbox(tokenOf(c), user(c))
    return cborAnswer(c, await mailboxes.list(user(c)))
  })
  app.delete('/v1/mailbox/:id/:message', async (c) => {
    rights.admitToMailbox(tokenOf(c), user(c))
    return removed(c, await mailboxes.remove(user(c), c.req.param('message')))
  })

  app.put('/v1/links/:id', upTo(MAX_LINK_BYTES), async (c) => {
    await links.state(invite(c), await bodyOf(c), 'put', keyOf(c))
    return c.body(null, 204)
  })
  app.delete('/v1/links/:id', upTo(MAX_STATEMENT_BYTES), async (c) => {
    await links.state(invite(c), await bodyOf(c), 'withdraw', keyOf(c))
    return c.body(null, 204)
  })
  app.get('/v1/links/:id', async (c) =>
    c.body(new Uint8Array(await links.get(invite(c))), 200, { 'content-type': 'application/octet-stream' }),
  )

  addPages(app, parts.pageDir)
  return app
}
