/** HTTP to one relay: time-outs, typed errors, bounded answers. */
import { parse, RelayErrorSchema } from '@cofolder/protocol'
import { RelayError } from './errors.ts'
import { MAX_ANSWER_BYTES, REQUEST_TIMEOUT_MS } from './limits.ts'

export interface RequestOptions {
  readonly token?: string
  readonly body?: Uint8Array
  readonly json?: unknown
  readonly signal?: AbortSignal
}

async function bytesOf(response: Response): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of response.body ?? []) {
    length += part.length
    if (length > MAX_ANSWER_BYTES)
      throw new RelayError('malformed', response.status, 'the relay answers without end')
    parts.push(part)
  }
  return new Uint8Array(Buffer.concat(parts))
}

function refusal(response: Response, body: Uint8Array): RelayError {
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN)
  const options = Number.isFinite(retryAfter) ? { retryAfter } : {}
  try {
    const { error } = parse(RelayErrorSchema, JSON.parse(new TextDecoder().decode(body)))
    return new RelayError(error.code, response.status, error.message, options)
  } catch {
    return new RelayError('malformed', response.status, `the relay answered ${response.status}`, options)
  }
}

/** @throws RelayError */
export async function request(
  url: string,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<Uint8Array> {
  const limit = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
  const headers: Record<string, string> = {}
  if (options.token !== undefined) headers.Authorization = `Bearer ${options.token}`
  if (options.json !== undefined) headers['Content-Type'] = 'application/json'
  const body = options.json === undefined ? options.body?.slice() : JSON.stringify(options.json)
  try {
    const response = await fetch(url + path, {
      method,
      headers,
      redirect: 'error',
      signal: options.signal ? AbortSignal.any([options.signal, limit]) : limit,
      ...(body === undefined ? {} : { body }),
    })
    const answer = await bytesOf(response)
    if (!response.ok) throw refusal(response, answer)
    return answer
  } catch (error) {
    if (error instanceof RelayError) throw error
    throw new RelayError('unreachable', 0, `the relay ${url} cannot be reached`, { cause: error })
  }
}
