/**
 * Notices of new keys. Once a relay serves a new epoch it serves the old one no more, so a member who was away while
 * keys changed could never read there which keys hold now. The owner therefore leaves him the membership log in his
 * mailbox at that relay, sealed under the share's root key; what it is worth is checked change by change.
 */
import {
  bytesUpTo,
  decodeAs,
  encodeCbor,
  type Identity,
  MAX_ENVELOPE_BYTES,
  openShare,
  openWith,
  ProtocolError,
  type ShareDocument,
  type ShareId,
  ShareIdSchema,
  sealWith,
  shortHash,
  toBase64url,
  utf8,
} from '@cofolder/protocol'
import * as v from 'valibot'

const CONTEXT = 'cofolder membership notice'
/** Changes in one notice, so that it fits an envelope with what is around them. */
const MAX_CONTENT_BYTES = MAX_ENVELOPE_BYTES - 1024

const NoticeSchema = v.strictObject({ notice: ShareIdSchema, sealed: bytesUpTo(MAX_ENVELOPE_BYTES) })
const ChangesSchema = v.array(bytesUpTo(MAX_ENVELOPE_BYTES))

export interface Notice {
  readonly share: ShareId
  readonly sealed: Uint8Array
}

const changesOf = (share: ShareDocument): ReadonlyMap<string, unknown> =>
  new Map(share.doc.getMap<unknown>('changes').entries())

/** The membership log as notices. A change too large for an envelope is left out: it comes with the document. */
export function sealNotices(share: ShareDocument): readonly Uint8Array[] {
  const notices: Uint8Array[] = []
  let changes: Uint8Array[] = []
  let size = 0
  const end = () => {
    if (changes.length === 0) return
    const sealed = sealWith(share.keys.root, encodeCbor(changes), utf8(share.id), CONTEXT)
    notices.push(encodeCbor({ notice: share.id, sealed }))
    changes = []
    size = 0
  }
  for (const change of changesOf(share).values()) {
    if (!(change instanceof Uint8Array) || change.length > MAX_CONTENT_BYTES / 2) continue
    if (size + change.length > MAX_CONTENT_BYTES / 2) end()
    changes.push(change)
    size += change.length
  }
  end()
  return notices
}

/** Undefined when the bytes are something else, an envelope for example. */
export function readNotice(bytes: Uint8Array): Notice | undefined {
  try {
    const { notice, sealed } = decodeAs(NoticeSchema, bytes, MAX_ENVELOPE_BYTES)
    return { share: notice, sealed }
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

/** Adds the changes of a notice that are signed changes of this share and not known yet. */
export function takeNotice(identity: Identity, share: ShareDocument, { sealed }: Notice): void {
  const opened = openWith(share.keys.root, sealed, utf8(share.id), CONTEXT)
  if (!opened) return
  const known = changesOf(share)
  const fresh = decodeAs(ChangesSchema, opened, MAX_ENVELOPE_BYTES)
    .map((change) => ({ id: toBase64url(shortHash(change)), change }))
    .filter(({ id }) => !known.has(id))
  if (fresh.length === 0) return
  // Tried on a document of its own: only what proves to be a change of this share goes into the real one.
  using trial = openShare(identity, share.keys)
  let signed = false
  trial.onChange(({ membership }) => {
    signed = membership
  })
  const good = fresh.filter(({ id, change }) => {
    signed = false
    trial.doc.getMap('changes').set(id, change)
    return signed
  })
  share.doc.transact(() => {
    for (const { id, change } of good) share.doc.getMap('changes').set(id, change)
  })
}
