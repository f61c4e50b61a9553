/**
 * Connections to holders that webtorrent takes as peers: whole BitTorrent messages, bounded, out of a TCP socket or
 * a stream. Whole messages spare webtorrent from joining buffers, and their buffers can be used again.
 */
import { connect } from 'node:net'
import { Duplex } from 'node:stream'
import type { MessagePort } from 'node:worker_threads'
import { giveBuffer, takeBuffer } from './buffers.ts'
import { CONNECT_TIMEOUT, MAX_WIRE_MESSAGE } from './limits.ts'
import { createPump } from './pump.ts'

const HANDSHAKE_LENGTH = 68
const LENGTH_BYTES = 4
const BLOCK_HEADER = 9
const SMALLEST_BLOCK = 16 * 1024
const READ_BUFFER = 256 * 1024
/** Bytes webtorrent may lag behind before the source is paused. */
const READ_AHEAD = 1024 * 1024

/** Messages of whole blocks come again and again in the same few lengths. */
const isBlockMessage = (length: number): boolean => {
  const block = length - BLOCK_HEADER
  return block >= SMALLEST_BLOCK && (block & (block - 1)) === 0
}

/** Returns the buffer under a block to the pool; it must be that of one message. */
export function releaseBlock(block: Uint8Array): void {
  const whole = block.buffer
  const isMessage = block.byteOffset === BLOCK_HEADER && block.length + BLOCK_HEADER === whole.byteLength
  if (isMessage && isBlockMessage(whole.byteLength)) giveBuffer(new Uint8Array(whole))
}

/** Cuts a byte stream into the handshake, lengths and messages. @throws RangeError at an oversized message. */
function createFramer(push: (part: Uint8Array) => void): (bytes: Uint8Array) => void {
  let part: Uint8Array = Buffer.allocUnsafeSlow(HANDSHAKE_LENGTH)
  let filled = 0
  let isLength = false

  const expectLength = () => {
    part = Buffer.allocUnsafe(LENGTH_BYTES)
    isLength = true
  }
  const complete = () => {
    const done = part
    filled = 0
    if (isLength) {
      const length = Buffer.from(done.buffer, done.byteOffset, LENGTH_BYTES).readUInt32BE()
      if (length > MAX_WIRE_MESSAGE) throw new RangeError('a BitTorrent message that is too long')
      if (length > 0) {
        part = isBlockMessage(length) ? takeBuffer(length) : Buffer.allocUnsafeSlow(length)
        isLength = false
      } else {
        expectLength()
      }
    } else {
      expectLength()
    }
    push(done)
  }

  return (bytes) => {
    let at = 0
    while (at < bytes.length) {
      const take = Math.min(part.length - filled, bytes.length - at)
      part.set(bytes.subarray(at, at + take), filled)
      filled += take
      at += take
      if (filled === part.length) complete()
    }
  }
}

/** What webtorrent needs of a peer's connection; the address only tells its wires apart. */
export class HolderConnection extends Duplex {
  readonly id: string
  readonly connected = true
  readonly remoteAddress = 'holder'
  readonly remotePort: number
  constructor(id: string, tag: number, duplex: ConstructorParameters<typeof Duplex>[0]) {
    super({ ...duplex, readableHighWaterMark: READ_AHEAD })
    this.id = id
    this.remotePort = tag
  }
}

/** Connects over TCP. Rejects when that does not work soon. */
export function connectTcp(host: string, port: number, id: string, tag: number): Promise<HolderConnection> {
  return new Promise((resolve, reject) => {
    const framer = createFramer((part) => {
      isFull = !connection.push(part)
    })
    let isFull = false
    const socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BUFFER),
        callback(length, buffer) {
          try {
            framer(buffer.subarray(0, length))
          } catch (error) {
            connection.destroy(error instanceof Error ? error : undefined)
          }
          return !isFull
        },
      },
    })
    const connection = new HolderConnection(id, tag, {
      read() {
        isFull = false
        socket.resume()
      },
      write(chunk, _encoding, done) {
        if (socket.write(chunk)) done()
        else socket.once('drain', () => done())
      },
      final(done) {
        socket.end(() => done())
      },
      destroy(error, done) {
        socket.destroy()
        done(error)
      },
    })
    connection.on('error', () => {})
    const timer = setTimeout(() => socket.destroy(new Error('no direct connection in time')), CONNECT_TIMEOUT)
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(connection)
    })
    socket.once('error', reject)
    socket.once('close', () => {
      clearTimeout(timer)
      connection.destroy()
    })
  })
}

/** A connection whose bytes travel over a port to the main thread, and from there over a stream. */
export function overStream(port: MessagePort, id: string, tag: number): HolderConnection {
  let waiting: (() => void) | undefined
  const framer = createFramer((part) => {
    if (!connection.push(part)) full = true
  })
  let full = false
  const pump = createPump(port, {
    async receive(bytes) {
      framer(bytes)
      if (full) await new Promise<void>((resolve) => (waiting = resolve))
    },
    onClose: () => connection.destroy(),
  })
  const connection = new HolderConnection(id, tag, {
    read() {
      full = false
      waiting?.()
      waiting = undefined
    },
    write(chunk, _encoding, done) {
      pump.send(chunk).then(() => done(), done)
    },
    // Small headers and their blocks leave together.
    writev(chunks, done) {
      const joined = Buffer.concat(chunks.map(({ chunk }) => chunk))
      pump.send(joined).then(() => done(), done)
    },
    destroy(error, done) {
      pump.close()
      waiting?.()
      done(error)
    },
  })
  connection.on('error', () => {})
  return connection
}
