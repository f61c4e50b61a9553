/** Torrents a thread fetches: into temporary files, or into memory for packs. */
import { createHash } from 'node:crypto'
import { setImmediate as breathe } from 'node:timers/promises'
import type { DeviceId } from '@cofolder/protocol'
import type { ChunkStore, Torrent, Wire } from 'webtorrent'
import { createBigPiece } from './big-piece.ts'
import { crypt } from './cipher.ts'
import { type Client, endTorrent, guardWires } from './client.ts'
import { connectTcp, type HolderConnection, overStream, releaseBlock } from './connection.ts'
import { ContentError } from './content.ts'
import { toContentError } from './errors.ts'
import { pieceCountOf, pieceLengthOf, piecesOf, torrentFile } from './info.ts'
import { OPEN_BLOCKS, STALL_TIMEOUT } from './limits.ts'
import { filledFileStore, memoryStore, readInto } from './stores.ts'
import type { LostReason, Path, WantedSegment } from './torrent-jobs.ts'

/** webtorrent computes how many requests to keep open from the speed, in blocks of this size. */
const SPEED_UNIT = 16 * 1024
/** Pieces checked before the thread looks after its connections again. */
const CHECKS_AT_ONCE = 16
const FAILED_PIECE = /^Piece (\d+) failed verification/

interface Transfer {
  /** The torrent once it takes peers. */
  readonly opened: PromiseWithResolvers<Torrent>
  readonly done: PromiseWithResolvers<void>
  readonly connections: Map<number, { readonly holder: DeviceId; readonly connection: HolderConnection }>
  received: number
  reported: number
  /** When bytes last came in. */
  active: number
}

export interface FetchingEvents {
  lost(infoHash: string, holder: DeviceId, reason: LostReason): void
  progress(infoHash: string, received: number): void
  traffic(torrent: Torrent): void
}

export interface Fetching {
  /** Gives the bytes that were not there before. */
  segment(wanted: WantedSegment): Promise<number>
  /** A payload into memory of its size. */
  payload(infoHash: string, info: Uint8Array, memory: Uint8Array): Promise<void>
  peer(infoHash: string, holder: DeviceId, path: Path): Promise<void>
  stop(infoHash: string): void
  /** Reports progress and drops silent connections; to be called every fraction of a second. */
  sweep(now: number): void
}

const stopped = (): ContentError => new ContentError('aborted', 'the transfer was stopped')

