/**
 * What one relay accepts. Sizes in bytes, times in milliseconds, rates per second unless the name says otherwise.
 * The defaults let a share of 100,000 files (tens of MB of metadata) and bursts of 10,000 changed files through, and
 * keep one client from taking the relay away from the others. Each can be overridden when a relay is started.
 */

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A token bucket: `burst` at once, refilled by `perSecond`. */
export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

export const DEFAULT_LIMITS = {
  /** TCP connections to the HTTP port: each WebSocket costs about 20 KB of memory. */
  connections: 20_000,
  /** Of them from one address (an IPv6 /64 counts as one): an office or a campus behind one NAT fits. */
  connectionsPerAddress: 1_000,
  /** HTTP requests and WebSocket upgrades from one address: a node that starts asks a few dozen things at once. */
  requests: { burst: 2_000, perSecond: 200 } as Rate,
  /** Silence after which a connection is asked for a sign of life; gone when none came until the next time. */
  heartbeat: 30 * SECOND,
  /** Unsent bytes that may wait for one slow client before it is cut off; it syncs again when it comes back. */
  unsentBytes: 16 * MIB,
  /** Bytes of messages that all clients together have sent in part; beyond it those that sent most are cut off. */
  unfinishedBytes: GIB,

  /** One WebSocket message on a document: a client that brings a whole share of 100,000 files sends 20 to 40 MB. */
  messageBytes: 64 * MIB,
  /** Messages on one document connection: 10,000 files saved one by one are 10,000 messages. */
  messages: { burst: 20_000, perSecond: 1_000 } as Rate,
  /** Bytes on one document connection: a whole share twice over at once, then what a home line uploads. */
  messageTraffic: { burst: 256 * MIB, perSecond: 32 * MIB } as Rate,
  /** Stored updates of one document: a million records of a few hundred bytes each. */
  documentBytes: 512 * MIB,
  /** Everything stored: below the disk of a small server. New data is refused beyond it, old data stays. */
  storedBytes: 50 * GIB,
  /** How long a reader may be ahead of the writers with an update it got from one of them directly. */
  readerGrace: 2 * SECOND,
  /** Connections to one document: every member's devices. */
  connectionsPerDocument: 1_000,
  /** Documents first seen from one address in an hour: a person shares a few folders, a script thousands. */
  documentsPerHour: 500,
  /** Presence of one device: sealed addresses and progress, which JSON makes ten times as long. */
  presenceBytes: 128 * KIB,
  /** Presence entries one connection may hold: a stock client repeats those of others, which count for them. */
  presencePerConnection: 16,

  /** Submissions waiting for a writer in one document's inbox. */
  inboxDepth: 256,
  /** A submission's life: its sender repeats it while it was not taken in. */
  inboxAge: 90 * DAY,
  /** Submissions to one document. */
  submissions: { burst: 256, perSecond: 1 } as Rate,

  /** Envelopes waiting in one user's mailbox. */
  mailboxDepth: 256,
  /** An envelope's life: long holidays. */
  mailboxAge: 90 * DAY,
  /** Envelopes from one address, since anybody may send them. */
  envelopesPerSender: { burst: 100, perSecond: 0.5 } as Rate,
  /** Envelopes to one mailbox. */
  envelopesPerMailbox: { burst: 256, perSecond: 1 } as Rate,

  /** A link's life without being renewed; invites expire long before. */
  linkAge: 400 * DAY,
  /** Links put from one address. */
  links: { burst: 200, perSecond: 0.5 } as Rate,

  /** How long the tracker serves an info hash after it was last named by a reader. */
  torrentAge: DAY,
  /** Info hashes named for one document: a share of 100,000 large files is named at once. */
  torrents: { burst: 200_000, perSecond: 50 } as Rate,
  /** Swarms in memory, about 1 KB each when small. */
  swarms: 100_000,
  /** Peers remembered of one swarm. */
  peersPerSwarm: 200,
  /** Peers announce again after this time; forgotten after twice as long. */
  announceInterval: 5 * MINUTE,
  /** Swarms one WebSocket may take part in. */
  swarmsPerSocket: 2_000,
  /** One message to the WebSocket tracker: up to ten WebRTC offers. */
  trackerMessageBytes: 256 * KIB,
  /** Messages of one tracker WebSocket. */
  trackerMessages: { burst: 2_000, perSecond: 100 } as Rate,
  /** UDP tracker packets from one address. */
  trackerPackets: { burst: 2_000, perSecond: 200 } as Rate,

  /** libp2p connections. */
  peers: 5_000,
  /** New libp2p connections from one address in a second. */
  peersPerSecond: 200,
  /** Devices that other devices can reach through this relay. */
  reservations: 4_000,
  /** How long a device that showed a valid token may reserve. */
  recentDevice: HOUR,
  /** Devices remembered for that. */
  recentDevices: 100_000,
  /** A reservation's life; the device renews it. */
  reservationAge: HOUR,
  /** Bytes through one relayed connection, both ways: about three pairs in ten have no other path. */
  circuitBytes: 256 * GIB,
  /** How long one relayed connection lasts; devices connect again. */
  circuitAge: 12 * HOUR,
  /** Relayed connections one device may open. */
  circuitsPerDevice: 128,
} as const

export type RelayLimits = {
  readonly [Name in keyof typeof DEFAULT_LIMITS]: Widened<(typeof DEFAULT_LIMITS)[Name]>
}
type Widened<T> = T extends number ? number : T

/** How often expired values are removed and sizes measured. */
export const SWEEP_INTERVAL = MINUTE
/** How often unfinished messages are added up. */
export const METER_INTERVAL = 250
/** What closing waits for clients to say goodbye before they are cut off. */
export const CLOSE_GRACE = 300
