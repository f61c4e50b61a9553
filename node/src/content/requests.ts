/** Questions to holders: one stream a holder, opened when needed, answers matched by id. */
import type { DeviceId } from '@cofolder/protocol'
import { type MessageStream, type Network, NetworkError } from '../network/network.ts'
import { ANSWER_TIMEOUT, CONTENT_PROTOCOL } from './limits.ts'
import { type ContentQuestion, type ContentReply, encodeMessage, parseAnswer } from './wire.ts'

interface Conversation {
  readonly stream: MessageStream
  readonly pending: Map<number, PromiseWithResolvers<ContentReply>>
}

export interface Requests {
  /** @throws NetworkError when the holder cannot be reached, hangs up, or says what is not the protocol. */
  ask(device: DeviceId, question: ContentQuestion): Promise<ContentReply>
  /** Bytes of answers and questions so far. */
  readonly traffic: { readonly received: number; readonly sent: number }
  close(): Promise<void>
}

export function createRequests(network: Network): Requests {
  const conversations = new Map<DeviceId, Promise<Conversation>>()
  const traffic = { received: 0, sent: 0 }
  let nextId = 0

  async function read(device: DeviceId, { stream, pending }: Conversation): Promise<void> {
    let failure: Error = new NetworkError('closed', 'the holder hung up')
    try {
      for await (const message of stream.messages) {
        traffic.received += message.length
        const { id, ...reply } = parseAnswer(device, message)
        pending.get(id)?.resolve(reply)
        pending.delete(id)
      }
    } catch (cause) {
      failure = new NetworkError('closed', 'the holder’s answer could not be read', { cause })
    } finally {
      conversations.delete(device)
      for (const { reject } of pending.values()) reject(failure)
      pending.clear()
      await stream.close()
    }
  }

  async function start(device: DeviceId): Promise<Conversation> {
    const stream = await network.open(device, CONTENT_PROTOCOL, AbortSignal.timeout(ANSWER_TIMEOUT))
    const conversation: Conversation = { stream, pending: new Map() }
    void read(device, conversation)
    return conversation
  }

  function conversationWith(device: DeviceId): Promise<Conversation> {
    let conversation = conversations.get(device)
    if (!conversation) {
      conversation = start(device)
      conversations.set(device, conversation)
      conversation.catch(() => conversations.delete(device))
    }
    return conversation
  }

  return {
    traffic,
    async ask(device, question) {
      const { stream, pending } = await conversationWith(device)
      const id = nextId++ % 0xffff_ffff
      const answer = Promise.withResolvers<ContentReply>()
      // It may be rejected while the question is still on its way out.
      answer.promise.catch(() => {})
      pending.set(id, answer)
      const timer = setTimeout(() => {
        answer.reject(new NetworkError('unreachable', 'the holder did not answer in time'))
      }, ANSWER_TIMEOUT)
      try {
        const message = encodeMessage({ ...question, id })
        traffic.sent += message.length
        await stream.send(message)
        return await answer.promise
      } finally {
        clearTimeout(timer)
        pending.delete(id)
      }
    },
    async close() {
      const open = await Promise.allSettled(conversations.values())
      await Promise.all(
        open.map((one) => (one.status === 'fulfilled' ? one.value.stream.close() : undefined)),
      )
    },
  }
}
