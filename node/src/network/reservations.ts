/** Keeps a circuit reservation on each relay in use, so that devices without a direct path reach us over it. */
import type { Libp2p, PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'

/** A relay that refuses or does not answer is asked again after this long, in milliseconds. */
const RETRY_MS = 5_000

export interface Reservations {
  /** The relays from now on; reservations on others lapse. */
  use(relays: readonly Multiaddr[]): void
  /** Addresses of a peer over the relays in use. */
  circuitsTo(peer: PeerId): Multiaddr[]
  close(): void
}

/** Adds listening addresses to a running node. */
export interface Listeners {
  listen(address: Multiaddr): Promise<void>
}

/** A libp2p service that offers what its public interface lacks: listening on one more address. */
export function listeners(components: {
  transportManager: { listen(addresses: Multiaddr[]): Promise<void> }
}): Listeners {
  return { listen: (address) => components.transportManager.listen([address]) }
}

export function keepReservations(node: Libp2p, on: Listeners, onError: (error: Error) => void): Reservations {
  let relays: readonly Multiaddr[] = []
  let timer: ReturnType<typeof setTimeout> | undefined
  let closed = false

  /** Listening on `RELAY/p2p-circuit` is how libp2p makes and renews a reservation. */
  async function reserve(): Promise<void> {
    timer = undefined
    // Several addresses may lead to one relay; the first is enough, and one circuit a relay.
    const byPeer = new Map(
      relays.map((relay) => [relay.getComponents().find(({ name }) => name === 'p2p')?.value, relay]),
    )
    const held = new Set(node.getMultiaddrs().map((address) => address.toString()))
    for (const [peer, relay] of byPeer) {
      if (peer === undefined) continue
      const circuit = `${relay}/p2p-circuit`
      if ([...held].some((address) => address.includes(`/p2p/${peer}/p2p-circuit`))) continue
      try {
        await on.listen(multiaddr(circuit))
      } catch (error) {
        onError(error instanceof Error ? error : new Error(String(error)))
      }
    }
    if (!closed && relays.length > 0) plan(RETRY_MS)
  }

  function plan(delay: number): void {
    if (timer !== undefined) clearTimeout(timer)
    timer = setTimeout(() => void reserve(), delay)
    timer.unref()
  }

  return {
    use(next) {
      relays = next
      if (!closed) plan(0)
    },
    circuitsTo: (peer) =>
      relays
        .filter((relay) => relay.getComponents().some(({ name }) => name === 'p2p'))
        .map((relay) => multiaddr(`${relay}/p2p-circuit/p2p/${peer}`)),
    close() {
      closed = true
      if (timer !== undefined) clearTimeout(timer)
    },
  }
}
