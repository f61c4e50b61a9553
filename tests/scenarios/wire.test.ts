/**
 * What renames and small changes cost on the wire. Counts every byte on the loopback interface, in a network
 * namespace of its own so that nothing else is counted: the file runs itself again inside one.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { mkdir, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { loopbackBytes } from '../bench/processes.ts'
import { couple } from '../couple.ts'
import { expectEqualFolders, until, writeRandom } from '../folders.ts'

const MIB = 1024 * 1024
const INSIDE = 'COFOLDER_TEST_NAMESPACE'

if (process.env[INSIDE] === undefined) {
  test('what crosses the wire, in a network namespace of its own', () => {
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env
    const run = spawnSync(
      'unshare',
      [
        '--net',
        'sh',
        '-c',
        'ip link set lo up && exec "$0" --test-reporter=spec --test "$1"',
        process.execPath,
        import.meta.filename,
      ],
      { env: { ...environment, [INSIDE]: '1' }, encoding: 'utf8' },
    )
    assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`)
  })
} else {
  test('a renamed folder of 1,000 files (200 MB) moves fewer than 256 KiB', async () => {
    await using pair = await couple()
    await mkdir(join(pair.a, 'folder'))
    for (let index = 0; index < 1000; index++)
      await writeRandom(join(pair.a, 'folder', `${index}`), 200_000, index)
    await pair.settled(120)
    const before = loopbackBytes()
    await rename(join(pair.a, 'folder'), join(pair.a, 'renamed'))
    await until(
      'the rename arrives',
      () => existsSync(join(pair.b, 'renamed', '999')) && !existsSync(join(pair.b, 'folder')),
    )
    const moved = loopbackBytes() - before
    console.log(`renamed folder: ${moved} bytes on the wire`)
    assert.ok(moved < 256 * 1024, `${moved} bytes`)
    await pair.settled()
    expectEqualFolders(pair.a, pair.b)
  })

  test('1 MiB changed inside 1 GiB moves fewer than 8 MiB', async () => {
    await using pair = await couple()
    await writeRandom(join(pair.a, 'large'), 1024 * MIB, 5)
    await pair.settled(180)
    const old = statSync(join(pair.b, 'large')).mtimeMs
    const before = loopbackBytes()
    const file = await open(join(pair.a, 'large'), 'r+')
    await file.write(randomBytes(MIB), 0, MIB, 512 * MIB + 12_345)
    await file.close()
    await until('the change arrives', () => statSync(join(pair.b, 'large')).mtimeMs !== old, 60_000)
    const moved = loopbackBytes() - before
    console.log(`changed inside: ${moved} bytes on the wire`)
    assert.ok(moved < 8 * MIB, `${moved} bytes`)
    await pair.settled()
    expectEqualFolders(pair.a, pair.b)
  })
}
