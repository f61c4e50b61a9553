import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { couple, must } from '../couple.ts'
import { contents, expectEqualFolders, random, until, untilEqualFolders } from '../folders.ts'

interface Status {
  api: string
  shares: { id: string; state: string; error?: string; pending: number }[]
}

test('a folder emptied at once asks before it spreads, and spreads when confirmed', async () => {
  await using pair = await couple()
  for (let index = 0; index < 20; index++) await writeFile(join(pair.a, `file-${index}`), `${index}`)
  await pair.settled()
  for (const name of await readdir(pair.b)) await rm(join(pair.b, name))
  await until(
    'Bob is asked',
    async () => (await pair.bob.json<Status>('status')).shares[0]?.state === 'error',
  )
  const events = await pair.bob.json<{ type: string; detail?: unknown }[]>('events')
  assert.ok(
    events.some((event) => event.type === 'error'),
    JSON.stringify(events),
  )
  await pair.bob.cli('wait', '--timeout', '3')
  assert.equal((await readdir(pair.a)).length, 20, 'nothing was deleted for Alice')
  await must(pair.bob, 'confirm', pair.share)
  await until('the deletion arrives', async () => (await readdir(pair.a)).length === 0)
})

test('a folder that vanishes is no deletion, and goes on when it is back', async () => {
  await using pair = await couple()
  for (let index = 0; index < 5; index++) await writeFile(join(pair.a, `file-${index}`), `${index}`)
  await pair.settled()
  await rename(pair.b, `${pair.b}-away`)
  await until('Bob sees it', async () => {
    const state = (await pair.bob.json<Status>('status')).shares[0]?.state
    return state === 'error' || state === 'waiting'
  })
  await mkdir(pair.b) // as an unmounted volume leaves its empty mount point behind
  await writeFile(join(pair.a, 'meanwhile'), 'meanwhile')
  await pair.bob.cli('wait', '--timeout', '3')
  assert.equal((await readdir(pair.a)).length, 6)
  assert.deepEqual(await readdir(pair.b), [], 'nothing is written into a folder that is not the one we know')
  await rm(pair.b, { recursive: true })
  await rename(`${pair.b}-away`, pair.b)
  await untilEqualFolders(60_000, pair.a, pair.b)
})

test('a full disk: a clear error, nothing lost, and on it goes when there is room', async () => {
  await using pair = await couple()
  const mount = join(pair.directory, 'small')
  await mkdir(mount)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mount])
  try {
    const { link } = await pair.alice.json<{ link: string }>('link', pair.share)
    await mkdir(join(pair.directory, 'second'))
    await writeFile(join(pair.directory, 'second', 'too large'), random(1).bytes(12_000_000))
    await writeFile(join(pair.directory, 'second', 'fits'), 'fits')
    assert.ok(link)
    const second = await pair.alice.json<{ share: string; link: string }>(
      'share',
      join(pair.directory, 'second'),
      '--role',
      'editor',
    )
    await must(pair.bob, 'accept', second.link, '--to', join(mount, 'folder'))
    await until('the small file arrives', () => existsSync(join(mount, 'folder', 'fits')))
    await until('the full disk is told', async () => {
      const share = (await pair.bob.json<Status>('status')).shares.find(({ id }) => id === second.share)
      return share?.state === 'error' && /space|room|full/i.test(share.error ?? '')
    })
    execFileSync('mount', ['-o', 'remount,size=64m', mount])
    await until('the large file arrives', () => existsSync(join(mount, 'folder', 'too large')), 90_000)
    expectEqualFolders(join(pair.directory, 'second'), join(mount, 'folder'))
  } finally {
    await pair.bob.down()
    execFileSync('umount', [mount])
  }
})

test('garbage on every port disturbs nobody', async () => {
  await using pair = await couple()
  const listening = execFileSync('ss', ['-Hltnp'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(`pid=${pair.alice.pid},`) || line.includes(`pid=${pair.bob.pid},`))
    .map((line) => Number(/:(\d+)\s/.exec(line)?.[1]))
  assert.ok(listening.length >= 4, 'the daemons listen')
  const source = random(7)
  const say = (port: number, bytes: Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.end(bytes))
      socket
        .on('error', () => resolve())
        .on('close', () => resolve())
        .resume()
      socket.setTimeout(500, () => socket.destroy())
    })
  for (const port of listening) {
    await Promise.all([
      ...Array.from({ length: 10 }, () => say(port, source.bytes(1 + source.below(100_000)))),
      say(
        port,
        Buffer.from(`POST /api/v1/shares HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{`),
      ),
      say(port, Buffer.from('GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')),
    ])
  }
  await writeFile(join(pair.a, 'after'), 'still here')
  await untilEqualFolders(30_000, pair.a, pair.b)
  assert.equal(readFileSync(join(pair.b, 'after'), 'utf8'), 'still here')
  assert.equal(contents(pair.b).size, 1)
})
