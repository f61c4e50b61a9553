/** Fetching of segments: each from up to a few holders in one swarm, again and again until it is here. */
import { type DeviceId, equalBytes, type Segment, type ShareId, toHex } from '@cofolder/protocol'
import { onAbort } from './abort.ts'
import { aborted } from './errors.ts'
import { type Holders, retryDelay } from './holders.ts'
import { infoHashOf, piecesOf } from './info.ts'
import { payloadKey } from './keys.ts'
import { CORRUPT_FOR, MAX_SWARM } from './limits.ts'
import { createSlots } from './slots.ts'
import { createSwarm, type Swarm } from './swarm.ts'
import type { LostReason } from './torrent-jobs.ts'
import type { Torrents } from './torrents.ts'

interface SegmentRequest {
  readonly share: ShareId
  readonly segment: Segment
  readonly contentKey: Uint8Array
  readonly to: string
  readonly offset: number
  /** Whether some of its bytes may stand in the file already. */
  readonly partial: boolean
  readonly signal: AbortSignal
  readonly onWaiting: () => void
  /** More bytes arrived. */
  readonly onReceived: (bytes: number) => void
}

export interface Segments {
  /** Resolves when all pieces are in the file. @throws ContentError */
  fetch(request: SegmentRequest): Promise<void>
}

/** What one segment's transfer learnt about holders. */
interface Standing {
  /** Do not have it, or cannot be reached: until holders change. */
  readonly without: Set<DeviceId>
  /** Sent wrong bytes: until when they are not asked. */
  readonly corrupt: Map<DeviceId, number>
  /** After wrong bytes out of a swarm: one holder at a time, so that the guilty one shows. */
  alone: boolean
}

export function createSegments(holders: Holders, torrents: Torrents): Segments {
  const slots = createSlots(torrents.openSegments)

  /** One go with whoever is there now: true when it is complete, and whether anything arrived. */
  function attempt(
    request: SegmentRequest,
    standing: Standing,
    check: boolean,
  ): Promise<{ complete: boolean; gained: boolean }> {
    const { share, segment, contentKey, to, offset, signal } = request
    const { size, sha256 } = segment
    const infoHash = new Uint8Array(segment.infoHash)
    const outcome = Promise.withResolvers<{ complete: boolean; gained: boolean }>()
    const tried = new Set<DeviceId>()
    const connected = new Set<DeviceId>()
    let asking = 0
    let received = 0
    let swarm: Swarm<number> | undefined

    const candidates = (): DeviceId[] => {
      const now = Date.now()
      return holders
        .available(share)
        .filter(
          (device) =>
            !tried.has(device) && !standing.without.has(device) && (standing.corrupt.get(device) ?? 0) < now,
        )
    }
    const stop = () => {
      if (swarm) swarm.stop()
      else outcome.reject(aborted(signal))
    }
    const settle = () => {
      if (signal.aborted) return stop()
      const wanted = standing.alone ? 1 : MAX_SWARM
      for (const device of candidates()) {
        if (connected.size + asking >= wanted) break
        void ask(device)
      }
      if (asking > 0 || connected.size > 0) return
      if (swarm) swarm.stop()
      else outcome.resolve({ complete: false, gained: false })
    }

    function progress(total: number): void {
      request.onReceived(total - received)
      received = total
    }

    function begin(info: Uint8Array): Swarm<number> {
      const started = createSwarm({
        holders,
        share,
        infoHash,
        begin: (events) =>
          torrents.fetchSegment(
            { infoHash: toHex(infoHash), info, to, offset, size, key: payloadKey(contentKey, sha256), check },
            events,
          ),
        onProgress: progress,
        onLost(device, reason) {
          connected.delete(device)
          learn(device, reason)
          settle()
        },
      })
      started.done.then(
        (total) => {
          progress(total)
          outcome.resolve({ complete: true, gained: true })
        },
        (error: unknown) => {
          const isOurs = error instanceof Error && 'code' in error && error.code === 'aborted'
          if (isOurs && !signal.aborted) outcome.resolve({ complete: false, gained: received > 0 })
          else outcome.reject(error)
        },
      )
      return started
    }

    function learn(device: DeviceId, reason: LostReason): void {
      if (reason === 'corrupt') standing.corrupt.set(device, Date.now() + CORRUPT_FOR)
      if (reason === 'suspect') standing.alone = true
      // Others first; he is asked again in the next go.
    }

    async function ask(device: DeviceId): Promise<void> {
      tried.add(device)
      asking++
      const reply = await holders.ask(device, {
        type: 'segment',
        share,
        sha256: new Uint8Array(sha256),
        size,
        infoHash,
      })
      asking--
      if (reply === 'none') standing.without.add(device)
      else if (reply !== 'later' && reply.type === 'segment') {
        if (equalBytes(infoHashOf(reply.info), infoHash) && piecesOf(reply.info, size)) {
          connected.add(device)
          swarm ??= begin(reply.info)
          swarm.add(device, reply.port)
        } else standing.corrupt.set(device, Date.now() + CORRUPT_FOR)
      }
      settle()
    }

    const unabort = onAbort(signal, stop)
    // New holders join a transfer that is under way.
    const unlisten = holders.onChange((which) => {
      if (swarm && (which === undefined || which === share)) settle()
    })
    settle()
    return outcome.promise.finally(() => {
      unabort()
      unlisten()
    })
  }

  return {
    async fetch(request) {
      const { share, signal } = request
      const standing: Standing = { without: new Set(), corrupt: new Map(), alone: false }
      let check = request.partial
      let idle = 0
      for (;;) {
        const { complete, gained } = await slots.use(() => attempt(request, standing, check), signal)
        if (complete) return
        check = true
        idle = gained ? 0 : idle + 1
        if (!gained && !holders.isResting(share)) request.onWaiting()
        await holders.change(share, retryDelay(idle), signal)
        standing.without.clear()
      }
    },
  }
}
