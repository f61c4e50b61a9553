/** One torrent being fetched from some holders, each over TCP or, where that fails, over a stream. */
import type { DeviceId, ShareId } from '@cofolder/protocol'
import type { Holders } from './holders.ts'
import type { LostReason } from './torrent-jobs.ts'
import type { Transfer, TransferEvents } from './torrents.ts'

export interface SwarmOptions<T> {
  readonly holders: Holders
  readonly share: ShareId
  readonly infoHash: Uint8Array<ArrayBuffer>
  readonly begin: (events: TransferEvents) => Transfer<T>
  readonly onProgress: (received: number) => void
  /** A holder is gone for good as far as this transfer goes. */
  readonly onLost: (device: DeviceId, reason: LostReason) => void
}

export interface Swarm<T> {
  readonly done: Promise<T>
  add(device: DeviceId, port: number): void
  stop(): void
}

export function createSwarm<T>({
  holders,
  share,
  infoHash,
  begin,
  onProgress,
  onLost,
}: SwarmOptions<T>): Swarm<T> {
  const overStreams = new Set<DeviceId>()
  const transfer = begin({
    progress: onProgress,
    lost(device, reason) {
      if (reason === 'unreachable' && !overStreams.has(device)) {
        holders.noDirectPath(device)
        connectOverStream(device)
      } else onLost(device, reason)
    },
  })

  function connectOverStream(device: DeviceId): void {
    overStreams.add(device)
    holders.openWire(device, share, infoHash).then(
      (stream) => transfer.peer(device, { stream }),
      () => onLost(device, 'unreachable'),
    )
  }

  return {
    done: transfer.done,
    add(device, port) {
      const host = holders.directHost(device)
      if (host === undefined) connectOverStream(device)
      else transfer.peer(device, { host, port })
    },
    stop: () => transfer.stop(),
  }
}
