/** The holder's side of the content protocol. */
import { lstat, open } from 'node:fs/promises'
import { type DeviceId, equalBytes, type ShareId, toHex } from '@cofolder/protocol'
import type { MessageStream, Network } from '../network/network.ts'
import { crypt } from './cipher.ts'
import type { ContentIndex, ContentLocation } from './content.ts'
import type { Hashing } from './hashing.ts'
import { infoHashOf } from './info.ts'
import { payloadKey } from './keys.ts'
import {
  CONTENT_PROTOCOL,
  MAX_INLINE_BYTES,
  MAX_OPEN_REQUESTS,
  MAX_SERVED_PACK_BYTES,
  MAX_SERVED_TORRENTS,
} from './limits.ts'
import { createSlots } from './slots.ts'
import { equalStamps, isStill, READ_FLAGS, type Stamp, stampOfHandle, toStamp } from './stamp.ts'
import type { PackedFile } from './torrent-jobs.ts'
import type { Torrents } from './torrents.ts'
import { type ContentReply, type ContentRequest, encodeMessage, parseRequest, totalSize } from './wire.ts'

/** Files looked at together while a pack is put together. */
const LOOKUPS_AT_ONCE = 64

export interface AnswerOptions {
  readonly network: Network
  readonly index: ContentIndex
  readonly keys: (share: ShareId) => Uint8Array | undefined
  readonly mayServe: (share: ShareId, device: DeviceId) => boolean
  readonly hashing: Hashing
  readonly torrents: Torrents
  /** A segment's torrent was loaded. */
  readonly onServed: (share: ShareId, infoHash: string) => void
}

type Question<T extends ContentRequest['type']> = Extract<ContentRequest, { type: T }>

/** Answers until the returned function is called. */
export function answerRequests(options: AnswerOptions): {
  stop(): void
  readonly traffic: { received: number; sent: number }
} {
  const { network, index, keys, mayServe, hashing, torrents } = options
  const lookups = createSlots(LOOKUPS_AT_ONCE)
  const preparing = new Map<string, Promise<ContentReply>>()
  const openRequests = new Map<DeviceId, number>()
  const traffic = { received: 0, sent: 0 }

  async function prepareSegment({
    share,
    sha256,
    size,
    infoHash,
  }: Question<'segment'>): Promise<ContentReply> {
    const hex = toHex(infoHash)
    const served = await torrents.served(hex)
    if (served) return { type: 'segment', ...served }
    const content = keys(share)
    if (!content) return { type: 'refused' }
    const key = payloadKey(content, sha256)
    for (const location of await index.locateSegment(share, sha256)) {
      const { path, offset } = location
      const stamp = await stampIfStill(location)
      if (!stamp || offset + size > stamp.size) continue
      try {
        const info = hashing.infos.get(infoHash) ?? (await hashing.info({ path, offset, size, stamp, key }))
        if (!equalBytes(infoHashOf(info), infoHash)) continue
        hashing.infos.add(infoHash, info)
        const port = await torrents.serve({ infoHash: hex, info, path, offset, size, stamp, key })
        options.onServed(share, hex)
        return { type: 'segment', info, port }
      } catch {
        // Changed or unreadable by now: the next place, or none.
      }
    }
    return { type: 'none' }
  }

  /** Several requesters of one segment wait for one preparation. */
  function segment(question: Question<'segment'>): Promise<ContentReply> {
    const name = `${question.share} ${toHex(question.infoHash)}`
    let reply = preparing.get(name)
    if (!reply) {
      reply = prepareSegment(question).finally(() => preparing.delete(name))
      preparing.set(name, reply)
    }
    return reply
  }

  async function locate(share: ShareId, sha256: Uint8Array, size: number): Promise<PackedFile['place']> {
    for (const location of await index.locate(share, sha256)) {
      if (location.size !== size) continue
      const stamp = await stampIfStill(location)
      if (stamp) return { path: location.path, stamp }
    }
    return undefined
  }

  async function files({ share, files: wanted }: Question<'files'>): Promise<ContentReply> {
    const content = keys(share)
    if (!content) return { type: 'refused' }
    const found: PackedFile[] = await Promise.all(
      wanted.map(({ sha256, size }) =>
        lookups.use(async () => {
          const place = await locate(share, sha256, size)
          return { size, sha256, ...(place && { place }) }
        }),
      ),
    )
    const size = totalSize(found.filter(({ place }) => place))
    if (size === 0) return { type: 'none' }
    if (size <= MAX_INLINE_BYTES) {
      return {
        type: 'inline',
        files: await Promise.all(found.map((file) => lookups.use(() => encryptedFile(file, content)))),
      }
    }
    if (torrents.load.packBytes + size > MAX_SERVED_PACK_BYTES) return { type: 'busy' }
    const { has, torrent } = await torrents.pack(found, size, content)
    return torrent ? { type: 'pack', has: [...has], ...torrent } : { type: 'none' }
  }

  async function reply(request: ContentRequest, device: DeviceId): Promise<ContentReply> {
    if (!mayServe(request.share, device)) return { type: 'refused' }
    if (
      (openRequests.get(device) ?? 0) > MAX_OPEN_REQUESTS ||
      torrents.load.torrents >= MAX_SERVED_TORRENTS
    ) {
      return { type: 'busy' }
    }
    return request.type === 'segment' ? segment(request) : files(request)
  }

  async function answer(stream: MessageStream, request: ContentRequest): Promise<void> {
    const { device } = stream
    openRequests.set(device, (openRequests.get(device) ?? 0) + 1)
    try {
      // What fails here is ours (a thread ended, an index is closing); the requester finds another holder.
      const content = await reply(request, device).catch((): ContentReply => ({ type: 'none' }))
      const message = encodeMessage({ ...content, id: request.id })
      traffic.sent += message.length
      await stream.send(message)
    } catch {
      // The requester hung up.
    } finally {
      const left = (openRequests.get(device) ?? 1) - 1
      if (left > 0) openRequests.set(device, left)
      else openRequests.delete(device)
    }
  }

  const stop = network.handle(CONTENT_PROTOCOL, async (stream) => {
    for await (const message of stream.messages) {
      traffic.received += message.length
      const request = parseRequest(stream.device, message)
      const answered = answer(stream, request)
      // A device that has too much open is read no further until something is answered.
      if ((openRequests.get(stream.device) ?? 0) > 2 * MAX_OPEN_REQUESTS) await answered
    }
  })
  return { stop, traffic }
}

/** The file's state when it is still what the index knew of it. */
export async function stampIfStill(location: ContentLocation): Promise<Stamp | undefined> {
  try {
    const stamp = toStamp(await lstat(location.path, { bigint: true }))
    return isStill(location, stamp) ? stamp : undefined
  } catch {
    // Gone or unreadable: not here.
    return undefined
  }
}

async function encryptedFile(
  { place, size, sha256 }: PackedFile,
  contentKey: Uint8Array,
): Promise<Uint8Array<ArrayBuffer> | null> {
  if (!place) return null
  try {
    await using file = await open(place.path, READ_FLAGS)
    const plain = Buffer.alloc(size)
    let got = 0
    while (got < size) {
      const { bytesRead } = await file.read(plain, got, size - got, got)
      if (bytesRead === 0) return null
      got += bytesRead
    }
    if (!equalStamps(await stampOfHandle(file), place.stamp)) return null
    return new Uint8Array(crypt(payloadKey(contentKey, sha256), 0, plain))
  } catch {
    // As good as not here; another holder is asked.
    return null
  }
}
