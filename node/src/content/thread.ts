/**
 * A worker thread that answers jobs. It starts with its first job, keeps the process alive only while it has some,
 * and ends when it had nothing to do for a while (its memory counts).
 */
import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { type MessagePort, parentPort, type Transferable, Worker } from 'node:worker_threads'
import { ContentError } from './content.ts'
import { type ErrorData, fromErrorData, toErrorData } from './errors.ts'

/** Megabytes for young objects: threads hold little but buffers, and are many. */
const YOUNG_GENERATION = 8

/** Jobs a kind of thread knows: name → what goes in and what comes out. */
export type Jobs = Record<string, { in: unknown; out: unknown }>

/**
 * Threads use the compile cache of the process, if it has one: without it each loads the TypeScript compiler, which
 * costs 15 MB and 50 ms apiece.
 */
function compileCache(): { NODE_COMPILE_CACHE?: string } {
  const versioned = getCompileCacheDir()
  return versioned === undefined ? {} : { NODE_COMPILE_CACHE: dirname(versioned) }
}

interface Call<J extends Jobs> {
  readonly id: number
  readonly job: keyof J
  readonly input: J[keyof J]['in']
}
type Answer<T> =
  | { readonly id: number; readonly result: T; readonly error?: undefined }
  | { readonly id: number; readonly error: ErrorData }
type FromThread<E> = Answer<never> | { readonly event: E }

interface Settle {
  // A method, so that the answer of any job may be stored under its id.
  settle(answer: Answer<never>): void
  fail(error: Error): void
}

export interface Thread<J extends Jobs> {
  run<K extends keyof J>(job: K, input: J[K]['in'], transfer?: readonly Transferable[]): Promise<J[K]['out']>
  /** Jobs not answered yet. */
  readonly load: number
  close(): Promise<void>
}

export interface ThreadOptions<E> {
  readonly script: URL
  /** Milliseconds without jobs (and without `isBusy`) after which the thread ends. */
  readonly idle: number
  readonly isBusy?: () => boolean
  readonly onEvent?: (event: E) => void
  /** The thread is gone, by itself or because it was idle; the next job starts another. */
  readonly onEnd?: () => void
}

export function createThread<J extends Jobs, E = never>(options: ThreadOptions<E>): Thread<J> {
  const pending = new Map<number, Settle>()
  let worker: Worker | undefined
  let idle: NodeJS.Timeout | undefined
  let nextId = 0
  let closed = false

  function start(): Worker {
    const started = new Worker(options.script, {
      env: { ...process.env, ...compileCache() },
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION },
    })
    started.on('message', (message: FromThread<E>) => {
      if ('event' in message) {
        options.onEvent?.(message.event)
        return
      }
      const settle = pending.get(message.id)
      pending.delete(message.id)
      if (pending.size === 0) rest()
      settle?.settle(message)
    })
    const end = (error: Error) => {
      if (worker !== started) return
      worker = undefined
      clearTimeout(idle)
      const lost = [...pending.values()]
      pending.clear()
      options.onEnd?.()
      for (const settle of lost) settle.fail(error)
    }
    started.on('error', (cause) => end(new ContentError('io', 'a content thread failed', { cause })))
    started.on('exit', () => end(new ContentError('aborted', 'the content thread ended')))
    return started
  }

  function rest(): void {
    worker?.unref()
    clearTimeout(idle)
    idle = setTimeout(() => {
      if (pending.size > 0) return
      if (options.isBusy?.()) rest()
      else void worker?.terminate()
    }, options.idle)
    idle.unref()
  }

  return {
    get load() {
      return pending.size
    },
    run(job, input, transfer = []) {
      if (closed) return Promise.reject(new ContentError('aborted', 'content is closed'))
      clearTimeout(idle)
      worker ??= start()
      worker.ref()
      const id = nextId++
      const call: Call<J> = { id, job, input }
      return new Promise((resolve, reject) => {
        pending.set(id, {
          settle: (answer) =>
            answer.error === undefined ? resolve(answer.result) : reject(fromErrorData(answer.error)),
          fail: reject,
        })
        worker?.postMessage(call, [...transfer])
      })
    },
    async close() {
      closed = true
      clearTimeout(idle)
      await worker?.terminate()
    },
  }
}

type Handlers<J extends Jobs> = { [K in keyof J]: (input: J[K]['in']) => Promise<J[K]['out']> | J[K]['out'] }

/** The thread's side: answers jobs with these handlers; returns how to tell events. */
export function answerJobs<J extends Jobs, E = never>(handlers: Handlers<J>): (event: E) => void {
  const port: MessagePort | null = parentPort
  if (!port) throw new Error('this module runs in a worker thread')
  const answer = async (call: Call<J>): Promise<void> => {
    try {
      const result = await handlers[call.job](call.input)
      port.postMessage({ id: call.id, result })
    } catch (error) {
      port.postMessage({ id: call.id, error: toErrorData(error) })
    }
  }
  port.on('message', (call: Call<J>) => void answer(call))
  return (event) => port.postMessage({ event })
}
