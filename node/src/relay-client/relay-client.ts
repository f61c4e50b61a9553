/** One relay as the node uses it: documents, mailbox, links, the tracker's permissions. */
import {
  carriesUpdate,
  createLinkStatement,
  createMailboxToken,
  createSyncSession,
  createToken,
  decodeAs,
  decodeCbor,
  type Identity,
  type InviteId,
  MAX_ENVELOPE_BYTES,
  MAX_MESSAGE_BYTES,
  parse,
  type RelayInfo,
  RelayInfoSchema,
  type Right,
  relayPaths,
  rightsOf,
  type ShareDocument,
  StoredMessageSchema,
  StoredMessagesSchema,
  submissionMessage,
  type UserId,
} from '@cofolder/protocol'
import type { Awareness } from 'y-protocols/awareness'
import { RelayError } from './errors.ts'
import { MAX_ANSWER_BYTES, TOKEN_LIFE_MS } from './limits.ts'
import { type RequestOptions, request } from './requests.ts'
import { openLastingSocket } from './socket.ts'

export interface DocumentConnection {
  readonly connected: boolean
  /** Signed bytes that this device may not write itself, for whoever may. */
  submit(signed: Uint8Array): Promise<void>
  /** Tries again at once. */
  wake(): void
  close(): Promise<void>
}

export interface DocumentConnectionOptions {
  readonly share: ShareDocument
  readonly awareness: Awareness
  readonly onSubmission: (signed: Uint8Array) => void
  readonly onState: (connected: boolean, error?: Error) => void
  /** Before each attempt, for example to publish an access statement. */
  readonly before?: () => Promise<void>
  /** Resolves when what this device wrote is on disk, undefined when it is: nothing is told before. */
  readonly written?: () => Promise<void> | undefined
}

export interface MailboxSubscription {
  readonly connected: boolean
  wake(): void
  close(): Promise<void>
}

export interface RelayClient {
  readonly url: string
  /** What the relay says of itself; asked once, again after a failure. */
  info(): Promise<RelayInfo>
  publishAccess(share: ShareDocument, statement: Uint8Array): Promise<void>
  connectDocument(options: DocumentConnectionOptions): DocumentConnection
  /** Allows info hashes (hex) at the tracker and answers the tracker's announce URLs. */
  allowTorrents(share: ShareDocument, infoHashes: readonly string[]): Promise<readonly string[]>
  /** Calls the handler with each envelope; it is deleted once the handler has resolved. */
  mailbox(
    handler: (envelope: Uint8Array) => Promise<void>,
    onState?: (connected: boolean) => void,
  ): MailboxSubscription
  sendEnvelope(user: UserId, envelope: Uint8Array): Promise<void>
  putLink(seed: Uint8Array, invite: InviteId, blob: Uint8Array, at: number): Promise<void>
  getLink(invite: InviteId): Promise<Uint8Array>
  deleteLink(seed: Uint8Array, invite: InviteId, at: number): Promise<void>
}

const webSocketUrl = (url: string): string => url.replace(/^http/, 'ws')

