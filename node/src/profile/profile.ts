/** A profile: one person on this machine. Its folder holds the keys, the settings, the database and old versions. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { homedir, hostname, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { createIdentity, decodeIdentity, encodeIdentity, type Identity } from '@cofolder/protocol'
import { Level } from 'level'
import * as v from 'valibot'
import { readIfThere, replaceFile } from './files.ts'

/** Parts keep to sublevels of their own, each with its own encoding of values. */
export type Database = Level

/** A profile that cannot be used; the message says why and what to do. */
class ProfileError extends Error {
  readonly code: 'in-use' | 'damaged' | 'unusable'
  constructor(code: ProfileError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ProfileError'
    this.code = code
  }
}

const Port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))
const DEFAULT_HISTORY = { days: 30, maxBytes: 20e9 }
const SettingsSchema = v.object({
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(100)),
  /** Base URLs of relays; the embedded one is used while this is empty. */
  relays: v.array(v.pipe(v.string(), v.url())),
  /** Ports once picked, kept so that addresses others know stay right. */
  /** How long replaced and deleted versions are kept, in days, and how much of them, in bytes. */
  history: v.optional(
    v.object({
      days: v.optional(v.pipe(v.number(), v.minValue(1)), DEFAULT_HISTORY.days),
      maxBytes: v.optional(v.pipe(v.number(), v.minValue(0)), DEFAULT_HISTORY.maxBytes),
    }),
    DEFAULT_HISTORY,
  ),
  ports: v.optional(
    v.object({
      api: v.optional(Port),
      peer: v.optional(Port),
      relay: v.optional(Port),
      relayPeer: v.optional(Port),
      tracker: v.optional(Port),
    }),
    {},
  ),
})
type Settings = v.InferOutput<typeof SettingsSchema>

const RunningSchema = v.object({ pid: v.number(), api: v.pipe(v.string(), v.url()) })
export type Running = v.InferOutput<typeof RunningSchema>

export interface Profile extends AsyncDisposable {
  readonly home: string
  readonly identity: Identity
  readonly settings: Settings
  readonly db: Database
  /** Bearer token of the HTTP API. */
  readonly token: string
  path(...parts: string[]): string
  saveSettings(settings: Settings): Promise<void>
  /** Tells the command line where the daemon answers. */
  announce(running: Running): Promise<void>
  close(): Promise<void>
}

/** `--home`, else `COFOLDER_HOME`, else `~/.cofolder`. */
export const homeFolder = (option?: string): string =>
  resolve(option ?? process.env.COFOLDER_HOME ?? join(homedir(), '.cofolder'))

const paths = (home: string) => ({
  identity: join(home, 'identity'),
  settings: join(home, 'config.json'),
  token: join(home, 'api-token'),
  running: join(home, 'daemon.json'),
  database: join(home, 'db'),
})

const damaged = (path: string, cause: unknown): ProfileError =>
  new ProfileError(
    'damaged',
    `${path} is damaged: restore it from a backup, or move it away to start afresh`,
    { cause },
  )

async function loadIdentity(path: string, name: string): Promise<Identity> {
  const stored = await readIfThere(path)
  if (stored) {
    try {
      return decodeIdentity(stored)
    } catch (error) {
      throw damaged(path, error)
    }
  }
  const identity = createIdentity({
    name,
    deviceName: hostname().slice(0, 100) || 'this device',
    at: Date.now(),
  })
  await replaceFile(path, encodeIdentity(identity))
  return identity
}

async function loadSettings(path: string, defaults: Settings): Promise<Settings> {
  const stored = await readIfThere(path)
  if (!stored) return defaults
  try {
    return v.parse(SettingsSchema, JSON.parse(new TextDecoder().decode(stored)))
  } catch (error) {
    throw damaged(path, error)
  }
}

async function loadToken(path: string): Promise<string> {
  const TOKEN_BYTES = 32
  const stored = await readIfThere(path)
  const text = stored ? new TextDecoder().decode(stored).trim() : ''
  if (/^[\w-]{43}$/.test(text)) return text
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  await replaceFile(path, `${token}\n`)
  return token
}

/** LevelDB locks its folder for as long as the process lives: that lock is the profile's. */
async function openDatabase(path: string): Promise<Database> {
  const db: Database = new Level(path)
  try {
    await db.open()
    return db
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined
    if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') {
      throw new ProfileError(
        'in-use',
        'Cofolder is already running with this profile: use it, or "cofolder down" first',
      )
    }
    throw new ProfileError(
      'damaged',
      `the database ${path} cannot be opened: restore it from a backup, or move it away and accept the shares again`,
      { cause: error },
    )
  }
}

/** Opens the profile for the one daemon that may use it; makes it on first use. @throws ProfileError */
export async function openProfile(
  home: string,
  options: { name?: string; relays?: readonly string[] },
): Promise<Profile> {
  const at = paths(home)
  try {
    await mkdir(home, { recursive: true, mode: 0o700 })
    await chmod(home, 0o700)
  } catch (error) {
    throw new ProfileError('unusable', `${home} cannot be used as a profile: choose another with --home`, {
      cause: error,
    })
  }
  const db = await openDatabase(at.database)
  try {
    const name = options.name ?? userInfo().username
    let settings = await loadSettings(at.settings, { name, relays: [], history: DEFAULT_HISTORY, ports: {} })
    if (options.name !== undefined) settings = { ...settings, name: options.name }
    if (options.relays !== undefined && options.relays.length > 0)
      settings = { ...settings, relays: [...options.relays] }
    const identity = { ...(await loadIdentity(at.identity, settings.name)), name: settings.name }
    const save = (next: Settings): Promise<void> =>
      replaceFile(at.settings, `${JSON.stringify(next, null, 2)}\n`)
    await save(settings)
    const token = await loadToken(at.token)
    const close = async (): Promise<void> => {
      await rm(at.running, { force: true })
      await db.close()
    }
    return {
      home,
      identity,
      db,
      token,
      get settings() {
        return settings
      },
      path: (...parts) => join(home, ...parts),
      async saveSettings(next) {
        await save(next)
        settings = next
      },
      announce: (running) => replaceFile(at.running, JSON.stringify(running)),
      close,
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await db.close()
    throw error
  }
}

/** Where the daemon of a profile says it answers, and the token; undefined when none has announced itself. */
export async function findDaemon(home: string): Promise<{ running: Running; token: string } | undefined> {
  const at = paths(home)
  const [running, token] = await Promise.all([readIfThere(at.running), readIfThere(at.token)])
  if (!running || !token) return undefined
  try {
    const decoder = new TextDecoder()
    return {
      running: v.parse(RunningSchema, JSON.parse(decoder.decode(running))),
      token: decoder.decode(token).trim(),
    }
  } catch {
    return undefined // Half a file of a daemon that was killed while it wrote: it does not run.
  }
}
