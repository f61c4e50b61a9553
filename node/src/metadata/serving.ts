/** Streams that other devices open to sync a share. */
import { decodeAs, HelloSchema, MAX_MESSAGE_BYTES, ProtocolError, type ShareId } from '@cofolder/protocol'
import type { MessageStream } from '../network/network.ts'
import { closeStream } from './link.ts'
import type { RunningReplica } from './replica.ts'

/** How long the opener of a stream may take to name its share, in milliseconds. */
const HELLO_TIMEOUT = 10_000

/** Serves a stream for as long as it lasts. A share we do not have and a stranger are refused alike. */
export async function serveSync(
  stream: MessageStream,
  replicaOf: (share: ShareId) => RunningReplica | undefined,
): Promise<void> {
  const timer = setTimeout(() => void closeStream(stream), HELLO_TIMEOUT)
  const messages = stream.messages[Symbol.asyncIterator]()
  try {
    const first = await messages.next()
    clearTimeout(timer)
    if (first.done) return
    const { share, changes } = decodeAs(HelloSchema, first.value, MAX_MESSAGE_BYTES)
    await replicaOf(share)?.accept(stream, messages, changes)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  } finally {
    clearTimeout(timer)
    await closeStream(stream)
  }
}
