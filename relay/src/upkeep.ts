/** What is done now and then: expired values go, sizes and depths are measured. */
import type { Metrics } from './http/metrics.ts'
import { type RelayLimits, SWEEP_INTERVAL } from './limits.ts'
import type { RelayStorage } from './storage/storage.ts'

export interface Upkeep {
  /** False when new data is to be refused, since what is stored has reached its limit. */
  readonly hasRoom: () => boolean
  close(): Promise<void>
}

export async function startUpkeep(options: {
  readonly storage: RelayStorage
  readonly limits: RelayLimits
  readonly metrics: Metrics
  readonly log: (line: string) => void
}): Promise<Upkeep> {
  const { storage, limits, metrics, log } = options
  let size = 0
  const counts = { access: 0, mail: 0, inbox: 0, link: 0, torrent: 0 }
  metrics.gauge('stored_bytes', 'Bytes in the database', () => size)
  metrics.gauge('documents', 'Documents with an access statement', () => counts.access)
  metrics.gauge('mailbox_messages', 'Envelopes that wait', () => counts.mail)
  metrics.gauge('inbox_messages', 'Submissions that wait', () => counts.inbox)
  metrics.gauge('links', 'Share links', () => counts.link)
  metrics.gauge('torrents', 'Info hashes the tracker serves', () => counts.torrent)

  async function run(): Promise<void> {
    await storage.sweep()
    size = await storage.size()
    for (const kind of ['access', 'mail', 'inbox', 'link', 'torrent'] as const)
      counts[kind] = await storage.values.count(`${kind}!`)
  }

  await run()
  let running = Promise.resolve()
  const timer = setInterval(() => {
    // One at a time, however long it takes.
    running = running.then(run).catch((error: Error) => log(`upkeep: ${error.message}`))
  }, SWEEP_INTERVAL)
  timer.unref()
  return {
    hasRoom: () => size < limits.storedBytes,
    async close() {
      clearInterval(timer)
      await running
    },
  }
}
