/** The `cofolder relay` command: a relay alone, until it is told to stop. */
import { once } from 'node:events'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startRelay } from './relay.ts'

const DEFAULT_PORT = 4747
/** A relay of its own is there for others. */
const DEFAULT_HOST = '0.0.0.0'
const MAX_PORT = 65_535
const WRONG_USAGE = 2

export const RELAY_USAGE = `Usage: cofolder relay [options]

Runs a relay: it connects the devices of people who share folders, keeps their sealed changes and letters while
they are offline, and can read none of it. Prints one line of JSON when it is ready.

  --port N             HTTP port (${DEFAULT_PORT}); 0 picks a free one
  --host H             address to listen on (${DEFAULT_HOST})
  --data DIR           where its key and database rest
  --public-url U       what others use to reach it, for example https://relay.example.org behind a TLS proxy
  --libp2p-port N      TCP port for connections between devices; any free one when not given
  --udp-port N         UDP port of the tracker; the number of the HTTP port when not given
  --trust-proxy        take clients' addresses from X-Forwarded-For
  --help               show this
`

const OPTIONS = {
  port: { type: 'string' },
  host: { type: 'string' },
  data: { type: 'string' },
  'public-url': { type: 'string' },
  'libp2p-port': { type: 'string' },
  'udp-port': { type: 'string' },
  'trust-proxy': { type: 'boolean' },
  help: { type: 'boolean' },
} as const

class UsageError extends Error {}

function portFrom(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const port = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(port <= MAX_PORT)) throw new UsageError(`--${name} needs a number from 0 to ${MAX_PORT}`)
  return port
}

function urlFrom(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  if (!/^https?:$/.test(URL.parse(text)?.protocol ?? ''))
    throw new UsageError('--public-url needs an address that begins with http:// or https://')
  return text
}

function optionsFrom(args: readonly string[]) {
  const { values } = parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false })
  const udpPort = portFrom('udp-port', values['udp-port'])
  const libp2pPort = portFrom('libp2p-port', values['libp2p-port'])
  const publicUrl = urlFrom(values['public-url'])
  return {
    help: values.help === true,
    relay: {
      host: values.host ?? DEFAULT_HOST,
      port: portFrom('port', values.port) ?? DEFAULT_PORT,
      dataDir: values.data ?? join(process.env.COFOLDER_HOME ?? join(homedir(), '.cofolder'), 'relay'),
      trustProxy: values['trust-proxy'] === true,
      ...(udpPort === undefined ? {} : { udpPort }),
      ...(libp2pPort === undefined ? {} : { libp2pPort }),
      ...(publicUrl === undefined ? {} : { publicUrl }),
    },
  }
}

/** Where the command writes; the process itself when not given. */
export interface RelayOutput {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
}

/**
 * Runs a relay until SIGINT or SIGTERM. `args` follow the word `relay`. Resolves to the exit code: 0 after a clean
 * stop, 1 when it could not start (one line on standard error says why), 2 on wrong usage.
 */
export async function runRelay(args: readonly string[], output: RelayOutput = process): Promise<number> {
  const { stdout, stderr } = output
  let options: ReturnType<typeof optionsFrom>
  try {
    options = optionsFrom(args)
  } catch (error) {
    stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${RELAY_USAGE}`)
    return WRONG_USAGE
  }
  if (options.help) {
    stdout.write(RELAY_USAGE)
    return 0
  }
  // Listening before it starts, so that a signal meanwhile is not lost.
  const stopping = new AbortController()
  const stopped = Promise.race([
    once(process, 'SIGINT', { signal: stopping.signal }),
    once(process, 'SIGTERM', { signal: stopping.signal }),
  ])
  stopped.catch(() => undefined)
  try {
    await using relay = await startRelay({
      ...options.relay,
      log: (line) => stderr.write(`${new Date().toISOString()} ${line}\n`),
    })
    const { url, tracker, libp2p } = relay
    stdout.write(`${JSON.stringify({ url, tracker, libp2p })}\n`)
    await stopped
    return 0
  } catch (error) {
    stderr.write(`the relay could not run: ${reasonOf(error)}\n`)
    return 1
  } finally {
    stopping.abort()
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (!('code' in error)) return error.message
  if (error.code === 'EADDRINUSE') return 'the port is in use; choose another with --port'
  if (error.code === 'LEVEL_DATABASE_NOT_OPEN')
    return 'its database is in use by another relay, or cannot be opened'
  return error.message
}
