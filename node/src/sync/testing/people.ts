/** People with a placement each of one share, in one process: real documents, real content, real folders. */
import { existsSync } from 'node:fs'
import * as fsp from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createIdentity,
  createShare,
  type Identity,
  joinShare,
  ProtocolError,
  type ShareDocument,
} from '@cofolder/protocol'
import { Level } from 'level'
import * as Y from 'yjs'
import { openVersionStore, type VersionStore } from '../../history/version-store.ts'
import { placementLevel } from '../base-store.ts'
import { systemClock } from '../clock.ts'
import { FileSystemError } from '../file-system.ts'
import { nodeFileSystem } from '../node-file-system.ts'
import { openPlacement, type Placement, type PlacementEvent } from '../placement.ts'
import { type Bytes, ContentExchange, type ExchangeService } from './content-exchange.ts'

/** The exchange over this machine's files. */
const nodeBytes: Bytes = {
  stat: (path) => nodeFileSystem.stat(path),
  read: async (path) => new Uint8Array(await translated(fsp.readFile(path))),
  async write(path, bytes) {
    const handle = await translated(fsp.open(path, 'w'))
    try {
      await translated(handle.writeFile(bytes))
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
}

async function translated<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    const isFull = error instanceof Error && 'code' in error && error.code === 'ENOSPC'
    throw new FileSystemError(isFull ? 'full' : 'io', String(error), { cause: error })
  }
}

const RETENTION = 30 * 24 * 60 * 60_000
const TIMEOUT = 10_000

/** Waits until something holds; fails with the last reason otherwise. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeout = TIMEOUT,
): Promise<void> {
  const end = Date.now() + timeout
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`timed out waiting: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export class Person {
  readonly identity: Identity
  readonly share: ShareDocument
  readonly root: string
  readonly events: PlacementEvent[] = []
  readonly #group: Group
  readonly #home: string
  content!: ExchangeService
  history!: VersionStore
  placement!: Placement
  #db: Level | undefined
  online = true

  constructor(group: Group, identity: Identity, share: ShareDocument, home: string) {
    this.#group = group
    this.identity = identity
    this.share = share
    this.#home = home
    this.root = join(home, 'folder')
  }

  async start({ watch = false }: { readonly watch?: boolean } = {}): Promise<this> {
    await fsp.mkdir(this.#home, { recursive: true })
    const db = new Level(join(this.#home, 'db'))
    await db.open()
    this.#db = db
    const clock = systemClock
    const fs = nodeFileSystem
    this.history = await openVersionStore({
      ...{ dir: join(this.#home, 'versions'), db, fs, clock },
      retention: RETENTION,
      maxBytes: 2 ** 40,
    })
    this.content = this.#group.exchange.service({ files: nodeBytes, clock })
    this.placement = await openPlacement({
      ...{
        share: this.share,
        root: this.root,
        fs,
        clock,
        watch,
        content: this.content,
        history: this.history,
      },
      db: placementLevel(db, 'placement'),
      userName: this.identity.name,
      onEvent: (event) => this.events.push(event),
    })
    const { index } = this.placement
    this.content.index = {
      locate: async (share, sha256) => [
        ...(await index.locate(share, sha256)),
        ...(await this.history.locate(share, sha256)),
      ],
      locateSegment: index.locateSegment,
    }
    return this
  }

  async stop(): Promise<void> {
    await this.placement.close()
    await this.content.close()
    await this.#db?.close()
    this.#db = undefined
  }

  at(path: string): string {
    return join(this.root, path)
  }
  async write(path: string, text: string | Uint8Array): Promise<void> {
    await fsp.mkdir(join(this.at(path), '..'), { recursive: true })
    await fsp.writeFile(this.at(path), text)
  }
  read(path: string): Promise<string> {
    return fsp.readFile(this.at(path), 'utf8')
  }
  async has(path: string): Promise<boolean> {
    return existsSync(this.at(path))
  }
  /** Everything in the folder: path to what it holds. */
  async files(): Promise<Record<string, string>> {
    const found: Record<string, string> = {}
    const walk = async (path: string): Promise<void> => {
      for (const item of await fsp.readdir(this.at(path), { withFileTypes: true })) {
        const at = path === '' ? item.name : `${path}/${item.name}`
        if (item.isSymbolicLink()) found[at] = `-> ${await fsp.readlink(this.at(at))}`
        else if (item.isDirectory()) {
          found[`${at}/`] = ''
          await walk(at)
        } else if (item.isFile()) {
          const { mode } = await fsp.stat(this.at(at))
          found[at] = `${mode & 0o100 ? '*' : ''}${await fsp.readFile(this.at(at), 'utf8')}`
        } else found[at] = 'special'
      }
    }
    await walk('')
    return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)))
  }
}

