/**
 * The network as the rest of the node sees it: authenticated, message-framed streams between devices.
 * Implemented over libp2p (`libp2p.ts`) and in memory (for tests and the simulation).
 */
import type { DeviceId } from '@cofolder/protocol'

/** One protocol's ordered, reliable messages between two devices. Whoever holds it closes it. */
export interface MessageStream extends AsyncDisposable {
  /** The device at the other end, proven by the transport's handshake. */
  readonly device: DeviceId
  /** Resolves when the message is handed to the transport; waits while the other side is slow. Rejects once closed. */
  send(message: Uint8Array): Promise<void>
  /** Messages in order, each at most MAX_MESSAGE_BYTES; ends when either side closes. One consumer. */
  readonly messages: AsyncIterable<Uint8Array>
  close(): Promise<void>
}

export interface Peer {
  readonly device: DeviceId
  readonly address: string
  /** The host of a direct connection; undefined when the path leads over a relay. */
  readonly host?: string
}

export type StreamHandler = (stream: MessageStream) => Promise<void>

export interface Network extends AsyncDisposable {
  readonly device: DeviceId
  /** Multiaddrs other devices can try, without the peer id. */
  addresses(): readonly string[]
  /** Devices connected now. */
  peers(): readonly Peer[]
  /**
   * Connects unless already connected: known addresses, then `addresses`, then paths over relays.
   * @throws NetworkError `unreachable` when none leads there before the time-out.
   */
  connect(device: DeviceId, addresses?: readonly string[], signal?: AbortSignal): Promise<void>
  /** Opens a stream; connects first when needed. @throws NetworkError `unreachable` or `refused`. */
  open(device: DeviceId, protocol: string, signal?: AbortSignal): Promise<MessageStream>
  /** Answers streams of one protocol until the returned function is called. A handler that throws closes its stream. */
  handle(protocol: string, handler: StreamHandler): () => void
  onConnect(listener: (peer: Peer) => void): () => void
  onDisconnect(listener: (device: DeviceId) => void): () => void
  /** The relays (libp2p multiaddrs with peer id) to keep a circuit reservation on. */
  useRelays(multiaddrs: readonly string[]): void
  close(): Promise<void>
}

export class NetworkError extends Error {
  readonly code: 'unreachable' | 'refused' | 'closed'
  constructor(code: NetworkError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'NetworkError'
    this.code = code
  }
}
