/**
 * The relay: metadata store and fan-out of documents it cannot read, mailboxes, links, tracker, circuit relay.
 * `startRelay` runs one in this process; `runRelay` is the command that runs one alone.
 */

export { DEFAULT_LIMITS, type Rate, type RelayLimits } from './limits.ts'
export { RELAY_USAGE, runRelay } from './main.ts'
export { type Relay, type RelayOptions, startRelay } from './relay.ts'
export type { RelayStorage } from './storage/storage.ts'
