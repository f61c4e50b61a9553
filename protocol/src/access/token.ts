/**
 * Tokens: what a device shows a relay. Text `v1.` base64url(CBOR claims) `.` base64url(Ed25519 signature).
 * They name the relay they are for, so that one relay cannot use them at another, and live a few minutes.
 */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { concatBytes, fromBase64url, toBase64url, utf8 } from '../bytes.ts'
import { decodeAs, encodeCbor } from '../encoding/cbor.ts'
import { MillisSchema } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import {
  type DeviceId,
  DeviceIdSchema,
  type ShareId,
  ShareIdSchema,
  type UserId,
  UserIdSchema,
} from '../ids.ts'

const PREFIX = 'v1'
/** How long a token may be good for, in milliseconds. */
export const MAX_TOKEN_LIFE_MS = 10 * 60_000
/** How far the clocks of a device and a relay may differ, in milliseconds. */
export const CLOCK_SKEW_MS = 2 * 60_000
const MAX_TOKEN_CHARS = 1024
const DOCUMENT_CONTEXT = utf8('cofolder token\0')
const MAILBOX_CONTEXT = utf8('cofolder mailbox token\0')

export type Right = 'read' | 'write'

const DocumentClaimsSchema = v.object({
  document: ShareIdSchema,
  right: v.picklist(['read', 'write']),
  audience: DeviceIdSchema,
  device: DeviceIdSchema,
  expires: MillisSchema,
})
export type DocumentClaims = v.InferOutput<typeof DocumentClaimsSchema>

const MailboxClaimsSchema = v.object({
  mailbox: UserIdSchema,
  audience: DeviceIdSchema,
  device: DeviceIdSchema,
  expires: MillisSchema,
})
export type MailboxClaims = v.InferOutput<typeof MailboxClaimsSchema>

function sign(claims: object, seed: Uint8Array, context: Uint8Array): string {
  const body = encodeCbor(claims)
  return `${PREFIX}.${toBase64url(body)}.${toBase64url(crypto.ed25519Sign(seed, concatBytes(context, body)))}`
}

interface Opened {
  readonly body: Uint8Array
  readonly signature: Uint8Array
}

function open(token: string): Opened {
  const [prefix, body, signature, ...rest] = token.length > MAX_TOKEN_CHARS ? [] : token.split('.')
  if (prefix !== PREFIX || body === undefined || signature === undefined || rest.length > 0) {
    throw new ProtocolError('malformed', 'not a token')
  }
  try {
    return { body: fromBase64url(body), signature: fromBase64url(signature) }
  } catch (error) {
    throw new ProtocolError('malformed', 'not a token', { cause: error })
  }
}

function checkTime(expires: number, now: number): void {
  if (expires < now - CLOCK_SKEW_MS)
    throw new ProtocolError('expired', 'the token has expired: make a new one')
  if (expires > now + MAX_TOKEN_LIFE_MS + CLOCK_SKEW_MS) {
    throw new ProtocolError('malformed', 'the token would live too long: check the clock')
  }
}

/** A token for one document, signed with the seed of the right it claims. */
export const createToken = (claims: DocumentClaims, seed: Uint8Array): string =>
  sign(claims, seed, DOCUMENT_CONTEXT)

/** @throws ProtocolError `malformed`, `expired`, `forbidden` (another document or relay) or `bad-signature` */
export function verifyToken(
  token: string,
  expected: { document: ShareId; audience: DeviceId; readKey: Uint8Array; writeKey: Uint8Array; now: number },
): DocumentClaims {
  const { body, signature } = open(token)
  const claims = decodeAs(DocumentClaimsSchema, body, MAX_TOKEN_CHARS)
  checkTime(claims.expires, expected.now)
  if (claims.document !== expected.document)
    throw new ProtocolError('forbidden', 'the token is for another document')
  if (claims.audience !== expected.audience)
    throw new ProtocolError('forbidden', 'the token is for another relay')
  const key = claims.right === 'write' ? expected.writeKey : expected.readKey
  if (!crypto.ed25519Verify(key, concatBytes(DOCUMENT_CONTEXT, body), signature)) {
    throw new ProtocolError('bad-signature', 'the token does not prove the right it claims')
  }
  return claims
}

/** A token for one's own mailbox, signed with the user's identity seed. */
export const createMailboxToken = (claims: MailboxClaims, userSeed: Uint8Array): string =>
  sign(claims, userSeed, MAILBOX_CONTEXT)

/** @throws ProtocolError as `verifyToken` */
export function verifyMailboxToken(
  token: string,
  expected: { mailbox: UserId; audience: DeviceId; now: number },
): MailboxClaims {
  const { body, signature } = open(token)
  const claims = decodeAs(MailboxClaimsSchema, body, MAX_TOKEN_CHARS)
  checkTime(claims.expires, expected.now)
  if (claims.mailbox !== expected.mailbox)
    throw new ProtocolError('forbidden', 'the token is for another mailbox')
  if (claims.audience !== expected.audience)
    throw new ProtocolError('forbidden', 'the token is for another relay')
  if (!crypto.ed25519Verify(fromBase64url(claims.mailbox), concatBytes(MAILBOX_CONTEXT, body), signature)) {
    throw new ProtocolError('bad-signature', 'the token is not signed by the mailbox owner')
  }
  return claims
}
