/** A device for tests of content: a service over a network, and an index of the files it was told of. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { lstat, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createDeviceKeys,
  type DeviceId,
  deviceIdOf,
  type FileContent,
  type ShareId,
  toHex,
} from '@cofolder/protocol'
import type { Network } from '../../network/network.ts'
import type { ContentIndex, ContentLocation, FileDigest } from '../content.ts'
import { contentKey } from '../keys.ts'
import { type ContentOptions, createContentService, type NodeContentService } from '../service.ts'

export const SHARE = 'AAAAAAAAAAAAAAAAAAAAAQ' as ShareId
export const ROOT = new Uint8Array(32).fill(7)

export const newDevice = (): DeviceId => deviceIdOf(createDeviceKeys())
export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'cofolder-content-'))

export interface TestPeer extends AsyncDisposable {
  readonly device: DeviceId
  readonly content: NodeContentService
  /** An own folder, removed with the peer. */
  readonly dir: string
  /** Hashes files and makes them known to the index. */
  add(...paths: string[]): Promise<FileContent[]>
  /** Makes a file of known content known. */
  know(path: string, content: FileContent): Promise<void>
  forget(): void
}

const toFileContent = (digest: FileDigest): FileContent => ({
  kind: 'file',
  mtime: 0,
  executable: false,
  size: digest.size,
  sha256: digest.sha256,
  segments: [...digest.segments],
})

export function createPeer(network: Network, options: Partial<ContentOptions> = {}): TestPeer {
  const dir = temporaryFolder()
  const whole = new Map<string, ContentLocation[]>()
  const parts = new Map<string, (ContentLocation & { offset: number })[]>()
  const index: ContentIndex = {
    locate: async (_share, sha256) => whole.get(toHex(sha256)) ?? [],
    locateSegment: async (_share, sha256) => parts.get(toHex(sha256)) ?? [],
  }
  const put = <T>(map: Map<string, T[]>, key: Uint8Array, value: T): void => {
    map.set(toHex(key), [...(map.get(toHex(key)) ?? []), value])
  }
  const content = createContentService({
    network,
    index,
    keys: () => contentKey(ROOT),
    mayServe: () => true,
    holders: () => network.peers().map(({ device }) => device),
    listenHost: '127.0.0.1',
    ...options,
  })

  async function know(path: string, known: FileContent): Promise<void> {
    const stat = await lstat(path, { bigint: true })
    const location = {
      path,
      size: Number(stat.size),
      mtimeMs: Number(stat.mtimeNs) / 1e6,
      inode: String(stat.ino),
    }
    put(whole, known.sha256, location)
    let offset = 0
    for (const segment of known.segments) {
      put(parts, segment.sha256, { ...location, offset })
      offset += segment.size
    }
  }

  return {
    device: network.device,
    content,
    dir,
    know,
    async add(...paths) {
      const contents: FileContent[] = []
      let index = 0
      for await (const result of content.digest(paths.map((path) => ({ share: SHARE, path })))) {
        if ('error' in result) throw result.error
        const known = toFileContent(result.digest)
        contents.push(known)
        const path = paths[index++]
        if (path !== undefined) await know(path, known)
      }
      return contents
    },
    forget() {
      whole.clear()
      parts.clear()
    },
    async [Symbol.asyncDispose]() {
      await content.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Waits until something is so. */
export async function until(what: () => boolean, timeout = 10_000): Promise<void> {
  const end = Date.now() + timeout
  while (!what()) {
    if (Date.now() > end) throw new Error('it did not become so in time')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export const noise = (size: number): Buffer => randomBytes(size)
