/** Every operation of the HTTP API in one table: the server, the OpenAPI description and its test come from it. */
import * as v from 'valibot'
import type { ContentService } from '../content/content.ts'
import type { VersionStore } from '../history/version-store.ts'
import type { Network } from '../network/network.ts'
import * as accepting from '../shares/accepting.ts'
import * as past from '../shares/history.ts'
import * as people from '../shares/people.ts'
import type { ShareContext } from '../shares/service.ts'
import * as sharing from '../shares/sharing.ts'
import * as reports from '../shares/status.ts'

export interface ApiContext {
  readonly shares: ShareContext
  readonly network: Network
  readonly content: ContentService
  readonly history: VersionStore
  /** Base URL of this API. */
  readonly address: () => string
  /** Begins to stop the daemon; the answer still goes out. */
  readonly stop: () => void
}

export interface Route {
  readonly method: 'get' | 'post'
  /** Below /api/v1, with `:share` where a share is named. */
  readonly path: string
  readonly summary: string
  /** Of the JSON body; absent when there is none. */
  readonly input?: v.GenericSchema
  run(context: ApiContext, input: unknown, share: string, signal: AbortSignal): Promise<unknown>
}

const Text = v.pipe(v.string(), v.minLength(1), v.maxLength(4096))
const Role = v.picklist(['viewer', 'editor'])
const MAX_WAIT_S = 24 * 3600

/** A route whose body follows a schema, so that `run` gets it parsed. */
function route<Schema extends v.GenericSchema>(
  method: Route['method'],
  path: string,
  summary: string,
  input: Schema,
  run: (
    context: ApiContext,
    input: v.InferOutput<Schema>,
    share: string,
    signal: AbortSignal,
  ) => Promise<unknown>,
): Route {
  return {
    method,
    path,
    summary,
    input,
    run: (context, body, share, signal) => run(context, v.parse(input, body), share, signal),
  }
}

const plain = (
  method: Route['method'],
  path: string,
  summary: string,
  run: (context: ApiContext, share: string) => Promise<unknown>,
): Route => ({ method, path, summary, run: (context, _, share) => run(context, share) })

export const routes: readonly Route[] = [
  plain('get', '/status', 'The daemon and the state of each share', (api) =>
    reports.status(api.shares, api.network, api.address()),
  ),
  plain('post', '/down', 'Stops the daemon', async (api) => {
    api.stop()
    return { stopping: true }
  }),
  plain('get', '/card', 'My contact card', async (api) => ({ card: people.myCard(api.shares, api.network) })),
  plain('get', '/contacts', 'People I know', (api) => people.listContacts(api.shares)),
  route(
    'post',
    '/contacts',
    'Adds a contact by card',
    v.object({ card: Text, name: v.optional(Text) }),
    (api, body) => people.addContact(api.shares, body.card, body.name),
  ),
  plain('get', '/shares', 'What I share and what is shared with me', (api) => reports.listShares(api.shares)),
  route(
    'post',
    '/shares',
    'Shares a folder',
    v.object({ path: Text, with: v.optional(v.array(Text)), role: v.optional(Role), name: v.optional(Text) }),
    (api, body) => sharing.share(api.shares, body),
  ),
  route(
    'post',
    '/shares/:share/link',
    "The share's link",
    v.object({ role: v.optional(Role), expires: v.optional(v.number()) }),
    async (api, body, share) => ({ link: await sharing.link(api.shares, share, body) }),
  ),
  plain('post', '/shares/:share/revoke-links', 'Withdraws all links of a share', async (api, share) => ({
    revoked: await sharing.revokeLinks(api.shares, share),
  })),
  plain('get', '/shares/:share/members', 'Who is in a share', (api, share) =>
    reports.members(api.shares, share),
  ),
  route(
    'post',
    '/shares/:share/unshare',
    'Stops sharing with one person or with all',
    v.object({ with: v.optional(Text) }),
    async (api, body, share) => {
      await sharing.unshare(api.shares, share, body.with)
      return { done: true }
    },
  ),
  plain('post', '/shares/:share/leave', 'Leaves a share', async (api, share) => {
    await sharing.leave(api.shares, share)
    return { done: true }
  }),
  plain('post', '/shares/:share/confirm', 'Lets a held-back mass deletion go on', async (api, share) => {
    await reports.confirm(api.shares, share)
    return { done: true }
  }),
  route(
    'post',
    '/wait',
    'Answers when everything known is in sync with every reachable member',
    v.object({
      share: v.optional(Text),
      timeout: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(MAX_WAIT_S)), 60),
    }),
    async (api, body, _, signal) => {
      await reports.wait(api.shares, body.share, body.timeout * 1000, signal)
      return { inSync: true }
    },
  ),
  plain('get', '/invites', 'Invites that wait for my decision', (api) => accepting.listInvites(api.shares)),
  route('post', '/accept', 'Accepts an invite or a link', v.object({ invite: Text, to: Text }), (api, body) =>
    accepting.accept(api.shares, body.invite, body.to),
  ),
  route('post', '/decline', 'Declines an invite', v.object({ invite: Text }), async (api, body) => {
    await accepting.decline(api.shares, body.invite)
    return { done: true }
  }),
  plain('get', '/events/log', 'What happened, oldest first', (api) => api.shares.events.list()),
  plain('get', '/conflicts', 'Files in conflict and the copies conflicts left', (api) =>
    past.conflicts(api.shares),
  ),
  route('post', '/history', 'The versions of a file, newest first', v.object({ path: Text }), (api, body) =>
    past.history(api.shares, body.path),
  ),
  route(
    'post',
    '/restore',
    'Puts an old version back',
    v.object({ path: Text, version: Text }),
    async (api, body) => {
      await past.restore(api.shares, api, body.path, body.version)
      return { done: true }
    },
  ),
]
