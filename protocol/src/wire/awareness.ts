/**
 * What comes into an awareness from outside. y-protocols applies one client after the other and compares states
 * recursively, so everything is read before anything is applied, and what could break a later step is left out.
 */
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { ProtocolError } from '../errors.ts'

/** Clients in one message: a stock client repeats everybody's. */
const MAX_CLIENTS = 10_000
/** JSON text of one client's state, in UTF-16 units: what a relay passes on. */
const MAX_STATE_LENGTH = 128 * 1024
/** Objects and arrays inside each other in one state. */
const MAX_STATE_DEPTH = 8
/** A clock grows by one when a state is renewed; beyond this it could grow out of the safe integers. */
const MAX_CLOCK = 2 ** 40

/**
 * The update without states that are too long or too deep, or whose clock no client reaches.
 * @throws ProtocolError `malformed` or `too-large` when the bytes are no awareness update
 */
export function admissibleAwareness(update: Uint8Array): Uint8Array {
  const entries = readEntries(update)
  const admitted = entries.filter(isAdmissible)
  if (admitted.length === entries.length) return update
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, admitted.length)
  for (const { client, clock, text } of admitted) {
    encoding.writeVarUint(encoder, client)
    encoding.writeVarUint(encoder, clock)
    encoding.writeVarString(encoder, text)
  }
  return encoding.toUint8Array(encoder)
}

interface Entry {
  readonly client: number
  readonly clock: number
  /** JSON. */
  readonly text: string
  readonly state: unknown
}

function readEntries(update: Uint8Array): readonly Entry[] {
  try {
    const decoder = decoding.createDecoder(update)
    const count = decoding.readVarUint(decoder)
    if (count > MAX_CLIENTS) throw new ProtocolError('too-large', 'an awareness update of too many clients')
    return Array.from({ length: count }, () => {
      const client = decoding.readVarUint(decoder)
      const clock = decoding.readVarUint(decoder)
      const text = decoding.readVarString(decoder)
      const state: unknown = JSON.parse(text)
      return { client, clock, text, state }
    })
  } catch (error) {
    if (error instanceof ProtocolError) throw error
    throw new ProtocolError('malformed', 'not an awareness update', { cause: error })
  }
}

function isAdmissible({ clock, text, state }: Entry): boolean {
  const isState = typeof state === 'object' && !Array.isArray(state)
  return isState && clock <= MAX_CLOCK && text.length <= MAX_STATE_LENGTH && isShallow(state, MAX_STATE_DEPTH)
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1))
}
