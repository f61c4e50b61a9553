/** What a placement holds, for the content service to serve and copy from. */
import { equalBytes, type Sha256 } from '@cofolder/protocol'
import type { ContentIndex, ContentLocation } from '../content/content.ts'
import type { BaseEntry, BaseTree } from './base.ts'

export function holdingsOf(base: BaseTree, root: string): ContentIndex {
  const located = (entry: BaseEntry): readonly ContentLocation[] => {
    const names = base.pathOf(entry.node)
    if (!names) return []
    const { size, mtimeMs, inode } = entry.stamp
    return [{ path: [root, ...names].join('/'), size, mtimeMs, inode }]
  }
  return {
    locate: async (_share, sha256) => base.bySha256(sha256).flatMap(located),
    locateSegment: async (_share, sha256) =>
      base.bySegment(sha256).flatMap((entry) => {
        const offset = offsetOf(entry, sha256)
        return located(entry).map((location) => ({ ...location, offset }))
      }),
  }
}

function offsetOf({ content }: BaseEntry, sha256: Sha256): number {
  let offset = 0
  for (const segment of content.kind === 'file' ? content.segments : []) {
    if (equalBytes(segment.sha256, sha256)) break
    offset += segment.size
  }
  return offset
}