export class Group implements AsyncDisposable {
  readonly exchange = new ContentExchange()
  readonly people: Person[] = []
  readonly #dir: string

  private constructor(dir: string) {
    this.#dir = dir
  }

  static async make(
    names: Readonly<Record<string, 'owner' | 'editor' | 'viewer'>>,
    options: { readonly watch?: boolean; readonly dir?: string } = {},
  ): Promise<Group> {
    const dir = await fsp.mkdtemp(join(options.dir ?? tmpdir(), 'cofolder-sync-'))
    const group = new Group(dir)
    const at = Date.now()
    let owner: ShareDocument | undefined
    for (const [name, role] of Object.entries(names)) {
      const identity = createIdentity({ name, deviceName: `${name}'s pc`, at })
      if (role === 'owner') owner = createShare(identity, { name: 'Papers', relays: [], at })
      const share =
        role === 'owner' || !owner
          ? owner
          : joinShare(identity, owner.invite({ role, for: identity.userId, at }), { at })
      if (share) group.people.push(new Person(group, identity, share, join(dir, name)))
    }
    group.#connect()
    group.exchangeDocuments()
    await Promise.all(group.people.map((person) => person.start(options)))
    return group
  }

  person(name: string): Person {
    const found = this.people.find(({ identity }) => identity.name === name)
    if (!found) throw new Error(`nobody is called ${name}`)
    return found
  }

  setOnline(person: Person, online: boolean): void {
    person.online = online
    person.content.online = online
    if (online) this.exchangeDocuments()
  }

  /** Everybody who is online hears from everybody who is. */
  exchangeDocuments(): void {
    for (let round = 0; round < 3; round++) {
      for (const from of this.people) for (const to of this.people) if (from !== to) deliver(from, to)
    }
  }

  /** Scans everywhere until all are done and know the same. */
  async settle(): Promise<void> {
    let isSame = false
    for (let round = 0; round < 20; round++) {
      await Promise.all(this.people.map(({ placement }) => placement.scan()))
      this.exchangeDocuments()
      const before = new Set(this.people.map(({ share }) => share.fingerprint))
      await Promise.all(this.people.map(({ placement }) => placement.scan()))
      const after = new Set(this.people.map(({ share }) => share.fingerprint))
      isSame = new Set([...before, ...after]).size === 1
      const states = this.people.map(({ placement }) => placement.state().state)
      if (isSame && !states.some((state) => state === 'syncing' || state === 'waiting')) return
      // Downloads that wait look for a holder now and then.
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    if (!isSame) throw new Error('does not settle')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.people.map((person) => person.stop()))
    for (const { share } of this.people) share.close()
    await fsp.rm(this.#dir, { recursive: true, force: true })
  }

  /** Updates reach the others as soon as they are made, while both are online. */
  #connect(): void {
    for (const from of this.people) {
      from.share.doc.on('update', (update: Uint8Array, origin: unknown) => {
        if (origin === this || !from.online || !mayWrite(from)) return
        for (const to of this.people) {
          if (to !== from && to.online) setImmediate(() => Y.applyUpdate(to.share.doc, update, this))
        }
      })
    }
  }
}

const mayWrite = ({ share }: Person): boolean => share.role === 'owner' || share.role === 'editor'

function deliver(from: Person, to: Person): void {
  if (!from.online || !to.online) return
  for (const signed of [...from.share.introduction, ...from.share.outbox]) {
    try {
      to.share.submit(signed)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
    }
  }
  const { members } = to.share.membership
  const sender = members.get(from.identity.userId)
  if (members.size > 0 && (sender?.status !== 'active' || sender.role === 'viewer')) return
  Y.applyUpdate(to.share.doc, Y.encodeStateAsUpdate(from.share.doc, Y.encodeStateVector(to.share.doc)))
}
