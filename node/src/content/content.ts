/**
 * Content as the sync engine sees it: hashing of local files, and fetching of content that other members hold.
 * Implemented over WebTorrent (`service.ts`); the simulation has one of its own.
 */
import type { FileContent, Segment, Sha256, ShareId } from '@cofolder/protocol'

export interface FileDigest {
  readonly size: number
  readonly sha256: Sha256
  /** Empty below SEGMENTED_FROM. */
  readonly segments: readonly Segment[]
}

export interface DigestRequest {
  readonly share: ShareId
  /** Absolute path of a regular file. */
  readonly path: string
}

/** A file that changed while it was read, vanished or cannot be read gives an error of its own, not a wrong digest. */
export type DigestResult = { readonly digest: FileDigest } | { readonly error: Error }

export interface FetchRequest {
  readonly share: ShareId
  readonly content: FileContent
  /**
   * Absolute path of the temporary file to fill, in a folder that exists. A file left there by an interrupted
   * fetch is continued. Once fetched it is verified (SHA-256), fsynced and has exactly `content.size` bytes.
   */
  readonly to: string
  /** An older version of the file, whose equal bytes are copied instead of fetched. */
  readonly base?: { readonly path: string; readonly content: FileContent }
}

export interface FetchProgress {
  readonly share: ShareId
  /** Bytes fetched over the network since the service started, and those still wanted. */
  readonly received: number
  readonly remaining: number
  /** Bytes a second over the last seconds. */
  readonly rate: number
}

/** Where content lies on this machine. Offered bytes are only used when size and mtime still agree. */
export interface ContentLocation {
  readonly path: string
  readonly size: number
  /** Milliseconds since the epoch, with fraction where the file system has one. */
  readonly mtimeMs: number
  /** Inode number, as text. */
  readonly inode: string
}

/** What the placements and the version store of a share hold; the service serves and copies from it. */
export interface ContentIndex {
  /** Files whose whole content has this SHA-256. */
  locate(share: ShareId, sha256: Sha256): Promise<readonly ContentLocation[]>
  /** Files that contain a segment of this SHA-256 and size at an offset. */
  locateSegment(
    share: ShareId,
    sha256: Sha256,
  ): Promise<readonly (ContentLocation & { readonly offset: number })[]>
}

export interface ContentService extends AsyncDisposable {
  /** Hashes files on worker threads, in one pass each; results in the order of the requests. */
  digest(requests: readonly DigestRequest[], signal?: AbortSignal): AsyncIterable<DigestResult>
  /**
   * Fills one temporary file each from what lies here already, then from any member that holds the rest.
   * Requests are scheduled together (small files travel in packs). Waits for a holder to come online until
   * `signal` aborts; `onWaiting` is told when nobody reachable has it. Partial files stay for the next try.
   * @throws ContentError
   */
  fetch(request: FetchRequest, options: { signal: AbortSignal; onWaiting?: () => void }): Promise<void>
  progress(share: ShareId): FetchProgress
  close(): Promise<void>
}

export class ContentError extends Error {
  readonly code: 'corrupt' | 'changed' | 'disk-full' | 'io' | 'aborted'
  constructor(code: ContentError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ContentError'
    this.code = code
  }
}
