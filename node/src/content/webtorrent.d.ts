/** The parts of webtorrent 3 that content uses, a few of them internal (checked against lib/torrent.js of 3.0.21). */
declare module 'webtorrent' {
  import type { EventEmitter } from 'node:events'
  import type { Server } from 'node:net'
  import type { Duplex } from 'node:stream'

  export interface Wire extends EventEmitter {
    readonly destroyed: boolean
    /** Bytes of blocks received; while 0 only one block is requested. */
    downloaded: number
    /** Counts bytes, and gives bytes a second over the last five. */
    downloadSpeed(bytes?: number): number
    readonly requests: readonly unknown[]
    readonly peerRequests: readonly unknown[]
    readonly extendedHandshake: Record<string, unknown>
    readonly remoteAddress?: string
    readonly remotePort?: number
    /** Bytes of a message that is not complete yet. */
    readonly _bufferSize: number
    readonly _readableState: { readonly buffered: number }
    destroy(): void
  }

  /** What a torrent keeps of a piece it lacks (torrent-piece). Reservations are multiples of 16 KiB blocks. */
  export interface PieceState {
    readonly length: number
    readonly missing: number
    reserve(): number
    reserveRemaining(): number
    cancel(reservation: number): void
    cancelRemaining(reservation: number): void
    chunkOffset(reservation: number): number
    chunkLength(reservation: number): number
    chunkLengthRemaining(reservation: number): number
    set(reservation: number, chunk: Uint8Array, source: Wire): boolean
    flush(): Uint8Array | null
  }

  export type StoreCallback = (error: Error | null, bytes?: Uint8Array) => void

  export interface ChunkStore {
    readonly chunkLength: number
    get(index: number, options: { offset?: number; length?: number } | null, callback: StoreCallback): void
    put(index: number, bytes: Uint8Array, callback: (error: Error | null) => void): void
    close(callback: (error: Error | null) => void): void
    destroy(callback: (error: Error | null) => void): void
  }

  export interface TorrentOptions {
    preloadedStore: ChunkStore
    /** 0: no cache of webtorrent's own around the store. */
    storeCacheSlots: number
    skipVerify?: boolean
    /** Pieces believed to be there: one bit each, most significant first. */
    bitfield?: Uint8Array
    /** Connections unchoked at once. */
    uploads?: number
  }

  export interface Torrent extends EventEmitter {
    readonly infoHash: string
    readonly wires: readonly Wire[]
    readonly destroyed: boolean
    readonly done: boolean
    readonly ready: boolean
    pieces: (PieceState | null)[]
    addPeer(connection: Duplex & { readonly id: string; readonly connected: boolean }): boolean
    destroy(options: { destroyStore?: boolean }, callback?: (error: Error | null) => void): void
  }

  export interface ClientOptions {
    dht: false
    lsd: false
    utp: false
    utPex: false
    natUpnp: false
    natPmp: false
    webSeeds: false
    tracker: false
    secure: 0
    maxConns: number
    /** Handed to net.Server.listen as it is. */
    torrentPort: { port: number; host: string }
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: ClientOptions)
    readonly torrentPort: number
    readonly peerId: string
    readonly _connPool: { readonly tcpServer: Server } | null
    add(torrentFile: Uint8Array, options: TorrentOptions): Torrent
    destroy(callback: (error: Error | null) => void): void
  }
}
