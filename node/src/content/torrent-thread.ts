/** A torrent thread: one WebTorrent client that serves and fetches. Each thread has its own port and core. */
import type { Torrent } from 'webtorrent'
import { givePackBuffer, takePackBuffer } from './buffers.ts'
import { type Client, startClient } from './client.ts'
import { ContentError } from './content.ts'
import { createFetching, type Fetching } from './fetching.ts'
import { createServing, type Serving } from './serving.ts'
import { answerJobs } from './thread.ts'
import { madeGarbage } from './tidy.ts'
import type { TorrentEvent, TorrentJobs } from './torrent-jobs.ts'
import { createTracking, type Tracking } from './tracking.ts'
import { unpack } from './unpack.ts'

/** How often progress is told and idleness looked at, in milliseconds. */
const SWEEP_EVERY = 200

interface Running {
  readonly client: Client
  readonly serving: Serving
  readonly fetching: Fetching
  readonly tracking: Tracking
}

let running: Promise<Running> | undefined
const unreported = { received: 0, sent: 0 }

function countTraffic(torrent: Torrent): void {
  torrent.on('download', (bytes: number) => {
    unreported.received += bytes
  })
  torrent.on('upload', (bytes: number) => {
    unreported.sent += bytes
  })
}

function reportTraffic(): void {
  const { received, sent } = unreported
  if (received + sent === 0) return
  unreported.received = 0
  unreported.sent = 0
  tell({ type: 'traffic', received, sent })
}

async function start(host: string): Promise<Running> {
  const client = await startClient(host, (error) => {
    // The client is unusable: end the thread, whose owner starts another.
    throw error
  })
  const tracking = createTracking(client)
  const serving = createServing(client, countTraffic, (infoHash) => {
    tracking.stop(infoHash)
    tell({ type: 'unloaded', infoHash })
  })
  const fetching = createFetching(client, serving.unload, {
    traffic: countTraffic,
    lost: (infoHash, holder, reason) => tell({ type: 'lost', infoHash, holder, reason }),
    progress: (infoHash, received) => tell({ type: 'progress', infoHash, received }),
  })
  setInterval(() => {
    const now = Date.now()
    reportTraffic()
    serving.sweep(now)
    fetching.sweep(now)
  }, SWEEP_EVERY)
  return { client, serving, fetching, tracking }
}

async function started(): Promise<Running> {
  if (!running) throw new ContentError('io', 'the torrent thread has not started')
  return await running
}

const tell = answerJobs<TorrentJobs, TorrentEvent>({
  async listen({ host }) {
    running ??= start(host)
    const { client } = await running
    return { port: client.port }
  },
  serve: async (segment) => void (await (await started()).serving.serve(segment)),
  touch: async ({ infoHash }) => (await started()).serving.touch(infoHash),
  async announce({ infoHash, trackers }) {
    const { serving, tracking } = await started()
    if (serving.touch(infoHash)) tracking.start(infoHash, trackers)
    return undefined
  },
  pack: async ({ files, contentKey }) => (await started()).serving.pack(files, contentKey),
  attach: async ({ infoHash, stream, id }) => (await started()).serving.attach(infoHash, stream, id),
  async fetch(wanted) {
    const { fetching } = await started()
    const received = await fetching.segment(wanted)
    reportTraffic()
    return received
  },
  async fetchPack({ infoHash, info, files, contentKey }) {
    const { fetching } = await started()
    const size = files.reduce((sum, file) => sum + file.size, 0)
    const memory = takePackBuffer(size)
    await fetching.payload(infoHash, info, memory)
    reportTraffic()
    const results = await unpack(contentKey, memory, files)
    givePackBuffer(memory)
    madeGarbage(size)
    return results
  },
  peer: async ({ infoHash, holder, path }) =>
    void (await (await started()).fetching.peer(infoHash, holder, path)),
  stop: async ({ infoHash }) => void (await started()).fetching.stop(infoHash),
})
