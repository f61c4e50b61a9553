/** `cofolder up`: runs the daemon until it is told to stop. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { findDaemon } from '../profile/profile.ts'
import { CommandError, connectClient } from './client.ts'

export interface UpOptions {
  readonly home: string
  readonly port?: number
  readonly relay?: readonly string[]
  readonly name?: string
  readonly open: boolean
  readonly listen: string
}

export async function up(options: UpOptions): Promise<void> {
  const signals = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM'), once(process, 'SIGHUP')])
  // Loaded here, so that the other commands start without the daemon's libraries.
  const { startDaemon } = await import('../daemon/daemon.ts')
  const daemon = await startDaemon({
    home: options.home,
    listenHost: options.listen,
    log: (line) => process.stderr.write(`${new Date().toISOString()} ${line}\n`),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.relay === undefined ? {} : { relays: options.relay }),
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  process.stdout.write(`Cofolder runs. Its page: ${daemon.page}\n`)
  if (options.open && process.stdout.isTTY) openBrowser(daemon.page)
  await Promise.race([daemon.stopRequested, signals])
  await daemon.close()
  // Libraries may hold timers that nothing waits for any more.
  process.exit(0)
}

/** Opens the page where there is a desktop; elsewhere the printed address must do. */
function openBrowser(address: string): void {
  const command =
    process.platform === 'darwin' ? 'open' : process.platform === 'win32' ? 'explorer' : 'xdg-open'
  spawn(command, [address], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref()
}

const STOP_TIMEOUT_MS = 15_000
const POLL_MS = 50

/** `cofolder down`: asks the daemon to stop and returns when its process is gone. */
export async function down(home: string): Promise<void> {
  const found = await findDaemon(home)
  const client = await connectClient(home)
  await client.call('POST', '/down')
  const deadline = Date.now() + STOP_TIMEOUT_MS
  while (found && isAlive(found.running.pid)) {
    if (Date.now() > deadline) throw new CommandError('Cofolder did not stop in time: see its output')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
