/** People with real databases and identities, over the network in memory or over libp2p, for this folder's tests. */
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ContactCard,
  createIdentity,
  crypto,
  type Identity,
  type InvitePayload,
  type NodeId,
  ROOT_NODE,
  type ShareId,
  signCard,
  toBase64url,
  verifyCard,
} from '@cofolder/protocol'
import { Level } from 'level'
import { createNetwork } from '../network/libp2p.ts'
import { createMemoryHub, type MemoryHub } from '../network/memory.ts'
import type { Network } from '../network/network.ts'
import { createRelayClient } from '../relay-client/relay-client.ts'
import type { Database } from './log.ts'
import type { ReceivedEnvelope } from './mail.ts'
import { openReplicas, type Replica, type ReplicaProblem, type Replicas } from './replicas.ts'

/** Longest wait for something that must happen, in milliseconds. */
const PATIENCE = 15_000

/** Waits until a condition holds, looking often. @throws when it does not within the patience of a test */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + PATIENCE
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

export interface Person {
  readonly name: string
  readonly identity: Identity
  readonly network: Network
  readonly replicas: Replicas
  readonly db: Database
  readonly problems: ReplicaProblem[]
  readonly envelopes: ReceivedEnvelope[]
  card(): ContactCard
  /** Closes everything cleanly; `start` opens it again. */
  stop(): Promise<void>
  start(): Promise<void>
  /** Ends as if killed: what is on disk at this moment is what `start` finds. */
  crash(): Promise<void>
}

export interface World extends AsyncDisposable {
  readonly hub: MemoryHub
  person(name: string, options?: PersonOptions): Promise<Person>
}

interface PersonOptions {
  readonly libp2p?: boolean
  readonly relays?: readonly string[]
}

export async function createWorld(): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'cofolder-replicas-'))
  const hub = createMemoryHub()
  const people: Person[] = []
  return {
    hub,
    async person(name, options = {}) {
      const person = createPerson(name, join(folder, name), hub, options)
      people.push(person)
      await person.start()
      return person
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(people.map((person) => person.stop()))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function createPerson(name: string, folder: string, hub: MemoryHub, options: PersonOptions): Person {
  const identity = createIdentity({ name, deviceName: `${name}'s laptop`, at: Date.now() })
  const relays = options.relays ?? []
  const book = new Map<string, readonly string[]>()
  const problems: ReplicaProblem[] = []
  const envelopes: ReceivedEnvelope[] = []
  let generation = 0
  let running: { network: Network; db: Database; replicas: Replicas } | undefined

  const now = () => {
    if (!running) throw new Error(`${name} is not running`)
    return running
  }
  const databaseFolder = () => join(folder, `db-${generation}`)

  async function stop(): Promise<void> {
    if (!running) return
    const { network, db, replicas } = running
    running = undefined
    await replicas.close()
    await network.close()
    await db.close()
  }

  return {
    name,
    identity,
    problems,
    envelopes,
    get network() {
      return now().network
    },
    get replicas() {
      return now().replicas
    },
    get db() {
      return now().db
    },
    card: () => verifyCard(signCard(identity, { relays, addresses: running?.replicas.addresses() ?? [] })),
    stop,
    async start() {
      const db = new Level(databaseFolder())
      await db.open()
      const network = options.libp2p
        ? await createNetwork({
            device: identity.device,
            listenHost: '127.0.0.1',
            port: 0,
            mdns: false,
            addressBook: {
              get: async (device) => book.get(device) ?? [],
              put: async (device, addresses) => void book.set(device, addresses),
            },
          })
        : hub.network(identity.deviceId)
      const replicas = await openReplicas({
        db,
        identity,
        network,
        clock: Date.now,
        relays: () => relays,
        relayClient: (url) => createRelayClient({ url, identity }),
        onProblem: (problem) => problems.push(problem),
      })
      replicas.onEnvelope(async (envelope) => void envelopes.push(envelope))
      running = { network, db, replicas }
    },
    async crash() {
      const { network, db, replicas } = now()
      running = undefined
      // Nobody hears from the device any more; only then is its disk looked at.
      for (const { device } of network.peers()) hub.partition(identity.deviceId, device)
      await network.close()
      const left = databaseFolder()
      generation++
      await cp(left, databaseFolder(), { recursive: true })
      await replicas.close().catch(() => undefined)
      await db.close()
      hub.heal()
    },
  }
}

/** A fresh folder in the tree, as a fact that travels. */
export function note(replica: Replica, name = toBase64url(crypto.randomBytes(9))): NodeId {
  const node = toBase64url(crypto.randomBytes(16)) as NodeId
  replica.share.write([{ type: 'place', node, kind: 'folder', parent: ROOT_NODE, name, at: Date.now() }])
  return node
}

export const knows = (replica: Replica, node: NodeId): boolean => replica.share.placedAt(node) > 0

export function replicaOf(person: Person, share: ShareId): Replica {
  const replica = person.replicas.get(share)
  if (!replica) throw new Error(`${person.name} does not have the share`)
  return replica
}

/** The payload of the next invite a person receives. */
export async function nextInvite(person: Person): Promise<InvitePayload> {
  const found = () => person.envelopes.find(({ letter }) => letter.type === 'invite')
  await until(() => found() !== undefined, `${person.name} is invited`)
  const envelope = found()
  if (envelope?.letter.type !== 'invite') throw new Error('no invite')
  person.envelopes.splice(person.envelopes.indexOf(envelope), 1)
  return envelope.letter.payload
}

/** `owner` invites `guest` by envelope, who accepts; resolves when both are members on both sides. */
export async function bring(
  guest: Person,
  owner: Person,
  replica: Replica,
  role: 'editor' | 'viewer' = 'editor',
): Promise<Replica> {
  const payload = replica.share.invite({ role, for: guest.identity.userId, at: Date.now() })
  await owner.replicas.sendInvite(guest.card(), payload)
  const joined = await guest.replicas.join(await nextInvite(guest))
  await until(() => joined.share.role === role, `${guest.name} is a member`)
  await until(() => isMemberAt(replica, guest), `${owner.name} knows ${guest.name}`)
  return joined
}

export const isMemberAt = (replica: Replica, person: Person): boolean =>
  replica.share.membership.members.get(person.identity.userId)?.status === 'active'

export const agree = (...replicas: readonly Replica[]): boolean =>
  new Set(replicas.map(({ share }) => share.fingerprint)).size === 1
