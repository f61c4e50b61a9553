/** Where the relay's libp2p side listens, and what it tells others about it. Pure. */
import { isIP, isIPv4, isIPv6 } from 'node:net'

const hostPart = (host: string): string => {
  if (isIPv4(host)) return `/ip4/${host}`
  return isIPv6(host) ? `/ip6/${host}` : `/dns/${host}`
}

/** A name to listen on can only be this machine's own. */
export function listenAddress(host: string, port: number): string {
  return `${hostPart(isIP(host) === 0 ? '127.0.0.1' : host)}/tcp/${port}`
}

/** The TCP port in a multiaddr. @throws Error when there is none. */
export function portOf(address: string): number {
  const port = /\/tcp\/(\d+)/.exec(address)?.[1]
  if (port === undefined) throw new Error(`no TCP port in ${address}`)
  return Number(port)
}

/** From the addresses listened on (TCP, and the WebSocket within this machine) to those that others can use. */
export function announcedAddresses(
  listening: readonly string[],
  { httpPort, publicUrl }: { readonly httpPort: number; readonly publicUrl: URL | undefined },
): string[] {
  const tcp = listening.filter((address) => !address.endsWith('/ws'))
  const addresses = tcp.flatMap((address) => [address, address.replace(/\/tcp\/\d+/, `/tcp/${httpPort}/ws`)])
  const first = tcp[0]
  if (!publicUrl || first === undefined) return addresses
  const host = hostPart(publicUrl.hostname.replace(/^\[|\]$/g, ''))
  const secure = publicUrl.protocol === 'https:'
  const webPort = publicUrl.port === '' ? (secure ? 443 : 80) : Number(publicUrl.port)
  const open = [`${host}/tcp/${webPort}${secure ? '/tls' : ''}/ws`, `${host}/tcp/${portOf(first)}`]
  return [...new Set([...open, ...addresses])]
}
