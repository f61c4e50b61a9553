/**
 * Share links: `<relay>/s/<InviteId>#<seed>`. The relay keeps the payload sealed under the seed, which rides in
 * the fragment and never reaches it. Only the seed's holder may replace or withdraw what the relay keeps.
 */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { concatBytes, fromBase64url, toBase64url, utf8 } from '../bytes.ts'
import { openWith, sealWith } from '../crypto/box.ts'
import { decodeAs, encodeCbor } from '../encoding/cbor.ts'
import { bytesOf, bytesUpTo, MillisSchema, RelayUrlSchema } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { inviteIdOf } from '../identity/derive.ts'
import { type InviteId, InviteIdSchema } from '../ids.ts'
import { MAX_ENVELOPE_BYTES } from '../limits.ts'
import { decodeInvitePayload, encodeInvitePayload } from './encode.ts'
import type { InvitePayload } from './payload.ts'

const SEAL_CONTEXT = 'cofolder link'
const STATEMENT_CONTEXT = utf8('cofolder link statement\0')
const SEED_LENGTH = 32
const MAX_LINK_CHARS = 600

export interface ShareLink {
  /** Base URL of the relay, without a trailing slash. */
  readonly relay: string
  readonly invite: InviteId
  readonly seed: Uint8Array
}

export const inviteIdOfSeed = (seed: Uint8Array): InviteId => inviteIdOf(crypto.ed25519PublicKey(seed))

/** The link as text. */
export const createLink = (relay: string, seed: Uint8Array): string =>
  `${relay.replace(/\/+$/, '')}/s/${inviteIdOfSeed(seed)}#${toBase64url(seed)}`

/** Whether a text looks like a share link, for commands that take other things as well. */
export const isLink = (text: string): boolean => /^https?:\/\/\S+\/s\/[\w-]+(#|$)/.test(text.trim())

/** Reads a link that somebody pasted. @throws ProtocolError `malformed` */
export function parseLink(text: string): ShareLink {
  const trimmed = text.trim()
  const match =
    trimmed.length > MAX_LINK_CHARS
      ? null
      : /^(https?:\/\/[^\s#?]+)\/s\/([\w-]+)(?:#([\w-]*))?$/.exec(trimmed)
  if (!match) throw new ProtocolError('malformed', 'not a share link: it looks like https://relay/s/…#…')
  const [, relay = '', invite = '', fragment = ''] = match
  if (!v.is(RelayUrlSchema, relay))
    throw new ProtocolError('malformed', "the link's address is not a relay's")
  if (fragment === '')
    throw new ProtocolError('malformed', 'the link is incomplete: its part after # is missing')
  const seed = /^[\w-]{43}$/.test(fragment) ? fromBase64url(fragment) : new Uint8Array()
  if (seed.length !== SEED_LENGTH || inviteIdOfSeed(seed) !== invite) {
    throw new ProtocolError('malformed', 'the link was altered or cut off: copy all of it')
  }
  return { relay, invite: inviteIdOfSeed(seed), seed }
}

/** What the relay keeps for a link. */
export function sealLinkPayload(payload: InvitePayload): Uint8Array {
  return sealWith(
    payload.seed,
    encodeInvitePayload(payload),
    utf8(inviteIdOfSeed(payload.seed)),
    SEAL_CONTEXT,
  )
}

/** @throws ProtocolError `wrong-key` or `malformed` */
export function openLinkPayload(seed: Uint8Array, sealed: Uint8Array): InvitePayload {
  const opened = openWith(seed, sealed, utf8(inviteIdOfSeed(seed)), SEAL_CONTEXT)
  if (!opened) throw new ProtocolError('wrong-key', 'the link does not open what the relay keeps for it')
  return decodeInvitePayload(opened)
}

/** The seed holder's word to the relay: keep this, or (without `blob`) withdraw it. The greatest `at` holds. */
export interface LinkStatement {
  readonly invite: InviteId
  readonly at: number
  readonly blob?: Uint8Array
}

const LinkStatementSchema = v.object({
  invite: InviteIdSchema,
  key: bytesOf(32),
  at: MillisSchema,
  blob: v.optional(bytesUpTo(MAX_ENVELOPE_BYTES)),
})
const SignedSchema = v.object({ statement: bytesUpTo(MAX_ENVELOPE_BYTES * 2), signature: bytesOf(64) })

export function createLinkStatement(seed: Uint8Array, at: number, blob?: Uint8Array): Uint8Array {
  const key = crypto.ed25519PublicKey(seed)
  const statement = encodeCbor({ invite: inviteIdOf(key), key, at, blob })
  return encodeCbor({
    statement,
    signature: crypto.ed25519Sign(seed, concatBytes(STATEMENT_CONTEXT, statement)),
  })
}

/** @throws ProtocolError `malformed`, `too-large`, `forbidden` or `bad-signature` */
export function verifyLinkStatement(bytes: Uint8Array): LinkStatement {
  const signed = decodeAs(SignedSchema, bytes, MAX_ENVELOPE_BYTES * 3)
  const { invite, key, at, blob } = decodeAs(LinkStatementSchema, signed.statement, MAX_ENVELOPE_BYTES * 2)
  if (inviteIdOf(key) !== invite) throw new ProtocolError('forbidden', 'the link belongs to another key')
  if (!crypto.ed25519Verify(key, concatBytes(STATEMENT_CONTEXT, signed.statement), signed.signature)) {
    throw new ProtocolError('bad-signature', "not signed by the link's key")
  }
  return blob === undefined ? { invite, at } : { invite, at, blob }
}
