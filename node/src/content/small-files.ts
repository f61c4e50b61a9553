/**
 * Fetching of small files: wants that are open at the same time travel together, inline when they are few bytes and
 * in packs otherwise. The first want leaves at once; those that come while packs are under way fill the next ones.
 */
import type { DeviceId, Sha256, ShareId } from '@cofolder/protocol'
import { toHex } from '@cofolder/protocol'
import { onAbort } from './abort.ts'
import { aborted, type ErrorData, fromErrorData, toContentError, toErrorData } from './errors.ts'
import { type Holders, type Reply, retryDelay } from './holders.ts'
import { infoHashOf, piecesOf } from './info.ts'
import { CORRUPT_FOR, MAX_PACK_BYTES, MAX_PACK_FILES, OPEN_PACKS } from './limits.ts'
import { createSwarm } from './swarm.ts'
import type { Torrents } from './torrents.ts'
import { unpackOne } from './unpack.ts'
import { totalSize } from './wire.ts'

interface SmallRequest {
  readonly share: ShareId
  readonly sha256: Sha256
  readonly size: number
  readonly contentKey: Uint8Array
  readonly to: string
  readonly signal: AbortSignal
  readonly onWaiting: () => void
}

export interface SmallFiles {
  /** Resolves when the file is written, checked and on disk. @throws ContentError */
  fetch(request: SmallRequest): Promise<void>
}

/** What became of a want: here now, not held there, worth asking again, or failed. */
type Received = 'done' | 'missing' | 'later' | ErrorData

interface Want extends SmallRequest {
  readonly settled: PromiseWithResolvers<void>
  /** Holders that do not have it, until holders change. */
  without?: Set<DeviceId>
  /** Holders that sent wrong bytes, and until when they are not asked. */
  corrupt?: Map<DeviceId, number>
  tries: number
}

