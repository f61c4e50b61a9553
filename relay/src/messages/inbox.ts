/**
 * Inboxes of documents: what a member signed but may not write himself (a viewer's join, leave or placement) waits
 * here for a writer, and goes to those who are connected at once.
 */
import { MAX_CHANGE_BYTES, type ShareId, type StoredMessage } from '@cofolder/protocol'
import type { RelayContext } from '../context.ts'
import { documentTopic, encodeNotice } from '../documents/fanout.ts'
import { createRateLimiter } from '../rates.ts'
import { createBoxes } from './box.ts'

export interface Inboxes {
  /** @throws RelayError `rate-limited`, `full`, `too-large`. */
  submit(document: ShareId, submission: Uint8Array): Promise<string>
  list(document: ShareId): Promise<StoredMessage[]>
  remove(document: ShareId, id: string): Promise<boolean>
}

export function createInboxes(context: RelayContext): Inboxes {
  const { limits, clock, storage, metrics } = context
  const boxes = createBoxes(context, 'inbox', {
    depth: limits.inboxDepth,
    age: limits.inboxAge,
    bytes: MAX_CHANGE_BYTES,
  })
  const rate = createRateLimiter(limits.submissions, 'submissions to this document', clock)
  const received = metrics.counter('submissions_total', 'Submissions put into inboxes')

  return {
    async submit(document, submission) {
      rate.take(document)
      const { id, bytes } = await boxes.put(document, submission)
      received.add()
      await storage.topics.publish(
        documentTopic(document),
        encodeNotice({ kind: 'submission', submission: bytes }),
      )
      return id
    },
    list: (document) => boxes.list(document),
    remove: (document, id) => boxes.remove(document, id),
  }
}
