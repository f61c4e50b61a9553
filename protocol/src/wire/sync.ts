/**
 * The messages by which two replicas of a share come to know the same: those of y-websocket (a varuint type, then
 * its body), and one of our own for submissions. Used between devices and between a device and a relay.
 */
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as v from 'valibot'
import { type Awareness, applyAwarenessUpdate, encodeAwarenessUpdate } from 'y-protocols/awareness'
import * as Y from 'yjs'
import { bytesUpTo } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { ShareIdSchema } from '../ids.ts'
import { MAX_CHANGE_BYTES, MAX_MESSAGE_BYTES } from '../limits.ts'
import { admissibleAwareness } from './awareness.ts'
import { admissibleUpdate } from './update.ts'

/** libp2p protocol ids between devices. */
export const SYNC_PROTOCOL = '/cofolder/sync/1'
export const MAILBOX_PROTOCOL = '/cofolder/mailbox/1'

/** Outer message types; 0 and 1 are y-websocket's. */
export const messageTypes = { sync: 0, awareness: 1, queryAwareness: 3, submission: 100 } as const
/** Types inside a sync message (y-protocols/sync). */
export const syncTypes = { step1: 0, step2: 1, update: 2 } as const

/** The first message on a sync stream between devices (CBOR). */
export const HelloSchema = v.object({
  share: ShareIdSchema,
  /** Signed changes the other may lack and needs in order to know us: a fresh join. */
  changes: v.pipe(v.array(bytesUpTo(MAX_CHANGE_BYTES)), v.maxLength(16)),
})
export type Hello = v.InferOutput<typeof HelloSchema>

function message(type: number, write: (encoder: encoding.Encoder) => void): Uint8Array {
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, type)
  write(encoder)
  return encoding.toUint8Array(encoder)
}

function syncMessage(type: number, body: Uint8Array): Uint8Array {
  return message(messageTypes.sync, (encoder) => {
    encoding.writeVarUint(encoder, type)
    encoding.writeVarUint8Array(encoder, body)
  })
}

export const stateVectorMessage = (stateVector: Uint8Array): Uint8Array =>
  syncMessage(syncTypes.step1, stateVector)
export const missingMessage = (update: Uint8Array): Uint8Array => syncMessage(syncTypes.step2, update)
export const updateMessage = (update: Uint8Array): Uint8Array => syncMessage(syncTypes.update, update)
export const awarenessMessage = (update: Uint8Array): Uint8Array =>
  message(messageTypes.awareness, (encoder) => encoding.writeVarUint8Array(encoder, update))
export const submissionMessage = (signed: Uint8Array): Uint8Array =>
  message(messageTypes.submission, (encoder) => encoding.writeVarUint8Array(encoder, signed))

export type SyncMessage =
  | { readonly type: 'step1'; readonly stateVector: Uint8Array }
  | { readonly type: 'update'; readonly update: Uint8Array }
  | { readonly type: 'awareness'; readonly update: Uint8Array }
  | { readonly type: 'query-awareness' }
  | { readonly type: 'submission'; readonly signed: Uint8Array }

/** Whether a message would change the document of whoever receives it. Looks at its first two bytes alone. */
export const carriesUpdate = (message: Uint8Array): boolean =>
  message[0] === messageTypes.sync && message[1] !== syncTypes.step1