export function createSmallFiles(holders: Holders, torrents: Torrents): SmallFiles {
  const queues = new Map<ShareId, Set<Want>>()
  const open = new Map<DeviceId, number>()
  const scheduled = new Set<ShareId>()
  let openPacks = 0

  const queueOf = (share: ShareId): Set<Want> => {
    let queue = queues.get(share)
    if (!queue) {
      queue = new Set()
      queues.set(share, queue)
    }
    return queue
  }
  /** Wants of the same moment go together. */
  const schedule = (share: ShareId): void => {
    if (scheduled.has(share)) return
    scheduled.add(share)
    setImmediate(() => {
      scheduled.delete(share)
      send(share)
    })
  }
  const mayAsk = (want: Want, device: DeviceId): boolean =>
    !want.without?.has(device) && (want.corrupt?.get(device) ?? 0) < Date.now()

  function send(share: ShareId): void {
    const queue = queueOf(share)
    for (const want of queue) {
      if (openPacks >= OPEN_PACKS) return
      if (!queue.has(want)) continue
      const possible = holders.available(share).filter((device) => mayAsk(want, device))
      const holder = possible.reduce<DeviceId | undefined>(
        (best, device) =>
          best === undefined || (open.get(device) ?? 0) < (open.get(best) ?? 0) ? device : best,
        undefined,
      )
      if (holder === undefined) {
        queue.delete(want)
        void wait(want)
      } else void sendTo(holder, take(queue, holder))
    }
    if (queue.size === 0) queues.delete(share)
  }

  /** The wants of a queue that one holder is asked for together. */
  function take(queue: Set<Want>, holder: DeviceId): Want[] {
    const wants: Want[] = []
    let bytes = 0
    for (const want of queue) {
      if (!mayAsk(want, holder)) continue
      if (wants.length > 0 && bytes + want.size > MAX_PACK_BYTES) break
      queue.delete(want)
      wants.push(want)
      bytes += want.size
      if (wants.length >= MAX_PACK_FILES) break
    }
    return wants
  }

  async function wait(want: Want): Promise<void> {
    const { share, signal } = want
    if (!holders.isResting(share)) want.onWaiting()
    try {
      await holders.change(share, retryDelay(want.tries++), signal)
    } catch {
      // Its settling follows from the signal.
      return
    }
    want.without?.clear()
    queueOf(share).add(want)
    schedule(share)
  }

  async function sendTo(holder: DeviceId, wants: readonly Want[]): Promise<void> {
    const [first] = wants
    if (!first) return
    const { share } = first
    openPacks++
    open.set(holder, (open.get(holder) ?? 0) + 1)
    try {
      const files = wants.map(({ sha256, size }) => ({ sha256: new Uint8Array(sha256), size }))
      const results = await receive(
        holder,
        share,
        wants,
        await holders.ask(holder, { type: 'files', share, files }),
      )
      for (const [index, want] of wants.entries()) settle(want, holder, results[index] ?? 'missing')
    } finally {
      openPacks--
      open.set(holder, (open.get(holder) ?? 1) - 1)
      for (const other of queues.keys()) schedule(other)
    }
  }

  /** What became of each want. */
  async function receive(
    holder: DeviceId,
    share: ShareId,
    wants: readonly Want[],
    reply: Reply,
  ): Promise<readonly Received[]> {
    if (reply === 'later') return wants.map(() => 'later')
    if (reply === 'none') return wants.map(() => 'missing')
    if (reply.type === 'inline' && reply.files.length === wants.length) {
      return await Promise.all(
        wants.map(async (want, index) => {
          const cipher = reply.files[index]
          return cipher ? await unpackInline(cipher, want) : 'missing'
        }),
      )
    }
    if (reply.type === 'pack' && reply.has.length === wants.length) {
      const packed = wants.filter((_, index) => reply.has[index])
      const results = await receivePack(holder, share, packed, reply.info, reply.port)
      const remaining = [...results]
      return reply.has.map((has) => (has && remaining.shift()) || 'missing')
    }
    return wants.map(() => corrupt)
  }

  async function receivePack(
    holder: DeviceId,
    share: ShareId,
    wants: readonly Want[],
    info: Uint8Array<ArrayBuffer>,
    port: number,
  ): Promise<readonly Received[]> {
    if (!piecesOf(info, totalSize(wants))) return wants.map(() => corrupt)
    const infoHash = new Uint8Array(infoHashOf(info))
    const [first] = wants
    if (!first) return []
    const { contentKey } = first
    const files = wants.map(({ size, sha256, to }) => ({ size, sha256, to }))
    let isCorrupt = false
    const swarm = createSwarm({
      holders,
      share,
      infoHash,
      begin: (events) => torrents.fetchPack({ infoHash: toHex(infoHash), info, files, contentKey }, events),
      onProgress: () => {},
      onLost(_, reason) {
        isCorrupt ||= reason === 'corrupt'
        swarm.stop()
      },
    })
    swarm.add(holder, port)
    const giveUp = (): void => {
      if (wants.every(({ signal }) => signal.aborted)) swarm.stop()
    }
    const unlisten = wants.map(({ signal }) => onAbort(signal, giveUp))
    try {
      return (await swarm.done).map((result) => result.error ?? 'done')
    } catch (error) {
      const failure = toContentError(error)
      if (failure.code !== 'aborted') return wants.map(() => toErrorData(failure))
      return wants.map(() => (isCorrupt ? corrupt : 'later'))
    } finally {
      for (const stop of unlisten) stop()
    }
  }

  function settle(want: Want, holder: DeviceId, received: Received): void {
    if (received === 'done') {
      want.settled.resolve()
      return
    }
    if (received === 'missing' || (received === 'later' && ++want.tries > 1)) {
      want.without ??= new Set()
      want.without.add(holder)
    } else if (received !== 'later') {
      if (received.code !== 'corrupt') {
        want.settled.reject(fromErrorData(received))
        return
      }
      want.corrupt ??= new Map()
      want.corrupt.set(holder, Date.now() + CORRUPT_FOR)
    }
    if (want.signal.aborted) return
    queueOf(want.share).add(want)
    schedule(want.share)
  }

  return {
    async fetch(request) {
      const { share, signal } = request
      if (signal.aborted) throw aborted(signal)
      const settled = Promise.withResolvers<void>()
      const want: Want = { ...request, settled, tries: 0 }
      const unlisten = onAbort(signal, () => {
        queues.get(share)?.delete(want)
        settled.reject(aborted(signal))
      })
      queueOf(share).add(want)
      schedule(share)
      try {
        await settled.promise
      } finally {
        unlisten()
      }
    },
  }
}

const corrupt: ErrorData = { code: 'corrupt', message: 'a holder sent other content than asked for' }

async function unpackInline(cipher: Uint8Array, want: Want): Promise<Received> {
  try {
    await unpackOne(want.contentKey, cipher, want)
    return 'done'
  } catch (error) {
    return toErrorData(error)
  }
}
