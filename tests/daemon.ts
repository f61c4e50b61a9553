/** Real daemons and relays as separate processes on loopback, driven through the command line as a person would. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

const COFOLDER = join(import.meta.dirname, '../node/bin/cofolder.js')
const START_TIMEOUT_MS = 30_000
const COMMAND_TIMEOUT_MS = 300_000
const STOP_TIMEOUT_MS = 15_000

interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Daemon extends AsyncDisposable {
  readonly pid: number
  readonly home: string
  /** Runs one command in this profile. `input` goes to its standard input. */
  cli(...args: string[]): Promise<CommandResult>
  /** Runs a command with `--json`, which must succeed, and parses what it prints. */
  json<T>(...args: string[]): Promise<T>
  /** `cofolder down`, and waits for the process to end. Does nothing when it has ended. */
  down(): Promise<void>
  kill9(): Promise<void>
  /** What the daemon printed so far, for messages of failing tests. */
  output(): string
}

export interface RelayProcess extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  readonly port: number
  kill9(): Promise<void>
}

/** Runs `cofolder` with a profile and collects what it prints. */
async function cofolder(home: string, args: readonly string[], input = ''): Promise<CommandResult> {
  const child = spawn(process.execPath, [COFOLDER, ...args], {
    env: { ...process.env, COFOLDER_HOME: home },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: COMMAND_TIMEOUT_MS,
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin.end(input)
  const [code] = await once(child, 'close')
  return { code: typeof code === 'number' ? code : 1, stdout, stderr }
}

function ended(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function kill9(child: ChildProcess): Promise<void> {
  if (ended(child)) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

/** Starts `cofolder up` and resolves once it answers. @throws Error with its output when it does not start. */
export async function startDaemon(options: {
  home: string
  name: string
  relay?: string
  args?: readonly string[]
}): Promise<Daemon> {
  const relay = options.relay === undefined ? [] : ['--relay', options.relay]
  const child = spawn(
    process.execPath,
    [
      COFOLDER,
      'up',
      '--no-open',
      '--port',
      '0',
      '--listen',
      '127.0.0.1',
      '--name',
      options.name,
      ...relay,
      ...(options.args ?? []),
    ],
    { env: { ...process.env, COFOLDER_HOME: options.home }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const { pid } = child
  if (pid === undefined) throw new Error('the daemon could not be spawned')
  const run = (args: readonly string[]): Promise<CommandResult> => cofolder(options.home, args)

  const deadline = Date.now() + START_TIMEOUT_MS
  for (;;) {
    if (ended(child)) throw new Error(`the daemon ended while starting:\n${output}`)
    const status = await run(['status', '--json'])
    if (status.code === 0 && status.stdout.includes('"running":true')) break
    if (Date.now() > deadline) {
      await kill9(child)
      throw new Error(`the daemon was not ready within ${START_TIMEOUT_MS / 1000} s:\n${output}`)
    }
    await delay(50)
  }

  const down = async (): Promise<void> => {
    if (ended(child)) return
    const exit = once(child, 'exit')
    const { code, stderr } = await run(['down'])
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await exit
    clearTimeout(late)
    if (child.signalCode === 'SIGKILL')
      throw new Error(`the daemon did not stop by itself (down: ${code} ${stderr}):\n${output}`)
  }
  return {
    pid,
    home: options.home,
    cli: (...args) => run(args),
    async json<T>(...args: string[]): Promise<T> {
      const { code, stdout, stderr } = await run([...args, '--json'])
      if (code !== 0) throw new Error(`cofolder ${args.join(' ')}: exit ${code}: ${stderr}\n${output}`)
      return JSON.parse(stdout) as T
    },
    down,
    kill9: () => kill9(child),
    output: () => output,
    [Symbol.asyncDispose]: down,
  }
}

/** Starts `cofolder relay` and resolves once it has printed its address. */
export async function startRelay(options: { data: string; port?: number }): Promise<RelayProcess> {
  const child = spawn(
    process.execPath,
    [COFOLDER, 'relay', '--host', '127.0.0.1', '--port', `${options.port ?? 0}`, '--data', options.data],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const { pid } = child
  if (pid === undefined) throw new Error('the relay could not be spawned')
  const lines = createInterface({ input: child.stdout })
  const [line] = await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error('the relay ended while starting'))),
  ])
  const { url } = JSON.parse(String(line)) as { url: string }
  const stop = async (): Promise<void> => {
    if (ended(child)) return
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    await exit
  }
  return { pid, url, port: Number(new URL(url).port), kill9: () => kill9(child), [Symbol.asyncDispose]: stop }
}
