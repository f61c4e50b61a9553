/** A libp2p stream as length-prefixed messages (unsigned varint, then the bytes). */
import { type DeviceId, MAX_MESSAGE_BYTES } from '@cofolder/protocol'
import type { Stream } from '@libp2p/interface'
import { InvalidDataLengthError, lpStream } from '@libp2p/utils'
import { MAX_STREAM_BUFFER_BYTES, STREAM_INACTIVITY_MS } from './limits.ts'
import { type MessageStream, NetworkError } from './network.ts'

export function messageStream(stream: Stream, device: DeviceId): MessageStream {
  stream.inactivityTimeout = STREAM_INACTIVITY_MS
  stream.maxReadBufferLength = MAX_STREAM_BUFFER_BYTES
  stream.maxWriteBufferLength = MAX_STREAM_BUFFER_BYTES
  const framed = lpStream(stream, {
    maxDataLength: MAX_MESSAGE_BYTES,
    maxBufferSize: MAX_STREAM_BUFFER_BYTES,
  })
  const ended = new AbortController()
  // Messages leave one after the other: the framing writes length and body separately.
  let sending: Promise<void> = Promise.resolve()

  const close = async (): Promise<void> => {
    if (ended.signal.aborted) return
    ended.abort()
    await sending.catch(() => {})
    try {
      await stream.close({ signal: AbortSignal.timeout(1_000) })
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }

  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield (await framed.read({ signal: ended.signal })).subarray()
    } catch (error) {
      if (error instanceof InvalidDataLengthError) {
        stream.abort(error)
        throw new NetworkError('refused', 'a message larger than allowed', { cause: error })
      }
      // The other side's close, a reset and a lost connection all end the messages: protocols above tolerate each.
    }
  }

  return {
    device,
    messages: read(),
    send(message) {
      if (ended.signal.aborted) return Promise.reject(new NetworkError('closed', 'the stream is closed'))
      if (message.length > MAX_MESSAGE_BYTES) {
        return Promise.reject(new NetworkError('refused', 'a message larger than allowed'))
      }
      sending = sending
        .then(() => framed.write(message))
        .catch((error: unknown) => {
          throw new NetworkError('closed', 'the stream is closed', { cause: error })
        })
      // The caller sees the rejection; the chain itself must not count as unhandled.
      sending.catch(() => {})
      return sending
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
