/** The node's HTTP API as the page uses it. Shapes are those of the command line's `--json`. */

export interface Status {
  running: boolean
  user: { id: string; name: string }
  relay: { url: string; connected: boolean } | null
  shares: ShareStatus[]
}

export interface ShareStatus {
  id: string
  name: string
  state: 'in-sync' | 'syncing' | 'waiting' | 'error'
  filesTotal: number
  bytesTotal: number
  pending: number
  error?: string
  notSyncingSince?: number
  needsConfirmation?: { deletes: number }
}

interface Member {
  id: string
  name: string
  role: 'owner' | 'editor' | 'viewer'
  status: string
  online?: boolean
}

export interface Share {
  id: string
  name: string
  role: 'owner' | 'editor' | 'viewer'
  members: Member[]
  path?: string
}

export interface Invite {
  id: string
  share: string
  name: string
  from: { id: string; name: string }
  role: 'editor' | 'viewer'
  at: number
}

export interface CofolderEvent {
  at: number
  type: string
  share?: string
  by?: { id: string; name: string }
  path?: string
  detail?: unknown
}

const TOKEN_KEY = 'cofolder-token'

/** The token arrives once in the address's fragment, which no server sees, and stays in this tab's session. */
export function takeToken(): string | undefined {
  const match = /^#token=([\w-]+)$/.exec(location.hash)
  if (match?.[1] !== undefined) {
    sessionStorage.setItem(TOKEN_KEY, match[1])
    history.replaceState(null, '', location.pathname)
  }
  return sessionStorage.getItem(TOKEN_KEY) ?? undefined
}

class ApiError extends Error {}

async function call(method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`/api/v1${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${takeToken() ?? ''}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const answer: unknown = text === '' ? undefined : JSON.parse(text)
  if (!response.ok) {
    const message = (answer as { error?: { message?: string } } | undefined)?.error?.message
    throw new ApiError(message ?? `The app answered ${response.status}.`)
  }
  return answer
}

export const api = {
  status: () => call('GET', '/status') as Promise<Status>,
  shares: () => call('GET', '/shares') as Promise<Share[]>,
  invites: () => call('GET', '/invites') as Promise<Invite[]>,
  card: () => call('GET', '/card') as Promise<{ card: string; qr: string }>,
  events: () => call('GET', '/events/log') as Promise<CofolderEvent[]>,
  share: (body: { path: string; with: string[]; role: string }) =>
    call('POST', '/shares', body) as Promise<{ share: string; link: string }>,
  link: (share: string) => call('POST', `/shares/${share}/link`, {}) as Promise<{ link: string }>,
  accept: (invite: string, to: string) => call('POST', '/accept', { invite, to }),
  decline: (invite: string) => call('POST', '/decline', { invite }),
  confirm: (share: string) => call('POST', `/shares/${share}/confirm`, {}),
  unshare: (share: string) => call('POST', `/shares/${share}/unshare`, {}),
  leave: (share: string) => call('POST', `/shares/${share}/leave`, {}),
}

/** Calls `listener` at every event of the node until the signal aborts; reconnects by itself. */
export async function follow(listener: () => void, signal: AbortSignal): Promise<void> {
  const RETRY_MS = 1_000
  while (!signal.aborted) {
    try {
      const response = await fetch('/api/v1/events', {
        headers: { Authorization: `Bearer ${takeToken() ?? ''}`, Accept: 'text/event-stream' },
        signal,
      })
      const reader = response.body?.getReader()
      for (let chunk = await reader?.read(); chunk?.done === false; chunk = await reader?.read()) listener()
    } catch {
      // The node is stopped or restarting: the page says so by itself, and we try again.
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
}
