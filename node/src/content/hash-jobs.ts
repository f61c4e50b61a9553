/** What hashing threads do: whole files, ranges and segments, always against one state of the file. */
import type { Sha256 } from '@cofolder/protocol'
import type { ErrorData } from './errors.ts'
import type { Stamp } from './stamp.ts'

export interface Range {
  readonly path: string
  readonly offset: number
  readonly size: number
  /** The state the file must have before and after. Absent for our own temporary files, which others write to. */
  readonly stamp?: Stamp
}

export type SmallDigest =
  | { readonly size: number; readonly sha256: Sha256; readonly error?: undefined }
  /** Large enough for segments: hashed by jobs of its own. */
  | { readonly large: Stamp; readonly error?: undefined }
  | { readonly error: ErrorData }

export interface SegmentDigest {
  readonly sha256: Sha256
  readonly infoHash: Uint8Array<ArrayBuffer>
  readonly info: Uint8Array<ArrayBuffer>
}

export type HashJobs = {
  /** Digests of small files; large ones are only told apart. */
  small: {
    in: { readonly paths: readonly string[]; readonly largeFrom: number }
    out: readonly SmallDigest[]
  }
  /** SHA-256 of a range. */
  sha256: { in: Range; out: Sha256 }
  /** All hashes of one segment. */
  segment: { in: Range & { readonly contentKey: Uint8Array }; out: SegmentDigest }
  /** The info dict of a segment whose SHA-256 is known. */
  info: { in: Range & { readonly key: Uint8Array }; out: Uint8Array<ArrayBuffer> }
  /** Copies a range into a file that exists; gives the SHA-256 of what was copied. */
  copy: { in: { readonly from: Range; readonly to: string; readonly toOffset: number }; out: Sha256 }
  /** A running SHA-256 of a file that grows: opens it, reads on up to a position, ends with the digest. */
  follow: { in: { readonly id: number; readonly path: string; readonly upTo: number }; out: undefined }
  followed: {
    in: { readonly id: number; readonly sync: boolean }
    out: { readonly sha256: Sha256; readonly size: number }
  }
  unfollow: { in: { readonly id: number }; out: undefined }
}
