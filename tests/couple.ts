/** Two people with real daemons who share one folder: the start of most scenarios. */
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Daemon, startDaemon } from './daemon.ts'
import { scratch } from './folders.ts'

export interface Couple extends AsyncDisposable {
  readonly directory: string
  readonly alice: Daemon
  readonly bob: Daemon
  /** Alice's and Bob's folder. */
  readonly a: string
  readonly b: string
  readonly share: string
  readonly link: string
  /** Waits until both say that everything is in sync. */
  settled(timeoutSeconds?: number): Promise<void>
}

/** Runs a command that must succeed. */
export async function must(daemon: Daemon, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.cli(...args)
  assert.equal(code, 0, `cofolder ${args.join(' ')}: ${stderr}`)
  return stdout
}

/** Alice shares a folder (with `role`), Bob accepts it by link. Both daemons end when disposed. */
export async function couple(options: { role?: 'viewer' | 'editor'; relay?: string } = {}): Promise<Couple> {
  const stack = new AsyncDisposableStack()
  try {
    const { path: directory } = stack.use(await scratch())
    const a = join(directory, 'alice-folder')
    const b = join(directory, 'bob-folder')
    await mkdir(a)
    const relay = options.relay === undefined ? {} : { relay: options.relay }
    const alice = stack.use(await startDaemon({ home: join(directory, 'alice'), name: 'Alice', ...relay }))
    const bob = stack.use(await startDaemon({ home: join(directory, 'bob'), name: 'Bob', ...relay }))
    const role = options.role ?? 'editor'
    const { share, link } = await alice.json<{ share: string; link: string }>('share', a, '--role', role)
    await bob.json('accept', link, '--to', b)
    return {
      directory,
      alice,
      bob,
      a,
      b,
      share,
      link,
      async settled(timeoutSeconds = 60) {
        await must(bob, 'wait', '--timeout', `${timeoutSeconds}`)
        await must(alice, 'wait', '--timeout', `${timeoutSeconds}`)
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}
