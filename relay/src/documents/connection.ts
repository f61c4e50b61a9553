/** One connection to a document: speaks the y-websocket protocol within the right it was admitted with. */
import type { ShareId } from '@cofolder/protocol'
import type { RelayContext } from '../context.ts'
import { RelayError } from '../errors.ts'
import type { Counter } from '../http/metrics.ts'
import type { Inboxes } from '../messages/inbox.ts'
import { createRateLimiter } from '../rates.ts'
import type { Rights } from '../rights/rights.ts'
import { addCoverage, type Coverage, coverageOf, emptyCoverage } from './coverage.ts'
import { readMessage } from './framing.ts'
import type { LiveDocument, Member } from './live.ts'

export interface DocumentMetrics {
  readonly updates: Counter
  readonly bytes: Counter
}

export interface ConnectionOptions {
  readonly id: ShareId
  readonly member: Member
  readonly context: RelayContext
  readonly metrics: DocumentMetrics
  readonly rights: Rights
  readonly inboxes: Inboxes
}

export interface Connection {
  onMessage(message: Uint8Array): Promise<void>
  /** After the socket closed. The document, unless it could not be opened. */
  leave(): Promise<LiveDocument | undefined>
}

export function serveConnection(options: ConnectionOptions, opening: Promise<LiveDocument>): Connection {
  const { id, member, context, metrics, rights, inboxes } = options
  const { limits, clock } = context
  const messages = createRateLimiter(limits.messages, 'messages', clock)
  const traffic = createRateLimiter(limits.messageTraffic, 'bytes', clock)
  const reader = watchReader(member, limits.readerGrace)

  async function enter(): Promise<LiveDocument> {
    const document = await opening
    await document.join(member)
    // The rights may have changed between the check of the token and now.
    if ((await rights.epoch(id)) !== member.epoch)
      throw new RelayError('forbidden', 'the rights have changed')
    return document
  }
  const entered = enter()
  entered.catch((error: unknown) => member.socket.fail(error))

  return {
    async onMessage(bytes) {
      messages.take('')
      traffic.take('', bytes.length)
      const message = readMessage(bytes)
      const document = await opening
      if (message.type === 'update') {
        metrics.updates.add()
        metrics.bytes.add(message.update.length)
        return member.writes ? document.take(member, message.update) : reader.check(document, message.update)
      }
      if (message.type === 'state') return document.answer(member, message.stateVector)
      if (message.type === 'presence') return document.takePresence(member, message.presence)
      if (message.type === 'query-presence') return document.sendPresence(member)
      await inboxes.submit(id, message.submission)
    },
    async leave() {
      reader.close()
      await entered.catch(() => undefined)
      const document = await opening.catch(() => undefined)
      await document?.leave(member)
      return document
    },
  }
}

/**
 * Nothing a reader sends is stored. A reader may still be ahead of the writers, with an update it got from one of
 * them directly; one that no writer brings within a short time is an attempt to write.
 */
function watchReader({ socket }: Member, grace: number) {
  let unproven: Coverage | undefined
  let timer: NodeJS.Timeout | undefined

  return {
    check(document: LiveDocument, update: Uint8Array): void {
      const coverage = coverageOf(update)
      if (document.knows(coverage)) return
      unproven ??= emptyCoverage()
      addCoverage(unproven, coverage)
      timer ??= setTimeout(() => {
        const proven = unproven === undefined || document.knows(unproven)
        timer = undefined
        unproven = undefined
        if (!proven) socket.refuse(new RelayError('forbidden', 'this token may read, not write'))
      }, grace)
    },
    close(): void {
      clearTimeout(timer)
    },
  }
}
