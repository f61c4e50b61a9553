/** Served segments at the trackers of the share's relays, so that whoever knows an info hash finds a holder. */
import Tracker from 'bittorrent-tracker'
import type { Client } from './client.ts'

export interface Tracking {
  /** Announces a torrent until `stop`. Trackers that fail are left out: holders are known from elsewhere, too. */
  start(infoHash: string, trackers: readonly string[]): void
  stop(infoHash: string): void
}

/** WebSocket trackers pair browsers by WebRTC, which these clients do not speak. */
const isSpoken = (url: string): boolean => /^(https?|udp):/.test(url)

export function createTracking({ torrents, port }: Client): Tracking {
  const announced = new Map<string, Tracker>()

  function stop(infoHash: string): void {
    announced.get(infoHash)?.destroy()
    announced.delete(infoHash)
  }

  return {
    start(infoHash, trackers) {
      const announce = trackers.filter(isSpoken)
      if (announce.length === 0) return
      stop(infoHash)
      const tracker = new Tracker({ infoHash, peerId: torrents.peerId, announce, port, wrtc: false })
      tracker.on('error', () => {})
      tracker.on('warning', () => {})
      tracker.start()
      announced.set(infoHash, tracker)
    },
    stop,
  }
}
