/** Devices in processes of their own, for tests that kill them. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { ChildCall, ChildReply } from './calls.ts'

export interface ProcessPeer extends AsyncDisposable {
  readonly process: ChildProcess
  readonly device: NonNullable<ChildReply['device']>
  readonly addresses: NonNullable<ChildReply['addresses']>
  /** Sends a call and waits for a reply that has the field. */
  call<K extends keyof ChildReply>(call: ChildCall, field: K): Promise<NonNullable<ChildReply[K]>>
  connect(other: ProcessPeer): Promise<void>
  /** Kills it without warning. */
  kill(): Promise<void>
}

/** `folder` takes its temporary files; what a killed process leaves goes with it. */
export async function startProcess(folder: string): Promise<ProcessPeer> {
  const child = fork(new URL('./child.ts', import.meta.url), {
    serialization: 'advanced',
    env: { ...process.env, TMPDIR: folder },
  })
  const exited = once(child, 'exit')

  function next<T>(pick: (reply: ChildReply) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        child.off('message', onMessage)
        child.off('exit', onExit)
      }
      const onMessage = (reply: ChildReply): void => {
        const picked = pick(reply)
        if (reply.failure !== undefined) {
          end()
          reject(new Error(reply.failure))
        } else if (picked !== undefined) {
          end()
          resolve(picked)
        }
      }
      const onExit = (): void => {
        end()
        reject(new Error('the process ended'))
      }
      child.on('message', onMessage)
      child.on('exit', onExit)
    })
  }

  const { device, addresses } = await next((reply) =>
    reply.device && reply.addresses ? { device: reply.device, addresses: reply.addresses } : undefined,
  )
  return {
    process: child,
    device,
    addresses,
    call(call, field) {
      const reply = next((message) => message[field] ?? undefined)
      child.send(call)
      return reply
    },
    async connect(other) {
      const done = next((reply) => (Object.keys(reply).length === 0 ? true : undefined))
      child.send({ do: 'connect', device: other.device, addresses: other.addresses } satisfies ChildCall)
      await done
    },
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        if (child.connected) child.send({ do: 'end' } satisfies ChildCall)
        await exited
      }
    },
  }
}
