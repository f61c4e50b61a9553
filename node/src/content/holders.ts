/** Who can be asked for content of a share now, how to reach him, and when that changes. */
import type { MessagePort } from 'node:worker_threads'
import type { DeviceId, ShareId } from '@cofolder/protocol'
import type { Network } from '../network/network.ts'
import { onAbort } from './abort.ts'
import { aborted } from './errors.ts'
import { BUSY_FOR, FIRST_RETRY, LAST_RETRY, UNREACHABLE_FOR } from './limits.ts'
import { createRequests } from './requests.ts'
import type { ContentQuestion, ContentReply } from './wire.ts'
import { openWire } from './wire-streams.ts'

type Answered = Exclude<ContentReply, { type: 'busy' | 'refused' | 'none' }>
/** `none`: not from him; `later`: he, or the way to him, is not available just now. */
export type Reply = Answered | 'none' | 'later'

export interface Holders {
  /** Reachable devices that are not resting after a failure, best first. */
  available(share: ShareId): readonly DeviceId[]
  /** Whether somebody is only resting: he may have it after all. */
  isResting(share: ShareId): boolean
  ask(device: DeviceId, question: ContentQuestion): Promise<Reply>
  /** The host of a direct path; undefined when there is none, or TCP to it failed lately. */
  directHost(device: DeviceId): string | undefined
  noDirectPath(device: DeviceId): void
  /** A BitTorrent wire over a stream. */
  openWire(device: DeviceId, share: ShareId, infoHash: Uint8Array<ArrayBuffer>): Promise<MessagePort>
  /** Resolves when holders of the share may have changed, or after a time in milliseconds. @throws ContentError `aborted` */
  change(share: ShareId, timeout: number, signal: AbortSignal): Promise<void>
  /** Calls back when holders of any share may have changed. */
  onChange(listener: (share: ShareId | undefined) => void): () => void
  wake(share: ShareId): void
  readonly traffic: { readonly received: number; readonly sent: number }
  close(): Promise<void>
}

interface Rest {
  readonly until: number
  readonly delay: number
}

/** The wait after this many tries in vain. */
export const retryDelay = (tries: number): number => Math.min(LAST_RETRY, FIRST_RETRY * 2 ** tries)

export function createHolders(network: Network, members: (share: ShareId) => readonly DeviceId[]): Holders {
  const requests = createRequests(network)
  const resting = new Map<DeviceId, Rest>()
  const indirect = new Map<DeviceId, number>()
  const listeners = new Set<(share: ShareId | undefined) => void>()

  const isAvailable = (device: DeviceId): boolean => (resting.get(device)?.until ?? 0) <= Date.now()
  const rest = (device: DeviceId, delay: number): void =>
    void resting.set(device, { until: Date.now() + delay, delay })
  const fails = (device: DeviceId): void =>
    rest(device, Math.min(LAST_RETRY, 2 * (resting.get(device)?.delay ?? FIRST_RETRY / 2)))
  const changed = (share: ShareId | undefined): void => {
    for (const listener of [...listeners]) listener(share)
  }
  const stopListening = network.onConnect(({ device }) => {
    resting.delete(device)
    indirect.delete(device)
    changed(undefined)
  })

  return {
    traffic: requests.traffic,
    available: (share) => members(share).filter((device) => device !== network.device && isAvailable(device)),
    isResting: (share) => members(share).some((device) => !isAvailable(device)),
    async ask(device, question) {
      try {
        const reply = await requests.ask(device, question)
        if (reply.type === 'busy') {
          rest(device, BUSY_FOR)
          return 'later'
        }
        resting.delete(device)
        return reply.type === 'none' || reply.type === 'refused' ? 'none' : reply
      } catch {
        fails(device)
        return 'later'
      }
    },
    directHost: (device) =>
      (indirect.get(device) ?? 0) > Date.now()
        ? undefined
        : network.peers().find((peer) => peer.device === device)?.host,
    noDirectPath: (device) => void indirect.set(device, Date.now() + UNREACHABLE_FOR),
    openWire: (device, share, infoHash) => openWire(network, device, share, infoHash),
    change(share, timeout, signal) {
      return new Promise((resolve, reject) => {
        const end = () => {
          listeners.delete(listener)
          clearTimeout(timer)
          unlisten()
        }
        const listener = (which: ShareId | undefined) => {
          if (which !== undefined && which !== share) return
          end()
          resolve()
        }
        const timer = setTimeout(() => listener(share), timeout)
        listeners.add(listener)
        let unlisten = () => {}
        unlisten = onAbort(signal, () => {
          end()
          reject(aborted(signal))
        })
      })
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    wake(share) {
      for (const device of members(share)) resting.delete(device)
      changed(share)
    },
    async close() {
      stopListening()
      await requests.close()
    },
  }
}
