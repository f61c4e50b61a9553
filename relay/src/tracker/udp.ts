/**
 * UDP packets before the tracker library sees them (BEP 15). The library takes any connection id and any announced
 * address; here a sender must first show that it receives at its address, and speaks for itself alone.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const MAGIC = Buffer.from('0000041727101980', 'hex')
const CONNECT = 0
const HEADER_LENGTH = 16
const ID_LENGTH = 8
/** Where an announce may name another IP address than the sender's. */
const ADDRESS_OFFSET = 84
const ANNOUNCE_LENGTH = 98
/** How long a connection id is good for, in milliseconds; in fact up to twice as long. */
const ID_LIFE = 60_000

export type Checked =
  | { readonly type: 'reply'; readonly packet: Buffer }
  | { readonly type: 'request'; readonly packet: Buffer }
  | { readonly type: 'drop' }

const DROP = { type: 'drop' } as const

export function createPacketCheck(clock: () => number): (packet: Buffer, address: string) => Checked {
  const secret = randomBytes(32)
  const idOf = (address: string, window: number): Buffer =>
    createHmac('sha256', secret).update(`${window} ${address}`).digest().subarray(0, ID_LENGTH)

  return (packet, address) => {
    if (packet.length < HEADER_LENGTH) return DROP
    const window = Math.floor(clock() / ID_LIFE)
    const id = packet.subarray(0, ID_LENGTH)
    const action = packet.readUInt32BE(ID_LENGTH)
    if (action === CONNECT) {
      if (!id.equals(MAGIC)) return DROP
      const header = packet.subarray(ID_LENGTH, HEADER_LENGTH)
      return { type: 'reply', packet: Buffer.concat([header, idOf(address, window)]) }
    }
    const known = [window, window - 1].some((at) => timingSafeEqual(id, idOf(address, at)))
    if (!known) return DROP
    const request = Buffer.from(packet)
    MAGIC.copy(request)
    if (request.length >= ANNOUNCE_LENGTH) request.writeUInt32BE(0, ADDRESS_OFFSET)
    return { type: 'request', packet: request }
  }
}