/** `prepare` runs before a torrent is added: one client has each info hash once. */
export function createFetching(
  { torrents }: Client,
  prepare: (infoHash: string) => Promise<void>,
  events: FetchingEvents,
): Fetching {
  const transfers = new Map<string, Transfer>()
  let nextTag = 1

  /** Makes a transfer known from the moment it is asked for, so that peers told of meanwhile find it. */
  async function transferring<T>(infoHash: string, work: (transfer: Transfer) => Promise<T>): Promise<T> {
    const transfer: Transfer = {
      opened: Promise.withResolvers(),
      done: Promise.withResolvers(),
      connections: new Map(),
      received: 0,
      reported: 0,
      active: Date.now(),
    }
    transfer.opened.promise.catch(() => {})
    transfer.done.promise.catch(() => {})
    transfers.set(infoHash, transfer)
    try {
      await prepare(infoHash)
      return await work(transfer)
    } catch (error) {
      throw toContentError(error)
    } finally {
      transfers.delete(infoHash)
      transfer.opened.reject(stopped())
      const connections = [...transfer.connections.values()]
      transfer.connections.clear()
      for (const { connection } of connections) connection.destroy()
    }
  }

  /** Runs a torrent until it is complete; the store is closed in any case. */
  async function run(
    transfer: Transfer,
    infoHash: string,
    info: Uint8Array,
    size: number,
    store: ChunkStore,
    bitfield: Uint8Array,
  ): Promise<void> {
    const torrent = torrents.add(torrentFile(info), { preloadedStore: store, storeCacheSlots: 0, bitfield })
    guardWires(torrent)
    events.traffic(torrent)
    const { opened, done } = transfer
    const pieceLength = pieceLengthOf(size)
    /** Who gave blocks of a piece that is not verified yet. */
    const givers = new Map<number, Set<Wire>>()
    const bigPiece = (index: number) =>
      createBigPiece({
        length: Math.min(pieceLength, size - index * pieceLength),
        release: releaseBlock,
        onBlock(wire) {
          const known = givers.get(index)
          if (known) known.add(wire)
          else givers.set(index, new Set([wire]))
        },
      })

    torrent.on('infoHash', () => opened.resolve(torrent))
    torrent.on('metadata', () => {
      torrent.pieces = torrent.pieces.map((piece, index) => piece && bigPiece(index))
    })
    torrent.on('verified', (index: number) => {
      givers.delete(index)
      if (!hasBit(bitfield, index)) transfer.received += Math.min(pieceLength, size - index * pieceLength)
    })
    torrent.on('download', () => {
      transfer.active = Date.now()
    })
    torrent.on('wire', (wire: Wire) => {
      // Full speed from the first request on, instead of doubling from one block.
      wire.downloaded = 1
      wire.downloadSpeed(OPEN_BLOCKS * SPEED_UNIT)
    })
    torrent.on('warning', (warning: Error) => {
      const index = Number(FAILED_PIECE.exec(warning.message)?.[1] ?? Number.NaN)
      if (!Number.isInteger(index)) return
      torrent.pieces[index] = bigPiece(index)
      const guilty = givers.get(index) ?? new Set()
      givers.delete(index)
      for (const wire of guilty)
        drop(infoHash, transfer, wire.remotePort, guilty.size === 1 ? 'corrupt' : 'suspect')
    })
    torrent.on('done', done.resolve)
    torrent.on('error', done.reject)
    torrent.on('close', () => done.reject(stopped()))
    try {
      await done.promise
    } finally {
      await endTorrent(torrent)
    }
  }

  /** Forgets a connection and tells why. */
  function drop(infoHash: string, transfer: Transfer, tag: number | undefined, reason: LostReason): void {
    if (tag === undefined) return
    const entry = transfer.connections.get(tag)
    if (!entry) return
    transfer.connections.delete(tag)
    entry.connection.destroy()
    events.lost(infoHash, entry.holder, reason)
  }

  return {
    segment: (wanted) =>
      transferring(wanted.infoHash, async (transfer) => {
        const { infoHash, info, size } = wanted
        const store = filledFileStore(wanted)
        let bitfield: Uint8Array
        try {
          bitfield = wanted.check ? await presentPieces(store.fd, wanted) : noPieces(size)
        } catch (error) {
          store.close(() => {})
          throw error
        }
        await run(transfer, infoHash, info, size, store, bitfield)
        return transfer.received
      }),

    payload: (infoHash, info, memory) =>
      transferring(infoHash, (transfer) =>
        run(transfer, infoHash, info, memory.length, memoryStore(memory), noPieces(memory.length)),
      ),

    async peer(infoHash, holder, path) {
      const transfer = transfers.get(infoHash)
      const tag = nextTag++
      if (!transfer) {
        path.stream?.close()
        return
      }
      let connection: HolderConnection
      try {
        connection = path.stream
          ? overStream(path.stream, holder, tag)
          : await connectTcp(path.host, path.port, holder, tag)
      } catch {
        events.lost(infoHash, holder, 'unreachable')
        return
      }
      transfer.active = Date.now()
      transfer.connections.set(tag, { holder, connection })
      connection.once('close', () => drop(infoHash, transfer, tag, 'closed'))
      try {
        const torrent = await transfer.opened.promise
        if (!torrent.destroyed && torrent.addPeer(connection)) return
      } catch {
        // The transfer ended first.
      }
      drop(infoHash, transfer, tag, 'closed')
    },

    stop(infoHash) {
      transfers.get(infoHash)?.done.reject(stopped())
    },

    sweep(now) {
      for (const [infoHash, transfer] of transfers) {
        if (transfer.received !== transfer.reported) {
          transfer.reported = transfer.received
          events.progress(infoHash, transfer.received)
        }
        if (now - transfer.active <= STALL_TIMEOUT) continue
        for (const tag of [...transfer.connections.keys()]) drop(infoHash, transfer, tag, 'stalled')
      }
    },
  }
}

const hasBit = (bits: Uint8Array, index: number): boolean =>
  ((bits[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0

const noPieces = (size: number): Uint8Array => new Uint8Array(Math.ceil(pieceCountOf(size) / 8))

/** Which pieces of a segment stand in its file already, as a bit field. */
async function presentPieces(fd: number, { info, size, offset, key }: WantedSegment): Promise<Uint8Array> {
  const bits = noPieces(size)
  const hashes = piecesOf(info, size)
  if (!hashes) throw new ContentError('corrupt', 'not the info dict of this segment')
  const pieceLength = pieceLengthOf(size)
  for (let index = 0; index < pieceCountOf(size); index++) {
    const start = index * pieceLength
    const plain = readInto(fd, offset + start, Math.min(pieceLength, size - start))
    if (!plain) continue
    const hash = createHash('sha1')
      .update(crypt(key, start, plain))
      .digest()
    if (hash.equals(hashes.subarray(index * 20, (index + 1) * 20))) {
      bits[index >> 3] = (bits[index >> 3] ?? 0) | (0x80 >> (index & 7))
    }
    if (index % CHECKS_AT_ONCE === CHECKS_AT_ONCE - 1) await breathe()
  }
  return bits
}
