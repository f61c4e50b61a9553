/** Info dicts by info hash, the least recently used dropped when they take too much memory. */
import { toHex } from '@cofolder/protocol'
import { INFO_CACHE_BYTES } from './limits.ts'

export interface InfoCache {
  add(infoHash: Uint8Array, info: Uint8Array<ArrayBuffer>): void
  get(infoHash: Uint8Array): Uint8Array<ArrayBuffer> | undefined
}

export function createInfoCache(limit = INFO_CACHE_BYTES): InfoCache {
  const infos = new Map<string, Uint8Array<ArrayBuffer>>()
  let bytes = 0

  return {
    add(infoHash, info) {
      const key = toHex(infoHash)
      if (infos.has(key)) return
      infos.set(key, info)
      bytes += info.length
      for (const [oldest, dropped] of infos) {
        if (bytes <= limit) break
        infos.delete(oldest)
        bytes -= dropped.length
      }
    },
    get(infoHash) {
      const key = toHex(infoHash)
      const info = infos.get(key)
      if (info) {
        infos.delete(key)
        infos.set(key, info)
      }
      return info
    },
  }
}
