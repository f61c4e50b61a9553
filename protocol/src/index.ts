/**
 * What every side of Cofolder must agree on, free of I/O: identities, the share document and its records,
 * membership, invites and links, rights at the relay, the wire messages. Runs in Node and in browsers.
 */
export * from './bytes.ts'
export * from './errors.ts'
export * from './ids.ts'
export * from './limits.ts'
export * from './records/record.ts'
export * from './tree/tree.ts'
export type * from './identity/device.ts'
export type * from './invites/payload.ts'
export type * from './membership/state.ts'
export type * from './share/keys.ts'
export type * from './share/share.ts'
