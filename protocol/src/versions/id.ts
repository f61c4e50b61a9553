/** Ids that follow from what they name, so that two devices which settle one thing make one version. */

import { crypto } from '#crypto'
import { concatBytes, toBase64url, utf8 } from '../bytes.ts'
import { encodeCbor } from '../encoding/cbor.ts'
import type { NodeId, VersionId } from '../ids.ts'
import type { Content, VersionRecord } from '../records/record.ts'

const ID_LENGTH = 16

/**
 * The first 16 bytes of SHA-256(CBOR[node, sorted parents, essentials]). Modification time, author, `at` and
 * segments are no part of it.
 */
export function versionId(version: Pick<VersionRecord, 'node' | 'parents' | 'content'>): VersionId {
  const parents = version.parents.length > 1 ? version.parents.toSorted() : version.parents
  const bytes = encodeCbor([version.node, parents, essentials(version.content)])
  return toBase64url(crypto.sha256(bytes).subarray(0, ID_LENGTH)) as VersionId
}

/** The node a losing version lives on as, the same on every device that settles the conflict. */
export function conflictNodeId(node: NodeId, losing: VersionId): NodeId {
  const digest = crypto.sha256(concatBytes(utf8('conflict'), utf8(node), utf8(losing)))
  return toBase64url(digest.subarray(0, ID_LENGTH)) as NodeId
}

function essentials(content: Content): readonly unknown[] {
  switch (content.kind) {
    case 'file':
      return [1, content.size, content.sha256, content.executable]
    case 'symlink':
      return [2, content.target]
    case 'folder':
      return [3]
    case 'deleted':
      return [4]
  }
}
