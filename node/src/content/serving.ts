/** Torrents a thread serves: segments from files, packs from memory. Idle ones are unloaded. */
import { closeSync, openSync } from 'node:fs'
import type { MessagePort } from 'node:worker_threads'
import type { ChunkStore, Torrent } from 'webtorrent'
import { givePackBuffer, takePackBuffer } from './buffers.ts'
import { crypt } from './cipher.ts'
import { type Client, endTorrent, guardWires, UNCHOKED } from './client.ts'
import { overStream } from './connection.ts'
import { toContentError } from './errors.ts'
import { infoHashOf, pieceHasher, pieceLengthOf, torrentFile } from './info.ts'
import { payloadKey } from './keys.ts'
import { PACK_IDLE, PACK_UNUSED, SERVE_IDLE } from './limits.ts'
import { equalStamps, READ_FLAGS, stampOf } from './stamp.ts'
import { memoryStore, readInto, servedFileStore } from './stores.ts'
import { madeGarbage } from './tidy.ts'
import type { PackedFile, ServedSegment, TorrentJobs } from './torrent-jobs.ts'

interface Served {
  readonly torrent: Torrent
  readonly ready: Promise<void>
  /** Idle time before and after the first connection, in milliseconds. */
  readonly idle: { readonly unused: number; readonly used: number }
  used: boolean
  /** When it was last asked for or connected. */
  touched: number
}

export interface Serving {
  serve(segment: ServedSegment): Promise<void>
  touch(infoHash: string): boolean
  pack(files: readonly PackedFile[], contentKey: Uint8Array): Promise<TorrentJobs['pack']['out']>
  attach(infoHash: string, stream: MessagePort, id: string): boolean
  unload(infoHash: string): Promise<void>
  /** Unloads what is idle; to be called every second or so. */
  sweep(now: number): void
}

export function createServing(
  { torrents }: Client,
  traffic: (torrent: Torrent) => void,
  onUnloaded: (infoHash: string) => void,
): Serving {
  const served = new Map<string, Served>()
  let nextTag = 1

  async function unload(infoHash: string): Promise<void> {
    const entry = served.get(infoHash)
    if (!entry) return
    served.delete(infoHash)
    onUnloaded(infoHash)
    await endTorrent(entry.torrent)
  }

  async function load(
    infoHash: string,
    info: Uint8Array,
    store: ChunkStore,
    idle: Served['idle'],
  ): Promise<void> {
    const torrent = torrents.add(torrentFile(info), {
      preloadedStore: store,
      storeCacheSlots: 0,
      skipVerify: true,
      uploads: UNCHOKED,
    })
    guardWires(torrent)
    traffic(torrent)
    const ready = new Promise<void>((resolve, reject) => {
      torrent.once('ready', resolve)
      torrent.once('error', (error: Error) => {
        reject(toContentError(error))
        void unload(infoHash)
      })
    })
    const entry: Served = { torrent, ready, idle, used: false, touched: Date.now() }
    torrent.on('wire', () => {
      entry.used = true
    })
    served.set(infoHash, entry)
    await ready
  }

  return {
    async serve(segment) {
      const { infoHash, info } = segment
      const present = served.get(infoHash)
      if (present) {
        present.touched = Date.now()
        return await present.ready
      }
      const store = servedFileStore(segment, () => void unload(infoHash))
      await load(infoHash, info, store, { unused: SERVE_IDLE, used: SERVE_IDLE })
    },

    touch(infoHash) {
      const present = served.get(infoHash)
      if (present) present.touched = Date.now()
      return present !== undefined
    },

    async pack(files, contentKey) {
      const all = takePackBuffer(files.reduce((sum, file) => sum + (file.place ? file.size : 0), 0))
      let filled = 0
      const has = files.map((file) => {
        const cipher = encryptedFile(file, contentKey)
        if (!cipher) return false
        all.set(cipher, filled)
        filled += cipher.length
        return true
      })
      if (filled === 0) return { has }
      const bytes = all.subarray(0, filled)
      const pieces = pieceHasher(bytes.length)
      const step = pieceLengthOf(bytes.length)
      for (let at = 0; at < bytes.length; at += step) pieces.add(bytes.subarray(at, at + step))
      const info = pieces.info()
      const infoHash = Buffer.from(infoHashOf(info)).toString('hex')
      const present = served.get(infoHash)
      if (present) present.touched = Date.now()
      else
        await load(
          infoHash,
          info,
          memoryStore(bytes, () => givePackBuffer(all)),
          { unused: PACK_UNUSED, used: PACK_IDLE },
        )
      return { has, torrent: { info, infoHash, size: bytes.length } }
    },

    attach(infoHash, stream, id) {
      const entry = served.get(infoHash)
      if (!entry) {
        stream.close()
        return false
      }
      entry.touched = Date.now()
      return entry.torrent.addPeer(overStream(stream, `${id} ${nextTag}`, nextTag++))
    },

    unload,

    sweep(now) {
      for (const [infoHash, entry] of served) {
        if (entry.torrent.wires.length > 0) entry.touched = now
        const idle = entry.used ? entry.idle.used : entry.idle.unused
        if (now - entry.touched > idle) void unload(infoHash)
      }
    },
  }
}

/** A small file's ciphertext; undefined when it is gone or no longer what was known of it. */
function encryptedFile({ place, size, sha256 }: PackedFile, contentKey: Uint8Array): Buffer | undefined {
  if (!place) return undefined
  try {
    const fd = openSync(place.path, READ_FLAGS)
    try {
      if (place.stamp.size !== size || !equalStamps(stampOf(fd), place.stamp)) return undefined
      const plain = readInto(fd, 0, size)
      if (!plain || !equalStamps(stampOf(fd), place.stamp)) return undefined
      madeGarbage(size)
      return crypt(payloadKey(contentKey, sha256), 0, plain)
    } finally {
      closeSync(fd)
    }
  } catch {
    // Unreadable now: as good as not here. The requester asks another holder.
    return undefined
  }
}
