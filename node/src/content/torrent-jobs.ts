/** What torrent threads do. Each runs one WebTorrent client; info hashes are hex here, as webtorrent has them. */

import type { MessagePort } from 'node:worker_threads'
import type { DeviceId, Sha256 } from '@cofolder/protocol'
import type { ErrorData } from './errors.ts'
import type { Stamp } from './stamp.ts'

export interface ServedSegment {
  readonly infoHash: string
  readonly info: Uint8Array
  readonly path: string
  readonly offset: number
  readonly size: number
  readonly stamp: Stamp
  readonly key: Uint8Array
}

export interface PackedFile {
  /** Undefined: not here. */
  readonly place?: { readonly path: string; readonly stamp: Stamp }
  readonly size: number
  readonly sha256: Sha256
}

export interface WantedSegment {
  readonly infoHash: string
  readonly info: Uint8Array
  /** The temporary file, of its final size, and where in it the segment stands. */
  readonly to: string
  readonly offset: number
  readonly size: number
  readonly key: Uint8Array
  /** Whether some of the bytes may be there already. */
  readonly check: boolean
}

export interface WantedPack {
  readonly infoHash: string
  readonly info: Uint8Array
  readonly contentKey: Uint8Array
  readonly files: readonly PackedTarget[]
}

/** A small file to be written. */
export interface PackedTarget {
  readonly size: number
  readonly sha256: Sha256
  readonly to: string
}

/** `corrupt`: the holder sent other bytes than asked for. */
export type PackedResult = { readonly error?: undefined } | { readonly error: ErrorData }

export type Path =
  | { readonly host: string; readonly port: number; readonly stream?: undefined }
  | { readonly stream: MessagePort }

export type TorrentJobs = {
  /** Starts the client; gives its TCP port. */
  listen: { in: { readonly host: string }; out: { readonly port: number } }
  serve: { in: ServedSegment; out: undefined }
  /** Whether this torrent is served; if so it stays for a while. */
  touch: { in: { readonly infoHash: string }; out: boolean }
  /** Announces a served torrent at trackers for as long as it is served. */
  announce: { in: { readonly infoHash: string; readonly trackers: readonly string[] }; out: undefined }
  /** Packs what is readable; `info` is absent when nothing is. */
  pack: {
    in: { readonly files: readonly PackedFile[]; readonly contentKey: Uint8Array }
    out: {
      readonly has: readonly boolean[]
      readonly torrent?: {
        readonly info: Uint8Array<ArrayBuffer>
        readonly infoHash: string
        readonly size: number
      }
    }
  }
  /** A wire over a stream for a served torrent; false when it is not served. */
  attach: {
    in: { readonly infoHash: string; readonly stream: MessagePort; readonly id: string }
    out: boolean
  }
  /** Resolves when every piece is in the file; gives the bytes of those that were not there before. */
  fetch: { in: WantedSegment; out: number }
  /** Resolves when the files are written, checked and on disk, or failed one by one. */
  fetchPack: { in: WantedPack; out: readonly PackedResult[] }
  /** A way to a holder of a torrent in transfer. */
  peer: { in: { readonly infoHash: string; readonly holder: DeviceId; readonly path: Path }; out: undefined }
  /** Ends a transfer; what arrived stays in the file. */
  stop: { in: { readonly infoHash: string }; out: undefined }
}

export type LostReason =
  | 'unreachable' // no direct connection
  | 'closed'
  | 'stalled'
  | 'corrupt' // sent wrong bytes, for certain
  | 'suspect' // one of several, one of which sent wrong bytes

export type TorrentEvent =
  | {
      readonly type: 'lost'
      readonly infoHash: string
      readonly holder: DeviceId
      readonly reason: LostReason
    }
  /** Bytes of pieces that came in so far. */
  | { readonly type: 'progress'; readonly infoHash: string; readonly received: number }
  /** Bytes on the wire since the last event. */
  | { readonly type: 'traffic'; readonly received: number; readonly sent: number }
  | { readonly type: 'unloaded'; readonly infoHash: string }
