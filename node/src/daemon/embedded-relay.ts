/** The relay in the daemon's own process, for who has configured none. */
import { type Relay, startRelay } from '@cofolder/relay'
import type { Profile } from '../profile/profile.ts'
import { reachableHost } from './addresses.ts'

/** The embedded relay on the ports of last time, or on others where those are taken. */
export async function startEmbeddedRelay(
  profile: Profile,
  options: { readonly listenHost: string; readonly log: (line: string) => void },
): Promise<Relay> {
  const { ports } = profile.settings
  const common = {
    host: options.listenHost,
    dataDir: profile.path('relay'),
    log: (line: string) => options.log(`relay: ${line}`),
  }
  const publicUrl = (port: number): string => `http://${reachableHost(options.listenHost)}:${port}`
  const start = (port: number, libp2pPort: number, udpPort: number): Promise<Relay> =>
    startRelay({
      ...common,
      port,
      libp2pPort,
      udpPort,
      ...(port === 0 ? {} : { publicUrl: publicUrl(port) }),
    })
  const wanted = [ports.relay ?? 0, ports.relayPeer ?? 0, ports.tracker ?? 0] as const
  let relay = await start(...wanted).catch((error: unknown) => {
    if (wanted[0] === 0) throw error
    return start(0, 0, 0)
  })
  const port = Number(new URL(relay.tracker.http).port || new URL(relay.url).port)
  if (wanted[0] === 0 && new URL(relay.url).hostname !== reachableHost(options.listenHost)) {
    // Only now is the port known that its public address names.
    await relay.close()
    relay = await start(port, 0, 0)
  }
  const relayPeer = Number(/\/tcp\/(\d+)/.exec(relay.libp2p[0] ?? '')?.[1] ?? 0)
  const tracker = Number(new URL(relay.tracker.udp).port || 0)
  await profile.saveSettings({
    ...profile.settings,
    ports: { ...profile.settings.ports, relay: port, relayPeer, tracker },
  })
  return relay
}