export function createRelayClient(options: {
  url: string
  identity: Identity
  clock?: () => number
}): RelayClient {
  const url = options.url.replace(/\/+$/, '')
  const { identity } = options
  const clock = options.clock ?? Date.now
  let info: Promise<RelayInfo> | undefined

  const call = (method: string, path: string, body: RequestOptions = {}): Promise<Uint8Array> =>
    request(url, method, path, body)

  async function askInfo(): Promise<RelayInfo> {
    const answer = await call('GET', relayPaths.info)
    try {
      return parse(RelayInfoSchema, JSON.parse(new TextDecoder().decode(answer)))
    } catch (error) {
      throw new RelayError('malformed', 200, `${url} is no relay`, { cause: error })
    }
  }

  function getInfo(): Promise<RelayInfo> {
    info ??= askInfo().catch((error: unknown) => {
      info = undefined
      throw error
    })
    return info
  }

  /** The strongest right we can prove in the present epoch. */
  function rightOf(share: ShareDocument): { right: Right; seed: Uint8Array } {
    const epochs = share.keys.epochs
    const keys = epochs.get(share.membership.epoch) ?? epochs.get(Math.max(...epochs.keys()))
    if (!keys) throw new RelayError('unauthorised', 0, 'no key of this share is known')
    const rights = rightsOf(keys)
    return rights.writeSeed
      ? { right: 'write', seed: rights.writeSeed }
      : { right: 'read', seed: rights.readSeed }
  }

  async function documentToken(share: ShareDocument, wanted?: Right): Promise<string> {
    const { right, seed } = rightOf(share)
    const keys =
      share.keys.epochs.get(share.membership.epoch) ??
      share.keys.epochs.get(Math.max(...share.keys.epochs.keys()))
    const reading = wanted === 'read' && keys
    return createToken(
      {
        document: share.id,
        right: reading ? 'read' : right,
        audience: (await getInfo()).id,
        device: identity.deviceId,
        expires: clock() + TOKEN_LIFE_MS,
      },
      reading ? rightsOf(keys).readSeed : seed,
    )
  }

  async function mailboxToken(): Promise<string> {
    const claims = {
      mailbox: identity.userId,
      audience: (await getInfo()).id,
      device: identity.deviceId,
      expires: clock() + TOKEN_LIFE_MS,
    }
    return createMailboxToken(claims, identity.user.seed)
  }

  /** Takes what waits in the document's inbox; each message is deleted once handed over. */
  async function drainInbox(share: ShareDocument, onSubmission: (signed: Uint8Array) => void): Promise<void> {
    const token = await documentToken(share)
    const stored = decodeAs(
      StoredMessagesSchema,
      await call('GET', relayPaths.inbox(share.id), { token }),
      MAX_ANSWER_BYTES,
    )
    for (const { id, bytes } of stored) {
      onSubmission(bytes)
      await call('DELETE', relayPaths.inboxMessage(share.id, id), { token }).catch(ignoreNotFound)
    }
  }

  return {
    url,
    info: getInfo,
    async publishAccess(share, statement) {
      await call('PUT', relayPaths.access(share.id), { body: statement })
    },

    connectDocument({ share, awareness, onSubmission, onState, before, written = () => undefined }) {
      let submit = (_: Uint8Array): void => {}
      const drain = (): void => {
        if (rightOf(share).right === 'write') {
          drainInbox(share, onSubmission).catch((error: unknown) => {
            // It stays in the inbox and is taken at the next connection.
            onState(socket.connected, error instanceof Error ? error : new Error(String(error)))
          })
        }
      }
      const socket = openLastingSocket({
        url: webSocketUrl(url) + relayPaths.document(share.id),
        maxMessageBytes: MAX_MESSAGE_BYTES * 4,
        async token() {
          await before?.()
          // Another relay may answer at this address now, for example after a restart with new data.
          info = undefined
          return documentToken(share)
        },
        onOpen(transmit) {
          const { right } = rightOf(share)
          const transmitWritten = sendInOrder(transmit, written)
          const send = (message: Uint8Array): void => {
            // A reader's relay connection is for reading: what it knows more comes from those who may write.
            if (right === 'write' || !carriesUpdate(message)) transmitWritten(message)
          }
          const session = createSyncSession({
            doc: share.doc,
            awareness,
            mayWrite: () => true, // Records are checked one by one; the relay refused who may not write.
            send,
            onSubmission() {
              drain()
            },
            onRefused() {},
          })
          submit = (signed) => send(submissionMessage(signed))
          for (const signed of share.outbox) submit(signed)
          session.start()
          drain()
          return {
            onMessage: session.receive,
            onClose() {
              submit = () => {}
              session.close()
            },
          }
        },
        onState,
      })
      return {
        get connected() {
          return socket.connected
        },
        async submit(signed) {
          const token = await documentToken(share, 'read')
          await call('POST', relayPaths.inbox(share.id), { token, body: signed })
        },
        wake: socket.wake,
        close: socket.close,
      }
    },

    async allowTorrents(share, infoHashes) {
      const token = await documentToken(share, 'read')
      await call('POST', relayPaths.torrents(share.id), { token, json: { infoHashes } })
      const { tracker } = await getInfo()
      return [tracker.http, tracker.ws].filter((address) => address !== '')
    },

    mailbox(handler, onState = () => {}) {
      const take = async (value: unknown): Promise<void> => {
        const { id, bytes } = parse(StoredMessageSchema, value)
        await handler(bytes)
        const token = await mailboxToken()
        await call('DELETE', relayPaths.mailboxMessage(identity.userId, id), { token }).catch(ignoreNotFound)
      }
      const socket = openLastingSocket({
        url: webSocketUrl(url) + relayPaths.mailbox(identity.userId),
        maxMessageBytes: MAX_ENVELOPE_BYTES * 2,
        token() {
          info = undefined
          return mailboxToken()
        },
        onOpen: () => ({
          onMessage(message) {
            // An envelope that could not be handled stays at the relay and comes again with the next connection.
            take(decodeCbor(message, MAX_ENVELOPE_BYTES * 2)).catch(() => onState(true))
          },
          onClose() {},
        }),
        onState: (connected) => onState(connected),
      })
      return {
        get connected() {
          return socket.connected
        },
        wake: socket.wake,
        close: socket.close,
      }
    },

    async sendEnvelope(user, envelope) {
      await call('POST', relayPaths.mailbox(user), { body: envelope })
    },
    async putLink(seed, invite, blob, at) {
      await call('PUT', relayPaths.link(invite), { body: createLinkStatement(seed, at, blob) })
    },
    getLink: (invite) => call('GET', relayPaths.link(invite)),
    async deleteLink(seed, invite, at) {
      await call('DELETE', relayPaths.link(invite), { body: createLinkStatement(seed, at) })
    },
  }
}

/** Sends messages in order, each once all that was written before it is on disk. */
function sendInOrder(
  transmit: (message: Uint8Array) => void,
  written: () => Promise<void> | undefined,
): (message: Uint8Array) => void {
  const queue: Uint8Array[] = []
  let sending = false
  const sendQueue = async (): Promise<void> => {
    try {
      for (let message = queue[0]; message; message = queue[0]) {
        const writing = written()
        if (writing) await writing
        transmit(message)
        queue.shift()
      }
    } catch {
      // What we wrote will not reach the disk any more: the replica is closing.
      queue.length = 0
    } finally {
      sending = false
    }
  }
  return (message) => {
    queue.push(message)
    if (sending) return
    sending = true
    // After this tick's listeners, so that what the message tells is among what is being written.
    queueMicrotask(() => void sendQueue())
  }
}

function ignoreNotFound(error: unknown): void {
  // Another device of ours, or of another editor, took it first.
  if (!(error instanceof RelayError) || error.status !== 404) throw error
}
