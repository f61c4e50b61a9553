/** The command line's way to the running daemon. */
import { findDaemon } from '../profile/profile.ts'

/** A command that failed: one line for the person, exit code 1. */
export class CommandError extends Error {}

export interface Client {
  call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown>
  /** Events as they happen, until aborted. */
  events(signal: AbortSignal): AsyncGenerator<string>
}

const NOT_RUNNING = 'Cofolder is not running: start it with "cofolder up"'

/** @throws CommandError when no daemon runs with this profile */
export async function connectClient(home: string): Promise<Client> {
  const found = await findDaemon(home)
  if (!found) throw new CommandError(NOT_RUNNING)
  const { running, token } = found
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
  const ask = async (path: string, options: RequestInit): Promise<Response> => {
    try {
      return await fetch(`${running.api}/api/v1${path}`, { ...options, headers })
    } catch (error) {
      if (error instanceof Error && error.name === 'AbortError') throw error
      throw new CommandError(NOT_RUNNING, { cause: error })
    }
  }
  return {
    async call(method, path, body) {
      const response = await ask(path, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      if (response.ok) return text === '' ? undefined : JSON.parse(text)
      throw new CommandError(messageOf(text) ?? `Cofolder answered ${response.status}`)
    },
    async *events(signal) {
      const response = await ask('/events', { signal })
      const decoder = new TextDecoder()
      let rest = ''
      for await (const chunk of response.body ?? []) {
        rest += decoder.decode(chunk, { stream: true })
        const lines = rest.split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (line.startsWith('data: {')) yield line.slice('data: '.length)
      }
    },
  }
}

function messageOf(text: string): string | undefined {
  try {
    const answer: unknown = JSON.parse(text)
    if (typeof answer !== 'object' || answer === null || !('error' in answer)) return undefined
    const { error } = answer
    return typeof error === 'object' && error !== null && 'message' in error
      ? String(error.message)
      : undefined
  } catch {
    return undefined
  }
}
