import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { couple } from '../couple.ts'
import { startRelay } from '../daemon.ts'
import { scratch } from '../folders.ts'

const NAME_MARKER = 'marker-in-a-name-5f1b'
const CONTENT_MARKER = 'marker-in-content-9c2e'
const SHARE_MARKER = 'marker-in-share-name-77d0'

/** Searches all readable private memory of a process, as /proc shows it, for byte strings. */
function memoryHolds(pid: number, needles: readonly Buffer[]): string[] {
  const found = new Set<string>()
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line)
      if (!match) continue
      const from = Number.parseInt(match[1] ?? '', 16)
      const length = Number.parseInt(match[2] ?? '', 16) - from
      if (length > 2 ** 30) continue
      const buffer = Buffer.allocUnsafe(length)
      try {
        const read = readSync(memory, buffer, 0, length, from)
        for (const needle of needles)
          if (buffer.subarray(0, read).includes(needle)) found.add(needle.toString())
      } catch {
        // A reserved range that no page stands behind yet.
      }
    }
  } finally {
    closeSync(memory)
  }
  return [...found]
}

test("the relay's disk and memory hold no name and no content of a share in the clear", async () => {
  await using place = await scratch()
  await using relay = await startRelay({ data: join(place.path, 'relay') })
  await using pair = await couple({ relay: relay.url })
  await mkdir(join(pair.a, SHARE_MARKER))
  await writeFile(join(pair.a, SHARE_MARKER, `${NAME_MARKER}.txt`), CONTENT_MARKER.repeat(1000))
  await writeFile(join(pair.a, `${NAME_MARKER}.bin`), Buffer.alloc(3_000_000, CONTENT_MARKER))
  await pair.settled()
  assert.equal(
    readFileSync(join(pair.b, SHARE_MARKER, `${NAME_MARKER}.txt`), 'utf8'),
    CONTENT_MARKER.repeat(1000),
  )

  const markers = [NAME_MARKER, CONTENT_MARKER, SHARE_MARKER]
  const grep = (folder: string, marker: string): string => {
    try {
      return execFileSync('grep', ['-rla', marker, folder], { encoding: 'utf8' })
    } catch {
      return '' // grep exits with 1 when nothing matches
    }
  }
  for (const marker of markers) assert.equal(grep(join(place.path, 'relay'), marker), '', marker)
  const needles = markers.flatMap((marker) => [Buffer.from(marker, 'utf8'), Buffer.from(marker, 'utf16le')])
  assert.deepEqual(memoryHolds(relay.pid, needles), [])
  // The search itself must be able to find: a member's node does hold the names.
  assert.ok(
    memoryHolds(pair.bob.pid, [Buffer.from(NAME_MARKER)]).length > 0,
    'the search finds nothing anywhere',
  )
})
