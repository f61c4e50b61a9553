/**
 * Carries out arranged actions: each is noted in the journal before the user's folder changes, checked against what
 * the plan saw, and told to the base once it is durable. What would be lost is kept in the version store first.
 * A single action may fail without the others; what is no longer as the plan saw it is left for the next plan.
 */

import type { NodeId } from '@cofolder/protocol'
import type { Action } from './arrange.ts'
import { type BaseEntry, type BaseTree, sameBytes, stampOf } from './base.ts'
import { type FileStat, FileSystemError } from './file-system.ts'
import { type Job, type JobOptions, Jobs } from './jobs.ts'
import { CALLS_AT_ONCE, STEPS_AT_ONCE } from './limits.ts'
import { forEachParallel } from './parallel.ts'
import { PinnedFolders } from './pinned-folders.ts'

/** Answers how many actions were done. */
export async function carryOut(waves: readonly (readonly Action[])[], options: JobOptions): Promise<number> {
  const jobs = new Jobs(options)
  let done = 0
  for (const wave of waves) {
    for (let i = 0; i < wave.length; i += STEPS_AT_ONCE) {
      done += await runBatch(wave.slice(i, i + STEPS_AT_ONCE), jobs, options)
    }
  }
  return done
}

let batches = 0

async function runBatch(actions: readonly Action[], jobs: Jobs, options: JobOptions): Promise<number> {
  const { base, store, fs, root } = options
  const ready: Job[] = []
  const guarded = async (
    action: Action,
    path: readonly string[],
    run: () => Promise<void>,
  ): Promise<void> => {
    try {
      await run()
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error
      options.onFailure(action, path, error)
    }
  }
  await forEachParallel(actions, CALLS_AT_ONCE, (action) =>
    guarded(action, jobs.pathOf(action), async () => {
      const job = await jobs.prepare(action)
      if (job) ready.push(job)
      else options.onStale(action, jobs.pathOf(action))
    }),
  )
  const safe = await keepVictims(ready, options)
  if (safe.length === 0) return 0

  const batch = ++batches
  const intents = new Map(safe.map(({ intent }, i) => [`${batch}-${i}`, intent]))
  await store.begin(intents)
  const put: BaseEntry[] = []
  const del: NodeId[] = []
  const folders = new PinnedFolders(fs, root)
  try {
    await forEachParallel(safe, CALLS_AT_ONCE, ({ action, path, run }) =>
      guarded(action, path, async () => {
        const effect = await run(folders)
        if (!effect) options.onStale(action, path)
        else if ('put' in effect) put.push(effect.put)
        else del.push(effect.del)
        if (effect && isFolder(base, action)) options.onFolderLeft(path)
      }),
    )
    await folders.sync()
  } finally {
    await folders.close()
  }
  await store.commit({ put, del, done: intents.keys() })
  for (const node of del) base.delete(node)
  for (const entry of put) base.set(entry)
  return put.length + del.length
}

function isFolder(base: BaseTree, action: Action): boolean {
  if (action.do !== 'move' && action.do !== 'remove' && action.do !== 'park') return false
  return base.get('entry' in action ? action.entry.node : action.node)?.content.kind === 'folder'
}

/** The jobs whose victims are safe in the version store. */
async function keepVictims(jobs: readonly Job[], options: JobOptions): Promise<readonly Job[]> {
  const { share, root, history } = options
  const requests = jobs.flatMap(({ victim, path }) => {
    if (victim?.content.kind !== 'file') return []
    const { node, version, content, stamp } = victim
    const file = [root, ...path].join('/')
    const expected = (stat: FileStat) => sameBytes(stampOf(stat), stamp)
    return { share, node, version, path: path.join('/'), file, sha256: content.sha256, expected }
  })
  if (requests.length === 0) return jobs
  const results = await history.keep(requests)
  const failed = new Map(requests.flatMap(({ node }, i) => (results[i] ? [[node, results[i]]] : [])))
  return jobs.filter(({ action, victim, path }) => {
    const error = victim && failed.get(victim.node)
    if (!error) return true
    const known =
      error instanceof FileSystemError ? error : new FileSystemError('io', error.message, { cause: error })
    options.onFailure(action, path, known)
    return false
  })
}
