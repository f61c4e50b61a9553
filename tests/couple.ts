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
  const place = await scratch()
  const a = join(place.path, 'alice-folder')
  const b = join(place.path, 'bob-folder')
  await mkdir(a)
  const relay = options.relay === undefined ? {} : { relay: options.relay }
  const alice = await startDaemon({ home: join(place.path, 'alice'), name: 'Alice', ...relay })
  const bob = await startDaemon({ home: join(place.path, 'bob'), name: 'Bob', ...relay })
  const { share, link } = await alice.json<{ share: string; link: string }>(
    'share',
    a,
    '--role',
    options.role ?? 'editor',
  )
  await bob.json('accept', link, '--to', b)
  return {
    directory: place.path,
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
    async [Symbol.asyncDispose]() {
      await Promise.all([alice.down(), bob.down()])
      await place[Symbol.asyncDispose]()
    },
  }
}
