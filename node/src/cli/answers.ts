/** The daemon's answers as the command line reads them. */
import * as v from 'valibot'

const Member = v.object({
  id: v.string(),
  name: v.string(),
  role: v.string(),
  status: v.string(),
  online: v.boolean(),
  me: v.boolean(),
})
export const MembersSchema = v.array(Member)
export const StatusSchema = v.looseObject({
  running: v.boolean(),
  user: v.object({ id: v.string(), name: v.string() }),
  api: v.string(),
  relay: v.nullable(v.object({ url: v.string(), connected: v.boolean() })),
  shares: v.array(
    v.looseObject({
      id: v.string(),
      name: v.string(),
      state: v.string(),
      filesTotal: v.number(),
      bytesTotal: v.number(),
      pending: v.number(),
      error: v.optional(v.string()),
    }),
  ),
})
export const SharesSchema = v.array(
  v.looseObject({
    id: v.string(),
    name: v.string(),
    role: v.nullable(v.string()),
    path: v.string(),
    members: MembersSchema,
  }),
)
export const SharedSchema = v.looseObject({
  share: v.string(),
  link: v.nullable(v.string()),
  problem: v.optional(v.string()),
})
export const LinkSchema = v.object({ link: v.string() })
export const CardSchema = v.object({ card: v.string() })
export const ContactsSchema = v.array(v.looseObject({ user: v.string(), name: v.string(), code: v.string() }))
export const InvitesSchema = v.array(
  v.looseObject({
    id: v.string(),
    name: v.string(),
    from: v.object({ id: v.string(), name: v.string() }),
    role: v.string(),
    at: v.number(),
  }),
)
export const AcceptedSchema = v.looseObject({ share: v.string(), path: v.string() })
export const EventSchema = v.looseObject({
  at: v.number(),
  type: v.string(),
  share: v.optional(v.string()),
  by: v.optional(v.object({ name: v.string() })),
  path: v.optional(v.string()),
  detail: v.optional(
    v.looseObject({
      count: v.optional(v.number()),
      message: v.optional(v.string()),
      name: v.optional(v.string()),
    }),
  ),
})
export type EventAnswer = v.InferOutput<typeof EventSchema>
export const HistorySchema = v.array(
  v.looseObject({
    version: v.string(),
    at: v.number(),
    by: v.object({ name: v.string() }),
    kind: v.string(),
    current: v.boolean(),
    size: v.optional(v.number()),
  }),
)
export const ConflictsSchema = v.array(
  v.looseObject({ share: v.string(), path: v.string(), open: v.boolean() }),
)
export const AnySchema = v.unknown()
