/** The address of this machine that others on its network can use. */
import { networkInterfaces } from 'node:os'

/** For a wildcard host the first IPv4 address that is not loopback; the host itself otherwise. */
export function reachableHost(listenHost: string): string {
  if (listenHost !== '0.0.0.0' && listenHost !== '::') return listenHost
  const found = Object.values(networkInterfaces())
    .flat()
    .find((address) => address !== undefined && address.family === 'IPv4' && !address.internal)
  return found?.address ?? '127.0.0.1'
}
