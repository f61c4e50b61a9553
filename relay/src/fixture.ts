/** What the relay's tests have in common: a relay in a temporary folder, a share's keys, tokens. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  createAccessStatement,
  createDeviceKeys,
  createIdentity,
  createMailboxToken,
  createToken,
  crypto,
  type DeviceId,
  deviceIdOf,
  type EpochKeys,
  type Identity,
  type Right,
  relayPaths,
  rightsOf,
  type ShareId,
  shareIdOf,
  subprotocols,
} from '@cofolder/protocol'
import { type Relay, type RelayOptions, startRelay } from './relay.ts'

const MINUTE = 60_000

export interface Scratch extends AsyncDisposable {
  readonly path: string
}

export async function scratch(): Promise<Scratch> {
  const path = await mkdtemp(join(tmpdir(), 'cofolder-relay-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** A relay whose folder goes with it. */
export async function temporaryRelay(options: Partial<RelayOptions> = {}): Promise<Relay> {
  const place = await scratch()
  const relay = await startRelay({ dataDir: place.path, ...options })
  const close = async (): Promise<void> => {
    await relay.close()
    await place[Symbol.asyncDispose]()
  }
  return Object.assign(Object.create(relay), { close, [Symbol.asyncDispose]: close })
}

export interface TestShare {
  readonly id: ShareId
  readonly device: DeviceId
  readonly adminSeed: Uint8Array
  readonly epochs: EpochKeys[]
  statement(epoch: number): Uint8Array
  token(
    relay: Pick<Relay, 'id'>,
    right?: Right,
    options?: { epoch?: number; expires?: number; device?: DeviceId },
  ): string
}

export function createTestShare(): TestShare {
  const adminSeed = crypto.randomBytes(32)
  const id = shareIdOf(crypto.ed25519PublicKey(adminSeed))
  const device = deviceIdOf(createDeviceKeys())
  const epochs = Array.from({ length: 3 }, () => ({
    key: crypto.randomBytes(32),
    writeSeed: crypto.randomBytes(32),
  }))
  const keys = (epoch: number): EpochKeys => epochs[epoch] ?? { key: new Uint8Array(32) }
  return {
    id,
    device,
    adminSeed,
    epochs,
    statement: (epoch) => createAccessStatement(adminSeed, epoch, keys(epoch)),
    token(relay, right = 'write', options = {}) {
      const { readSeed, writeSeed } = rightsOf(keys(options.epoch ?? 0))
      const claims = {
        document: id,
        right,
        audience: relay.id,
        device: options.device ?? device,
        expires: options.expires ?? Date.now() + 5 * MINUTE,
      }
      return createToken(claims, right === 'write' ? (writeSeed ?? readSeed) : readSeed)
    },
  }
}

export const person = (name: string): Identity =>
  createIdentity({ name, deviceName: `${name}'s laptop`, at: Date.now() })

export const mailboxToken = (relay: Pick<Relay, 'id'>, identity: Identity): string =>
  createMailboxToken(
    {
      mailbox: identity.userId,
      audience: relay.id,
      device: identity.deviceId,
      expires: Date.now() + 5 * MINUTE,
    },
    identity.user.seed,
  )

/** A request to the relay. */
export function ask(
  relay: Pick<Relay, 'url'>,
  method: string,
  path: string,
  options: { body?: Uint8Array | string; token?: string; headers?: Record<string, string> } = {},
): Promise<Response> {
  const headers = {
    ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    ...options.headers,
  }
  const body = typeof options.body === 'object' ? new Uint8Array(options.body) : options.body
  return fetch(relay.url + path, { method, headers, ...(body === undefined ? {} : { body }) })
}

/** Makes a share known to the relay. */
export async function publish(relay: Relay, share: TestShare, epoch = 0): Promise<void> {
  const response = await ask(relay, 'PUT', relayPaths.access(share.id), { body: share.statement(epoch) })
  if (!response.ok) throw new Error(`the statement was refused: ${response.status} ${await response.text()}`)
}

/** The code of a refusal. */
export async function codeOf(response: Response): Promise<string> {
  const body: unknown = await response.json()
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'none'
}

export const webSocketUrl = (relay: Pick<Relay, 'url'>): string => relay.url.replace(/^http/, 'ws')
export const documentsUrl = (relay: Pick<Relay, 'url'>): string => webSocketUrl(relay) + relayPaths.documents
export const protocolsFor = (token: string): string[] => subprotocols(token)

export async function until(
  what: string,
  test: () => boolean | Promise<boolean>,
  milliseconds = 10_000,
): Promise<void> {
  const end = Date.now() + milliseconds
  while (!(await test())) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
    await delay(5)
  }
}
