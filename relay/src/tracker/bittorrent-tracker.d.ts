/** The part of bittorrent-tracker that is used here; it comes without types. */
declare module 'bittorrent-tracker' {
  import type { Socket } from 'node:dgram'
  import type { EventEmitter } from 'node:events'
  import type { ServerResponse } from 'node:http'

  /** What is read of a request, over HTTP or for a WebSocket. */
  interface TrackerRequest {
    readonly url?: string
    readonly headers: Readonly<Record<string, string>>
    readonly connection: { readonly remoteAddress: string; readonly remotePort: number }
  }

  interface Swarm {
    readonly peers: {
      readonly keys: readonly string[]
      readonly length: number
      /** Also forgets the peer when it is too old. */
      peek(key: string): unknown
    }
  }

  export class Server extends EventEmitter {
    constructor(options: {
      http: false
      udp: false
      ws: false
      stats: false
      /** Milliseconds. */
      interval: number
      peersCacheLength: number
      /** Milliseconds. */
      peersCacheTtl: number
      filter: (infoHash: string, params: unknown, done: (refusal: Error | null) => void) => void
    })
    readonly torrents: Record<string, Swarm>
    udp4: Socket | null
    udp6: Socket | null
    onHttpRequest(request: TrackerRequest, response: ServerResponse): void
    onUdpRequest(message: Buffer, from: { address: string; port: number; family: string }): void
    onWebSocketConnection(
      socket: EventEmitter & {
        send(message: string, sent: (error?: Error) => void): void
        upgradeReq: TrackerRequest
      },
    ): void
    close(): void
  }

  /** Announces one torrent. */
  export default class Client extends EventEmitter {
    constructor(options: {
      infoHash: Uint8Array | string
      peerId: Uint8Array | string
      announce: string | readonly string[]
      port?: number
      wrtc?: unknown
    })
    start(options?: object): void
    update(options?: object): void
    destroy(done?: () => void): void
  }
}
