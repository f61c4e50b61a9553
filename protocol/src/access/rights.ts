/** The rights a relay can check without reading anything: keys per epoch, and the owner's word which ones hold. */
import * as v from 'valibot'
import { crypto } from '#crypto'
import { concatBytes, utf8 } from '../bytes.ts'
import { decodeAs, encodeCbor } from '../encoding/cbor.ts'
import { bytesOf } from '../encoding/schema.ts'
import { ProtocolError } from '../errors.ts'
import { shareIdOf } from '../identity/derive.ts'
import { type ShareId, ShareIdSchema } from '../ids.ts'
import type { EpochKeys } from '../share/keys.ts'

const SEED_LENGTH = 32
const MAX_STATEMENT_BYTES = 1024
const STATEMENT_CONTEXT = utf8('cofolder access\0')

export interface Rights {
  readonly readSeed: Uint8Array
  readonly readKey: Uint8Array
  /** Editors and owners only. */
  readonly writeSeed?: Uint8Array
  readonly writeKey?: Uint8Array
}

/** The Ed25519 keys that prove reading and writing in one epoch. */
export function rightsOf(epoch: EpochKeys): Rights {
  const readSeed = crypto.hkdf(epoch.key, 'cofolder read right', SEED_LENGTH)
  const read = { readSeed, readKey: crypto.ed25519PublicKey(readSeed) }
  if (!epoch.writeSeed) return read
  return { ...read, writeSeed: epoch.writeSeed, writeKey: crypto.ed25519PublicKey(epoch.writeSeed) }
}

/** Which keys hold at the relay. The statement with the greatest epoch counts. */
export interface AccessStatement {
  readonly document: ShareId
  readonly adminKey: Uint8Array
  readonly epoch: number
  readonly readKey: Uint8Array
  readonly writeKey: Uint8Array
}

const StatementSchema = v.object({
  document: ShareIdSchema,
  adminKey: bytesOf(32),
  epoch: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  readKey: bytesOf(32),
  writeKey: bytesOf(32),
})
const SignedStatementSchema = v.object({
  statement: v.custom<Uint8Array>(
    (x) => x instanceof Uint8Array && x.length <= MAX_STATEMENT_BYTES,
    'a statement',
  ),
  signature: bytesOf(64),
})

/** Signs the access statement of an epoch. @throws ProtocolError `forbidden` without the epoch's write seed */
export function createAccessStatement(adminSeed: Uint8Array, epoch: number, keys: EpochKeys): Uint8Array {
  const { readKey, writeKey } = rightsOf(keys)
  if (!writeKey) throw new ProtocolError('forbidden', 'only the owner states who may write')
  const adminKey = crypto.ed25519PublicKey(adminSeed)
  const statement = encodeCbor({ document: shareIdOf(adminKey), adminKey, epoch, readKey, writeKey })
  const signature = crypto.ed25519Sign(adminSeed, concatBytes(STATEMENT_CONTEXT, statement))
  return encodeCbor({ statement, signature })
}

/** Checks that a statement is signed by the key the document is named after. @throws ProtocolError */
export function verifyAccessStatement(bytes: Uint8Array): AccessStatement {
  const signed = decodeAs(SignedStatementSchema, bytes, MAX_STATEMENT_BYTES)
  const statement = decodeAs(StatementSchema, signed.statement, MAX_STATEMENT_BYTES)
  if (shareIdOf(statement.adminKey) !== statement.document) {
    throw new ProtocolError('forbidden', 'the document belongs to another key')
  }
  if (
    !crypto.ed25519Verify(
      statement.adminKey,
      concatBytes(STATEMENT_CONTEXT, signed.statement),
      signed.signature,
    )
  ) {
    throw new ProtocolError('bad-signature', 'the access statement is not signed by its admin key')
  }
  return statement
}
