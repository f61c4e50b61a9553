/** Who may do what: the owners' access statements, and the tokens that devices show. */
import {
  type AccessStatement,
  type DeviceId,
  equalBytes,
  ProtocolError,
  type Right,
  type ShareId,
  type UserId,
  verifyAccessStatement,
  verifyMailboxToken,
  verifyToken,
} from '@cofolder/protocol'
import type { RelayContext } from '../context.ts'
import { documentTopic, encodeNotice } from '../documents/fanout.ts'
import { RelayError } from '../errors.ts'
import { createRateLimiter } from '../rates.ts'
import { createRecentDevices, type RecentDevices } from './devices.ts'

const HOUR = 3600

export interface Admission {
  readonly device: DeviceId
  readonly right: Right
  /** Of the access statement that admitted it. */
  readonly epoch: number
}

export interface Rights {
  readonly devices: RecentDevices
  /**
   * Takes an owner's statement, and makes the document known with the first one; connections of earlier epochs end.
   * @throws RelayError `conflict` when a later epoch, or another statement for this one, holds.
   */
  state(document: ShareId, statement: Uint8Array, address: string): Promise<void>
  /** @throws RelayError `unauthorized`, `forbidden`, or `not-found` for a document without a statement. */
  admit(token: string | undefined, document: ShareId, needs: Right): Promise<Admission>
  /** @throws RelayError `unauthorized`, `forbidden`. */
  admitToMailbox(token: string | undefined, mailbox: UserId): DeviceId
  /** The epoch that holds now. */
  epoch(document: ShareId): Promise<number | undefined>
}

const keyOf = (document: ShareId): string => `access!${document}`

/** A token that is missing, unreadable or old asks for a new one; one that proves something else is refused. */
function checked<T>(verify: () => T): T {
  try {
    return verify()
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    const again = error.code === 'malformed' || error.code === 'expired' || error.code === 'too-large'
    throw new RelayError(again ? 'unauthorized' : 'forbidden', error.message)
  }
}

function shown(token: string | undefined): string {
  if (token === undefined) throw new RelayError('unauthorized', 'a token is needed')
  return token
}

export function createRights(context: RelayContext): Rights {
  const { storage, limits, clock } = context
  const devices = createRecentDevices(context)
  const creations = createRateLimiter(
    { burst: limits.documentsPerHour, perSecond: limits.documentsPerHour / HOUR },
    'new documents',
    clock,
  )

  async function current(document: ShareId): Promise<AccessStatement | undefined> {
    const bytes = await storage.values.get(keyOf(document))
    return bytes && verifyAccessStatement(bytes)
  }

  return {
    devices,
    async state(document, bytes, address) {
      const statement = verifyAccessStatement(bytes)
      if (statement.document !== document)
        throw new RelayError('forbidden', 'the statement is for another document')
      const old = await storage.values.get(keyOf(document))
      if (old && equalBytes(old, bytes)) return
      if (!old) {
        if (!context.hasRoom()) throw new RelayError('full', 'the relay has no room left')
        creations.take(address)
      }
      if (old && verifyAccessStatement(old).epoch >= statement.epoch)
        throw new RelayError('conflict', 'a later statement holds')
      if (!(await storage.values.exchange(keyOf(document), old, bytes)))
        throw new RelayError('conflict', 'another statement arrived at the same time; try again')
      const notice = encodeNotice({ kind: 'epoch', epoch: statement.epoch })
      await storage.topics.publish(documentTopic(document), notice)
    },
    async admit(token, document, needs) {
      const text = shown(token)
      const statement = await current(document)
      if (!statement) throw new RelayError('not-found', 'the relay does not know this document')
      const { readKey, writeKey, epoch } = statement
      const claims = checked(() =>
        verifyToken(text, { document, audience: context.id, readKey, writeKey, now: clock() }),
      )
      if (needs === 'write' && claims.right !== 'write')
        throw new RelayError('forbidden', 'this needs the right to write')
      devices.saw(claims.device)
      return { device: claims.device, right: claims.right, epoch }
    },
    admitToMailbox(token, mailbox) {
      const text = shown(token)
      const { device } = checked(() =>
        verifyMailboxToken(text, { mailbox, audience: context.id, now: clock() }),
      )
      devices.saw(device)
      return device
    },
    epoch: async (document) => (await current(document))?.epoch,
  }
}