/** Reads one message; the bodies are not checked yet. @throws ProtocolError `too-large` or `malformed` */
export function readMessage(bytes: Uint8Array): SyncMessage {
  if (bytes.length > MAX_MESSAGE_BYTES) throw new ProtocolError('too-large', 'the message is too large')
  try {
    const decoder = decoding.createDecoder(bytes)
    const type = decoding.readVarUint(decoder)
    if (type === messageTypes.queryAwareness) return { type: 'query-awareness' }
    if (type === messageTypes.awareness)
      return { type: 'awareness', update: decoding.readVarUint8Array(decoder) }
    if (type === messageTypes.submission)
      return { type: 'submission', signed: decoding.readVarUint8Array(decoder) }
    if (type === messageTypes.sync) {
      const inner = decoding.readVarUint(decoder)
      const body = decoding.readVarUint8Array(decoder)
      if (inner === syncTypes.step1) return { type: 'step1', stateVector: body }
      if (inner === syncTypes.step2 || inner === syncTypes.update) return { type: 'update', update: body }
    }
  } catch (error) {
    throw new ProtocolError('malformed', 'the message is cut off', { cause: error })
  }
  throw new ProtocolError('malformed', 'a message of an unknown type')
}

export interface SyncSession {
  /** Sends what begins a session: our state vector and our awareness. */
  start(): void
  /** Handles one message. @throws ProtocolError for a malformed one, which changes nothing. */
  receive(bytes: Uint8Array): void
  /** Stops forwarding. */
  close(): void
}

export interface SyncSessionOptions {
  readonly doc: Y.Doc
  readonly awareness: Awareness
  /** Whether the other side may change the document; asked at each update. */
  readonly mayWrite: () => boolean
  readonly send: (message: Uint8Array) => void
  /** Signed bytes from somebody who may not write them himself. */
  readonly onSubmission: (signed: Uint8Array) => void
  /** A document update was dropped because the other side may not write. */
  readonly onRefused: () => void
}

/** Keeps a document and its awareness equal with whoever is at the other end of an ordered channel. */
export function createSyncSession(options: SyncSessionOptions): SyncSession {
  const { doc, awareness, send } = options
  const origin = Symbol('sync session')

  const onUpdate = (update: Uint8Array, from: unknown): void => {
    if (from !== origin) send(updateMessage(update))
  }
  const onAwareness = (
    changes: { added: number[]; updated: number[]; removed: number[] },
    from: unknown,
  ): void => {
    if (from === origin) return
    const clients = [...changes.added, ...changes.updated, ...changes.removed]
    send(awarenessMessage(encodeAwarenessUpdate(awareness, clients)))
  }
  const sendAwareness = (): void => {
    const clients = [...awareness.getStates().keys()]
    if (clients.length > 0) send(awarenessMessage(encodeAwarenessUpdate(awareness, clients)))
  }

  doc.on('update', onUpdate)
  awareness.on('update', onAwareness)
  return {
    start() {
      send(stateVectorMessage(Y.encodeStateVector(doc)))
      sendAwareness()
    },
    receive(bytes) {
      const received = readMessage(bytes)
      switch (received.type) {
        case 'step1':
          send(missingMessage(missingFrom(doc, received.stateVector)))
          break
        case 'update':
          if (!options.mayWrite()) {
            // An empty answer to our state vector is no attempt to write.
            if (received.update.length > EMPTY_UPDATE_LENGTH) options.onRefused()
            break
          }
          Y.applyUpdate(doc, admissibleUpdate(received.update), origin)
          break
        case 'awareness':
          applyAwarenessUpdate(awareness, admissibleAwareness(received.update), origin)
          break
        case 'query-awareness':
          sendAwareness()
          break
        case 'submission':
          if (received.signed.length > MAX_CHANGE_BYTES)
            throw new ProtocolError('too-large', 'the submission is too large')
          options.onSubmission(received.signed)
          break
      }
    },
    close() {
      doc.off('update', onUpdate)
      awareness.off('update', onAwareness)
    },
  }
}

/** What somebody with this state vector lacks. @throws ProtocolError `malformed` */
function missingFrom(doc: Y.Doc, stateVector: Uint8Array): Uint8Array {
  try {
    return Y.encodeStateAsUpdate(doc, stateVector)
  } catch (error) {
    throw new ProtocolError('malformed', 'not a state vector', { cause: error })
  }
}

/** A Yjs update without structs and deletions is two zero bytes. */
const EMPTY_UPDATE_LENGTH = 2
