/** Mailboxes: sealed envelopes that anybody may send to a user, who fetches them or has them pushed. */
import {
  type DeviceId,
  encodeCbor,
  MAX_ENVELOPE_BYTES,
  type StoredMessage,
  type UserId,
} from '@cofolder/protocol'
import type { WebSocket } from 'ws'
import type { RelayContext } from '../context.ts'
import type { Sockets } from '../http/sockets.ts'
import { createRateLimiter } from '../rates.ts'
import type { RecentDevices } from '../rights/devices.ts'
import { createBoxes } from './box.ts'

export interface Mailboxes {
  /** @throws RelayError `rate-limited`, `full`, `too-large`. */
  send(user: UserId, envelope: Uint8Array, address: string): Promise<string>
  list(user: UserId): Promise<StoredMessage[]>
  remove(user: UserId, id: string): Promise<boolean>
  /** Pushes what waits, then what comes. */
  push(socket: WebSocket, user: UserId, device: DeviceId): void
}

const topicOf = (user: UserId): string => `mailbox!${user}`

export function createMailboxes(context: RelayContext, sockets: Sockets, devices: RecentDevices): Mailboxes {
  const { limits, clock, storage, metrics } = context
  const boxes = createBoxes(context, 'mail', {
    depth: limits.mailboxDepth,
    age: limits.mailboxAge,
    bytes: MAX_ENVELOPE_BYTES,
  })
  const bySender = createRateLimiter(limits.envelopesPerSender, 'envelopes', clock)
  const byMailbox = createRateLimiter(limits.envelopesPerMailbox, 'envelopes for this mailbox', clock)
  const received = metrics.counter('envelopes_total', 'Envelopes put into mailboxes')

  return {
    async send(user, envelope, address) {
      bySender.take(address)
      byMailbox.take(user)
      const { id, bytes, fresh } = await boxes.put(user, envelope)
      if (fresh) {
        received.add()
        await storage.topics.publish(topicOf(user), encodeCbor({ id, bytes }))
      }
      return id
    },
    list: (user) => boxes.list(user),
    remove: (user, id) => boxes.remove(user, id),
    push(socket, user, device) {
      const release = devices.hold(device)
      sockets.serve(socket, (client) => {
        // What comes while the stored ones are read waits, so that nothing is sent out of order.
        const early: Uint8Array[] = []
        let hear = (message: Uint8Array): void => void early.push(message)
        const subscribing = storage.topics.subscribe(topicOf(user), (message) => hear(message))
        const start = async (): Promise<void> => {
          await subscribing
          for (const { id, bytes } of await boxes.list(user)) {
            client.send(encodeCbor({ id, bytes }))
            await client.drained()
          }
          hear = (message) => client.send(message)
          for (const message of early) client.send(message)
        }
        start().catch((error: unknown) => client.fail(error))
        return {
          onMessage() {},
          onClose() {
            release()
            hear = () => {}
            subscribing
              .then((subscription) => subscription.close())
              .catch((error: Error) => context.log(`mailbox: ${error.message}`))
          },
        }
      })
    },
  }
}
