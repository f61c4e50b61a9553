/** How failures of the system become ContentErrors, and how they cross between threads. */
import { ContentError } from './content.ts'

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

/** The error as ours: full disks told apart, everything else of the system is `io`. */
export function toContentError(error: unknown): ContentError {
  if (error instanceof ContentError) return error
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  return new ContentError(code !== undefined && FULL.has(code) ? 'disk-full' : 'io', message, {
    cause: error,
  })
}

export const aborted = (signal?: AbortSignal): ContentError =>
  new ContentError('aborted', 'the transfer was stopped', { cause: signal?.reason })

export const isMissing = (error: unknown): boolean =>
  codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR'

/** An error as plain data; a ContentError's class does not survive the way between threads. */
export interface ErrorData {
  readonly code: ContentError['code']
  readonly message: string
}

export function toErrorData(error: unknown): ErrorData {
  const { code, message } = toContentError(error)
  return { code, message }
}

export const fromErrorData = (data: ErrorData): ContentError => new ContentError(data.code, data.message)
