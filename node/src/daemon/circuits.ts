/** Keeps the network told which relays carry our shares now, so that it holds circuit reservations there. */
import type { Replica } from '../metadata/replicas.ts'
import type { Network } from '../network/network.ts'
import type { RelayClient } from '../relay-client/relay-client.ts'

export interface Circuits {
  /** Relays may have been connected or lost. A relay gives reservations to devices that showed it a token first. */
  refresh(): void
}

export function createCircuits(parts: {
  network: Network
  replicas: () => readonly Replica[]
  relayClient: (url: string) => RelayClient
  onError: (error: Error) => void
}): Circuits {
  let current = ''

  async function use(urls: readonly string[]): Promise<void> {
    const infos = await Promise.allSettled(urls.map((url) => parts.relayClient(url).info()))
    const addresses = infos.flatMap((info) => (info.status === 'fulfilled' ? info.value.libp2p : []))
    if (urls.join() === current) parts.network.useRelays(addresses)
  }

  return {
    refresh() {
      const states = parts.replicas().flatMap((replica) => replica.relays())
      const urls = [...new Set(states.filter(({ connected }) => connected).map(({ url }) => url))].sort()
      if (urls.length === 0 || urls.join() === current) return
      current = urls.join()
      use(urls).catch(parts.onError)
    },
  }
}
