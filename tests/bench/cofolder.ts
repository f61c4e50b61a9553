/** Cofolder as a contender: two daemons as separate processes on loopback, sharing one folder. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { startDaemon } from '../daemon.ts'
import type { Contender } from './contender.ts'
import { processTree } from './processes.ts'

/** Starts two users under `directory`; the first shares a folder, the second accepts it. */
export async function startCofolder(directory: string): Promise<Contender> {
  const folders = { a: join(directory, 'a'), b: join(directory, 'b') }
  await mkdir(folders.a)
  let alice = await startDaemon({ home: join(directory, 'home-a'), name: 'Alice' })
  const bob = await startDaemon({ home: join(directory, 'home-b'), name: 'Bob' })
  const { link } = await alice.json<{ link: string }>('share', folders.a, '--role', 'editor')
  await bob.json('accept', link, '--to', folders.b)
  await bob.cli('wait', '--timeout', '60')
  return {
    name: 'cofolder',
    ...folders,
    pids: (side) => processTree((side === 'a' ? alice : bob).pid),
    nudge: async () => {},
    async restart() {
      await alice.down()
      const started = performance.now()
      alice = await startDaemon({ home: join(directory, 'home-a'), name: 'Alice' })
      await alice.cli('wait', '--timeout', '600')
      return performance.now() - started
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([alice.down(), bob.down()])
    },
  }
}
