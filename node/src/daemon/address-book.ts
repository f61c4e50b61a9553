/** Where the network remembers how it reached devices: the profile's database. */
import { fromUtf8, utf8 } from '@cofolder/protocol'
import type { AddressBook } from '../network/libp2p.ts'
import type { Database } from '../profile/profile.ts'

/** Addresses that worked, per device, in the profile's database. */
export function openAddressBook(db: Database): AddressBook {
  const book = db.sublevel<string, Uint8Array>('addresses', { keyEncoding: 'utf8', valueEncoding: 'view' })
  return {
    async get(device) {
      const value = await book.get(device)
      return value === undefined ? [] : fromUtf8(value).split('\n')
    },
    put: (device, addresses) => book.put(device, utf8(addresses.join('\n'))),
  }
}
