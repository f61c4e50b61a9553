/** The addresses under which clients find a relay. Pure. */
import { isIPv6 } from 'node:net'
import { TRACKER_SOCKET_PATH } from './http/upgrades.ts'

export interface RelayUrls {
  /** Without a slash at the end. */
  readonly url: string
  readonly tracker: { readonly http: string; readonly udp: string; readonly ws: string }
}

/** What to connect to when everything is listened on. */
const REACHABLE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

export function relayUrls(options: {
  readonly host: string
  readonly port: number
  readonly udpPort: number
  readonly publicUrl: URL | undefined
}): RelayUrls {
  const host = REACHABLE[options.host] ?? options.host
  const name = options.publicUrl?.hostname ?? (isIPv6(host) ? `[${host}]` : host)
  const url = (options.publicUrl?.href ?? `http://${name}:${options.port}`).replace(/\/+$/, '')
  return {
    url,
    tracker: {
      http: `${url}/announce`,
      udp: `udp://${name}:${options.udpPort}`,
      ws: `${url.replace(/^http/, 'ws')}${TRACKER_SOCKET_PATH}`,
    },
  }
}
