/** Who is asking, as far as limits are concerned. */
import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'

const MAPPED = /^::ffff:(?=\d+\.)/

/** The client's IP address; behind a trusted proxy the one that the proxy saw. */
export function addressOf(request: IncomingMessage, trustProxy: boolean): string {
  const direct = (request.socket.remoteAddress ?? 'unknown').replace(MAPPED, '')
  if (!trustProxy) return direct
  // The last entry is the proxy's own; what stands before it can be invented by anybody.
  const forwarded = request.headers['x-forwarded-for']
  const last = (Array.isArray(forwarded) ? forwarded.join(',') : forwarded)?.split(',').at(-1)?.trim()
  return last || direct
}

/** Groups that limits count as one: an address, or the /64 that one IPv6 household has. */
export function limitKey(raw: string): string {
  const address = raw.replace(MAPPED, '')
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('::')
  const left = head.split(':').filter((part) => part !== '')
  const right = tail === undefined ? [] : tail.split(':').filter((part) => part !== '')
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}
