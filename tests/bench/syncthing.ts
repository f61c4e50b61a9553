/** Debian's Syncthing as a contender: two instances on loopback, discovery and relays off. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { Contender } from './contender.ts'
import { until } from './measure.ts'
import { processTree } from './processes.ts'

interface Instance {
  readonly home: string
  readonly folder: string
  readonly api: string
  readonly key: string
  readonly listen: string
  id: string
  child: ChildProcess
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

async function rest(instance: Instance, method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${instance.api}${path}`, {
    method,
    headers: { 'X-API-Key': instance.key, 'Content-Type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  if (!response.ok)
    throw new Error(`syncthing ${method} ${path}: ${response.status} ${await response.text()}`)
  const text = await response.text()
  return text === '' ? undefined : JSON.parse(text)
}

function spawnInstance(instance: Omit<Instance, 'child' | 'id'>): ChildProcess {
  return spawn(
    'syncthing',
    [
      'serve',
      '--no-browser',
      '--no-restart',
      '--no-upgrade',
      `--home=${instance.home}`,
      `--gui-address=${instance.api}`,
      `--gui-apikey=${instance.key}`,
    ],
    { stdio: 'ignore', env: { ...process.env, STNODEFAULTFOLDER: '1' } },
  )
}

const answers = (instance: Instance): Promise<void> =>
  until(
    () =>
      rest(instance, 'GET', '/rest/system/ping').then(
        () => true,
        () => false,
      ),
    30_000,
  )

async function launch(home: string, folder: string): Promise<Instance> {
  await mkdir(home, { recursive: true })
  await mkdir(folder, { recursive: true })
  execFileSync('syncthing', ['generate', `--home=${home}`, '--no-default-folder', '--skip-port-probing'], {
    stdio: 'ignore',
  })
  const base = {
    home,
    folder,
    api: `http://127.0.0.1:${await freePort()}`,
    key: 'bench',
    listen: `tcp://127.0.0.1:${await freePort()}`,
  }
  const instance: Instance = { ...base, id: '', child: spawnInstance(base) }
  await answers(instance)
  const status = (await rest(instance, 'GET', '/rest/system/status')) as { myID: string }
  instance.id = status.myID
  await rest(instance, 'PATCH', '/rest/config/options', {
    listenAddresses: [instance.listen],
    globalAnnounceEnabled: false,
    localAnnounceEnabled: false,
    relaysEnabled: false,
    natEnabled: false,
    urAccepted: -1,
    crashReportingEnabled: false,
    reconnectionIntervalS: 1,
  })
  return instance
}

async function join2(instance: Instance, other: Instance): Promise<void> {
  await rest(instance, 'POST', '/rest/config/devices', { deviceID: other.id, addresses: [other.listen] })
  await rest(instance, 'POST', '/rest/config/folders', {
    id: 'bench',
    path: instance.folder,
    devices: [{ deviceID: instance.id }, { deviceID: other.id }],
    fsWatcherEnabled: true,
    fsWatcherDelayS: 1,
  })
}

/** Starts two instances that share one folder under `directory`. */
export async function startSyncthing(directory: string): Promise<Contender> {
  const a = await launch(join(directory, 'home-a'), join(directory, 'a'))
  const b = await launch(join(directory, 'home-b'), join(directory, 'b'))
  await join2(a, b)
  await join2(b, a)
  await until(async () => {
    const { connections } = (await rest(a, 'GET', '/rest/system/connections')) as {
      connections: Record<string, { connected: boolean }>
    }
    return connections[b.id]?.connected === true
  }, 60_000)
  const instances = { a, b }
  const stop = async (instance: Instance): Promise<void> => {
    const ended = once(instance.child, 'exit')
    instance.child.kill('SIGTERM')
    await ended
  }
  return {
    name: 'syncthing',
    a: a.folder,
    b: b.folder,
    pids: (side) => processTree(instances[side].child.pid),
    nudge: async (side) => {
      await rest(instances[side], 'POST', '/rest/db/scan?folder=bench')
    },
    async restart() {
      await stop(a)
      const started = performance.now()
      a.child = spawnInstance(a)
      await answers(a)
      await until(async () => {
        const status = (await rest(a, 'GET', '/rest/db/status?folder=bench').catch(() => ({
          state: '',
        }))) as { state: string }
        return status.state === 'idle'
      }, 600_000)
      return performance.now() - started
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([stop(a), stop(b)])
    },
  }
}
