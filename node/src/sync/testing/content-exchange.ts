/**
 * Content within one process: every service reads what the others' placements hold, with real hashes and real
 * checks, and no network. For tests of the engine and for the simulation.
 */
import { createHash } from 'node:crypto'
import { equalBytes, SEGMENTED_FROM, type Segment, type ShareId } from '@cofolder/protocol'
import {
  ContentError,
  type ContentIndex,
  type ContentLocation,
  type ContentService,
  type DigestRequest,
  type DigestResult,
  type FetchRequest,
} from '../../content/content.ts'
import type { Clock } from '../clock.ts'
import { type FileStat, FileSystemError, isCode } from '../file-system.ts'

/** What the exchange needs of a file system. */
export interface Bytes {
  stat(path: string): Promise<FileStat>
  read(path: string): Promise<Uint8Array>
  /** Writes and makes it last. */
  write(path: string, bytes: Uint8Array): Promise<void>
}

/** Milliseconds. */
const LOOK_AGAIN = 15
const AT_ONCE = 32

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())

export class ContentExchange {
  readonly services = new Set<ExchangeService>()

  service(options: { readonly files: Bytes; readonly clock: Clock }): ExchangeService {
    const service = new ExchangeService(this, options.files, options.clock)
    this.services.add(service)
    return service
  }
}

export class ExchangeService implements ContentService {
  /** Set once the placement is open. */
  index: ContentIndex | undefined
  online = true
  /** Bytes that came from others. */
  received = 0
  fetched = 0
  digested = 0
  readonly files: Bytes
  readonly #exchange: ContentExchange
  readonly #clock: Clock

  constructor(exchange: ContentExchange, files: Bytes, clock: Clock) {
    this.#exchange = exchange
    this.files = files
    this.#clock = clock
  }

  async *digest(requests: readonly DigestRequest[], signal?: AbortSignal): AsyncIterable<DigestResult> {
    for (let i = 0; i < requests.length; i += AT_ONCE) {
      signal?.throwIfAborted()
      yield* await Promise.all(requests.slice(i, i + AT_ONCE).map(({ path }) => this.#digest(path)))
    }
  }

  async fetch(
    { share, content, to }: FetchRequest,
    { signal, onWaiting }: { signal: AbortSignal; onWaiting?: () => void },
  ): Promise<void> {
    for (;;) {
      if (signal.aborted) throw new ContentError('aborted', 'no longer wanted')
      const bytes = await this.#find(share, content.sha256)
      if (bytes) {
        await this.#write(to, bytes)
        this.fetched++
        return
      }
      onWaiting?.()
      await new Promise<void>((resolve) => this.#clock.after(LOOK_AGAIN, resolve))
    }
  }

  progress(share: ShareId) {
    return { share, received: this.received, remaining: 0, rate: 0 }
  }

  async close(): Promise<void> {
    this.#exchange.services.delete(this)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #digest(path: string): Promise<DigestResult> {
    this.digested++
    try {
      const before = await this.files.stat(path)
      const bytes = await this.files.read(path)
      const after = await this.files.stat(path)
      if (before.mtimeNs !== after.mtimeNs || bytes.length !== after.size) {
        return { error: new ContentError('changed', `${path} changed`) }
      }
      return { digest: { size: bytes.length, sha256: sha256(bytes), segments: segmentsOf(bytes) } }
    } catch (error) {
      if (error instanceof FileSystemError) return { error }
      throw error
    }
  }

  async #find(share: ShareId, hash: Uint8Array): Promise<Uint8Array | undefined> {
    const own = await readHeld(this, share, hash)
    if (own || !this.online) return own
    for (const other of this.#exchange.services) {
      if (other === this || !other.online) continue
      const bytes = await readHeld(other, share, hash)
      if (!bytes) continue
      this.received += bytes.length
      return bytes
    }
    return undefined
  }

  async #write(to: string, bytes: Uint8Array): Promise<void> {
    try {
      await this.files.write(to, bytes)
    } catch (error) {
      if (isCode(error, 'full')) throw new ContentError('disk-full', 'the disk is full', { cause: error })
      if (error instanceof FileSystemError) throw new ContentError('io', error.message, { cause: error })
      throw error
    }
  }
}

async function readHeld(
  holder: ExchangeService,
  share: ShareId,
  hash: Uint8Array,
): Promise<Uint8Array | undefined> {
  for (const location of (await holder.index?.locate(share, hash)) ?? []) {
    const bytes = await readLocation(holder.files, location)
    if (bytes && equalBytes(sha256(bytes), hash)) return bytes
  }
  return undefined
}

async function readLocation(files: Bytes, location: ContentLocation): Promise<Uint8Array | undefined> {
  try {
    const stat = await files.stat(location.path)
    const isSame =
      stat.size === location.size && stat.mtimeMs === location.mtimeMs && stat.inode === location.inode
    return isSame ? await files.read(location.path) : undefined
  } catch (error) {
    if (error instanceof FileSystemError) return undefined
    throw error
  }
}

/** One segment; the info hash is made up, but follows from the bytes. */
function segmentsOf(bytes: Uint8Array): Segment[] {
  if (bytes.length < SEGMENTED_FROM) return []
  const hash = sha256(bytes)
  return [{ size: bytes.length, sha256: hash, infoHash: hash.subarray(0, 20) }]
}
