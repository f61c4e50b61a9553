/** Names on both sides: NFC and free in the share, whatever the volume takes in a placement. Pure. */
import { createHash } from 'node:crypto'
import { isShareName } from '@cofolder/protocol'
import type { Capabilities } from './file-system.ts'
import { TEMP_FOLDER } from './limits.ts'

const WINDOWS_FORBIDDEN = /[<>:"/\\|?*]|\p{Cc}/gu
const WINDOWS_RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)/i
const HASH_DIGITS = 8
const MAX_EXTENSION_LENGTH = 20

/** The share's name for a local one; undefined when it cannot have one. */
export function shareName(local: string): string | undefined {
  const name = local.normalize('NFC')
  return isShareName(name) ? name : undefined
}

/**
 * The local name for a share's name: itself wherever the volume can hold it, otherwise one made from it and its
 * hash. `inRoot` keeps our own folder's name free.
 */
export function localName(name: string, capabilities: Capabilities, inRoot = false): string {
  const { maxNameBytes, windowsNames } = capabilities
  const taken = inRoot && slotOf(name, capabilities) === slotOf(TEMP_FOLDER, capabilities)
  if (
    windowsNames &&
    (WINDOWS_RESERVED.test(name) || /[. ]$/.test(name) || name.search(WINDOWS_FORBIDDEN) >= 0)
  ) {
    const plain = name.replaceAll(WINDOWS_FORBIDDEN, '_').replace(/[. ]+$/, '')
    return marked(WINDOWS_RESERVED.test(plain) ? `_${plain}` : plain, name, maxNameBytes)
  }
  return taken || Buffer.byteLength(name) > maxNameBytes ? marked(name, name, maxNameBytes) : name
}

/** Another local name for a share's name, for when the first one differs from a neighbour's in case only. */
export const otherLocalName = (name: string, node: string, capabilities: Capabilities): string =>
  marked(localName(name, capabilities), `${name}/${node}`, capabilities.maxNameBytes)

/** Two names with one slot cannot stand in one folder. */
export function slotOf(local: string, capabilities: Pick<Capabilities, 'caseSensitive'>): string {
  return capabilities.caseSensitive ? local : local.normalize('NFC').toLowerCase()
}

/** `NAME (conflict-PERSON-DATE).EXT`, from the second attempt on with a number; for local changes set aside. */
export function asideName(
  local: string,
  options: {
    readonly person: string
    readonly at: number
    readonly attempt: number
    readonly maxNameBytes: number
  },
): string {
  const person =
    options.person.toWellFormed().replaceAll(WINDOWS_FORBIDDEN, '').slice(0, 40).trim() || 'someone'
  const day = new Date(options.at).toISOString().slice(0, 10)
  const number = options.attempt > 1 ? ` ${options.attempt}` : ''
  return withSuffix(local, ` (conflict-${person}-${day}${number})`, options.maxNameBytes)
}

const marked = (text: string, name: string, maxBytes: number): string =>
  withSuffix(text, `~${createHash('sha256').update(name).digest('hex').slice(0, HASH_DIGITS)}`, maxBytes)

function withSuffix(name: string, suffix: string, maxBytes: number): string {
  const dot = name.lastIndexOf('.')
  const split = dot > 0 && name.length - dot <= MAX_EXTENSION_LENGTH
  const stem = split ? name.slice(0, dot) : name
  const tail = suffix + (split ? name.slice(dot) : '')
  let room = maxBytes - Buffer.byteLength(tail)
  let kept = ''
  for (const char of stem) {
    room -= Buffer.byteLength(char)
    if (room < 0) break
    kept += char
  }
  return kept + tail
}
