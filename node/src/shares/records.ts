/** What this profile remembers of shares and people beside the share documents themselves. */
import {
  bytesUpTo,
  DeviceIdSchema,
  decodeAs,
  encodeCbor,
  InviteIdSchema,
  MAX_ENVELOPE_BYTES,
  ShareIdSchema,
  UserIdSchema,
} from '@cofolder/protocol'
import * as v from 'valibot'
import type { Database } from '../profile/profile.ts'

const MAX_RECORD_BYTES = 4 * MAX_ENVELOPE_BYTES

/** Where this device keeps a share. */
const KeptShareSchema = v.object({
  share: ShareIdSchema,
  /** Absolute path of the folder. */
  root: v.string(),
  mode: v.picklist(['copy', 'move', 'one-way', 'two-way']),
  /** Set when the owner stopped sharing or the member left: kept only until the others know. */
  ended: v.optional(v.boolean()),
})
export type KeptShare = v.InferOutput<typeof KeptShareSchema>

/** A link this user made: its seed gives the link again. */
const KeptLinkSchema = v.object({
  invite: InviteIdSchema,
  share: ShareIdSchema,
  role: v.picklist(['editor', 'viewer']),
  relay: v.string(),
  seed: bytesUpTo(32),
  expires: v.optional(v.number()),
})
export type KeptLink = v.InferOutput<typeof KeptLinkSchema>

/** An invite that waits for this user's decision. `card` are the sender's signed bytes as text. */
const KeptInviteSchema = v.object({
  id: InviteIdSchema,
  at: v.number(),
  from: v.object({
    id: UserIdSchema,
    name: v.string(),
    agreementKey: bytesUpTo(32),
    relays: v.array(v.string()),
    devices: v.array(v.object({ id: DeviceIdSchema, addresses: v.array(v.string()) })),
  }),
  payload: bytesUpTo(MAX_ENVELOPE_BYTES),
})
export type KeptInvite = v.InferOutput<typeof KeptInviteSchema>

const ContactSchema = v.object({ user: UserIdSchema, name: v.string(), card: v.string() })
export type Contact = v.InferOutput<typeof ContactSchema>

/** A table of the profile's database whose values follow a schema. */
export interface Table<T> {
  get(key: string): Promise<T | undefined>
  put(key: string, value: T): Promise<void>
  remove(key: string): Promise<void>
  /** Entries that do not follow the schema are left out. */
  all(): Promise<T[]>
}

function openTable<Schema extends v.GenericSchema>(
  db: Database,
  name: string,
  schema: Schema,
): Table<v.InferOutput<Schema>> {
  const level = db.sublevel<string, Uint8Array>(name, { keyEncoding: 'utf8', valueEncoding: 'view' })
  const read = (value: Uint8Array): v.InferOutput<Schema>[] => {
    try {
      return [decodeAs(schema, value, MAX_RECORD_BYTES)]
    } catch {
      return []
    }
  }
  return {
    async get(key) {
      const value = await level.get(key)
      return value === undefined ? undefined : read(value)[0]
    },
    // Written through: what a person was told is done must survive a crash.
    put: (key, value) =>
      db.batch([{ type: 'put', sublevel: level, key, value: encodeCbor(value) }], { sync: true }),
    remove: (key) => db.batch([{ type: 'del', sublevel: level, key }], { sync: true }),
    async all() {
      return (await level.values().all()).flatMap(read)
    },
  }
}

export interface Records {
  readonly kept: Table<KeptShare>
  readonly links: Table<KeptLink>
  readonly invites: Table<KeptInvite>
  readonly contacts: Table<Contact>
}

export const openRecords = (db: Database): Records => ({
  kept: openTable(db, 'kept-shares', KeptShareSchema),
  links: openTable(db, 'links', KeptLinkSchema),
  invites: openTable(db, 'invites', KeptInviteSchema),
  contacts: openTable(db, 'contacts', ContactSchema),
})
