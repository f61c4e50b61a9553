/** Names for what cannot have the name it was given. */
import { utf8 } from '../bytes.ts'

/** UTF-8 bytes: what the common file systems take, so that a conflict name can be written wherever the name could. */
const MAX_CONFLICT_NAME_BYTES = 255
const MAX_PERSON_BYTES = 80
const MAX_EXTENSION_LENGTH = 20
/** Milliseconds: the last moment of the year 9999; clocks beyond it are shown as that day. */
const LAST_DAY = 253_402_300_799_999

/** `NAME (conflict-PERSON-DATE).EXT`; from the second try on with a number. Folders have no extension. */
export function conflictName(
  name: string,
  options: {
    readonly folder: boolean
    readonly person: string
    readonly at: number
    readonly attempt?: number
  },
): string {
  const { stem, extension } = options.folder ? { stem: name, extension: '' } : splitName(name)
  const number = options.attempt && options.attempt > 1 ? ` ${options.attempt}` : ''
  const tail = ` (conflict-${personInName(options.person)}-${dayOf(options.at)}${number})${extension}`
  return `${shortened(stem, MAX_CONFLICT_NAME_BYTES - utf8(tail).length)}${tail}`.normalize('NFC')
}

function splitName(name: string): { stem: string; extension: string } {
  const dot = name.lastIndexOf('.')
  if (dot <= 0 || name.length - dot > MAX_EXTENSION_LENGTH) return { stem: name, extension: '' }
  return { stem: name.slice(0, dot), extension: name.slice(dot) }
}

/** UTC day, `yyyy-mm-dd`. */
function dayOf(at: number): string {
  return new Date(Math.min(Math.max(at, 0), LAST_DAY)).toISOString().slice(0, 10)
}

function personInName(person: string): string {
  const plain = person
    .toWellFormed()
    .normalize('NFC')
    .replaceAll(/[\p{Cc}/\\:*?"<>|]/gu, '')
    .trim()
  return shortened(plain, MAX_PERSON_BYTES) || 'someone'
}

function shortened(text: string, maxBytes: number): string {
  if (utf8(text).length <= maxBytes) return text
  let bytes = 0
  let kept = ''
  for (const char of text) {
    bytes += utf8(char).length
    if (bytes > maxBytes) break
    kept += char
  }
  return kept
}
