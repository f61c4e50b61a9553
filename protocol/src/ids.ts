/**
 * Branded identifiers. All ids are unpadded base64url text; the brand only exists for the compiler.
 */
import * as v from 'valibot'

type Brand<Name extends string> = string & { readonly __brand: Name }

/** A person: the Ed25519 identity public key (32 bytes, 43 characters). */
export type UserId = Brand<'UserId'>
/** A running client: the Ed25519 device public key (32 bytes, 43 characters), also its libp2p identity. */
export type DeviceId = Brand<'DeviceId'>
/** A share: the first 16 bytes of SHA-256 of its admin public key (22 characters). */
export type ShareId = Brand<'ShareId'>
/** A file, folder or link in a share's tree, for life (16 bytes, 22 characters). */
export type NodeId = Brand<'NodeId'>
/** One immutable version of a node, derived from its content and parents (16 bytes, 22 characters). */
export type VersionId = Brand<'VersionId'>
/** A sealed batch of records: the first 16 bytes of SHA-256 of its sealed bytes (22 characters). */
export type BatchId = Brand<'BatchId'>
/** A membership change: the first 16 bytes of SHA-256 of its signed bytes (22 characters). */
export type ChangeId = Brand<'ChangeId'>
/** What a share link or an addressed invite opens: derived from the invite's public key (22 characters). */
export type InviteId = Brand<'InviteId'>

const BASE64URL_16 = /^[A-Za-z0-9_-]{21}[AQgw]$/
const BASE64URL_32 = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

const id16 = <T extends Brand<string>>() =>
  v.custom<T>((x) => typeof x === 'string' && BASE64URL_16.test(x), 'expected a 22-character id')
const id32 = <T extends Brand<string>>() =>
  v.custom<T>((x) => typeof x === 'string' && BASE64URL_32.test(x), 'expected a 43-character key')

export const UserIdSchema = id32<UserId>()
export const DeviceIdSchema = id32<DeviceId>()
export const ShareIdSchema = id16<ShareId>()
export const NodeIdSchema = id16<NodeId>()
export const VersionIdSchema = id16<VersionId>()
export const BatchIdSchema = id16<BatchId>()
export const ChangeIdSchema = id16<ChangeId>()
export const InviteIdSchema = id16<InviteId>()

/** The root folder of every share: 16 zero bytes. It is not a record and can be neither moved nor deleted. */
export const ROOT_NODE = 'AAAAAAAAAAAAAAAAAAAAAA' as NodeId
