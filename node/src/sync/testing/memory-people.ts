/** People whose folders are in memory, where everything can be made to fail: for crashes and for bad disks. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createIdentity, createShare, type Identity, joinShare, type ShareDocument } from '@cofolder/protocol'
import { Level } from 'level'
import * as Y from 'yjs'
import { openVersionStore, type VersionStore } from '../../history/version-store.ts'
import { placementLevel } from '../base-store.ts'
import { systemClock } from '../clock.ts'
import { openPlacement, type Placement, type PlacementEvent } from '../placement.ts'
import { ContentExchange, type ExchangeService } from './content-exchange.ts'
import { MemoryFileSystem, type MemoryFileSystemOptions } from './memory-file-system.ts'

const ROOT = '/home/share'
const VERSIONS = '/profile/versions'
const RETENTION = 1e12

export class MemoryPerson {
  readonly fs: MemoryFileSystem
  readonly share: ShareDocument
  readonly identity: Identity
  readonly db: Level
  readonly events: PlacementEvent[] = []
  content!: ExchangeService
  history!: VersionStore
  placement!: Placement
  readonly #exchange: ContentExchange

  constructor(
    exchange: ContentExchange,
    parts: { identity: Identity; share: ShareDocument; db: Level; options?: MemoryFileSystemOptions },
  ) {
    this.#exchange = exchange
    this.identity = parts.identity
    this.share = parts.share
    this.db = parts.db
    this.fs = new MemoryFileSystem(parts.options)
    this.fs.makeFolders(ROOT)
  }

  async start(): Promise<void> {
    const { fs, db, share } = this
    const clock = systemClock
    this.history = await openVersionStore({
      ...{ dir: VERSIONS, db, fs, clock, retention: RETENTION, maxBytes: RETENTION },
    })
    const files = {
      stat: (path: string) => fs.stat(path),
      read: async (path: string) => fs.readFile(path),
      write: async (path: string, bytes: Uint8Array) => {
        fs.writeFile(path, bytes)
        await fs.sync(path)
      },
    }
    this.content = this.#exchange.service({ files, clock })
    this.placement = await openPlacement({
      ...{ share, root: ROOT, fs, clock, watch: false, content: this.content, history: this.history },
      db: placementLevel(db, 'placement'),
      userName: this.identity.name,
      onEvent: (event) => this.events.push(event),
    })
    const { index } = this.placement
    this.content.index = {
      locate: async (id, hash) => [
        ...(await index.locate(id, hash)),
        ...(await this.history.locate(id, hash)),
      ],
      locateSegment: index.locateSegment,
    }
  }

  async stop(): Promise<void> {
    await this.placement.close()
    await this.content.close()
  }

  at(path: string): string {
    return `${ROOT}/${path}`
  }
  write(path: string, text: string): void {
    this.fs.makeFolders(this.at(path).split('/').slice(0, -1).join('/'))
    this.fs.writeFile(this.at(path), text)
  }
  /** Path to text, target or nothing. */
  files(folder = ROOT): Promise<Record<string, string>> {
    return filesIn(this.fs, folder)
  }
  /** The texts of the version store. */
  async versions(): Promise<string[]> {
    return Object.values(await filesIn(this.fs, VERSIONS))
  }
}

async function filesIn(fs: MemoryFileSystem, folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  const walk = async (path: string): Promise<void> => {
    for (const { name } of await fs.list(`${folder}${path}`)) {
      const at = `${path}/${name}`
      const { kind } = await fs.stat(folder + at)
      if (kind === 'file') found[at.slice(1)] = Buffer.from(fs.readFile(folder + at)).toString()
      else if (kind === 'symlink') found[at.slice(1)] = `-> ${await fs.readLink(folder + at)}`
      else if (kind === 'folder') {
        found[`${at.slice(1)}/`] = ''
        await walk(at)
      }
    }
  }
  await walk('')
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Alice, who owns the share, and Bob, an editor unless said otherwise. Documents travel when told to. */
export class MemoryPair implements AsyncDisposable {
  readonly alice: MemoryPerson
  readonly bob: MemoryPerson
  readonly #dir: string

  private constructor(alice: MemoryPerson, bob: MemoryPerson, dir: string) {
    this.alice = alice
    this.bob = bob
    this.#dir = dir
  }

  static async make(options: MemoryFileSystemOptions = {}): Promise<MemoryPair> {
    const dir = await mkdtemp(join(tmpdir(), 'cofolder-memory-'))
    const at = Date.now()
    const exchange = new ContentExchange()
    const [a, b] = ['alice', 'bob'].map((name) => createIdentity({ name, deviceName: name, at }))
    if (!a || !b) throw new Error('nobody')
    const owned = createShare(a, { name: 'Papers', relays: [], at })
    const joined = joinShare(b, owned.invite({ role: 'editor', for: b.userId, at }), { at })
    const [one, two] = [new Level(join(dir, 'a')), new Level(join(dir, 'b'))]
    await Promise.all([one.open(), two.open()])
    const alice = new MemoryPerson(exchange, { identity: a, share: owned, db: one, options })
    const bob = new MemoryPerson(exchange, { identity: b, share: joined, db: two, options })
    const pair = new MemoryPair(alice, bob, dir)
    pair.meet()
    for (const signed of joined.introduction) owned.submit(signed)
    pair.meet()
    await alice.start()
    await bob.start()
    return pair
  }

  meet(): void {
    const [a, b] = [this.alice.share.doc, this.bob.share.doc]
    for (let i = 0; i < 3; i++) {
      Y.applyUpdate(b, Y.encodeStateAsUpdate(a, Y.encodeStateVector(b)))
      Y.applyUpdate(a, Y.encodeStateAsUpdate(b, Y.encodeStateVector(a)))
    }
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 100; i++) {
      this.meet()
      const before = this.alice.share.fingerprint
      await Promise.all([this.alice.placement.scan(), this.bob.placement.scan()])
      this.meet()
      const isDone = [this.alice, this.bob].every(({ placement }) => placement.state().state === 'in-sync')
      if (this.alice.share.fingerprint === before && isDone) return
      // Downloads that wait look for a holder now and then.
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const states = [this.alice, this.bob].map(({ placement }) => [placement.state(), placement.problems()])
    throw new Error(`does not settle: ${JSON.stringify(states)}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { fs, placement, content, share, db } of [this.alice, this.bob]) {
      fs.intercept = undefined
      await placement.close()
      await content.close()
      share.close()
      await db.close()
    }
    await rm(this.#dir, { recursive: true })
  }
}
