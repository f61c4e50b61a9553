import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { mkdir, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { must } from '../couple.ts'
import { type Daemon, startDaemon, startRelay } from '../daemon.ts'
import { contents, expectEqualFolders, random, scratch, untilEqualFolders } from '../folders.ts'

const KILLS = 20
const LONGEST_LIFE_MS = 1_500

test('kill -9 of either node or the relay at twenty random moments loses nothing and heals', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9)
  console.log(`SEED=${seed}`)
  const source = random(seed)
  await using place = await scratch()
  const at = (...parts: string[]): string => join(place.path, ...parts)
  let relay = await startRelay({ data: at('relay') })
  const start = (who: string): Promise<Daemon> =>
    startDaemon({ home: at(`home-${who}`), name: who, relay: relay.url })
  const nodes = { alice: await start('alice'), bob: await start('bob') }
  const folders = { alice: at('alice'), bob: at('bob') }
  try {
    await mkdir(folders.alice)
    const { link } = await nodes.alice.json<{ link: string }>('share', folders.alice, '--role', 'editor')
    await must(nodes.bob, 'accept', link, '--to', folders.bob)
    await must(nodes.bob, 'wait', '--timeout', '60')

    const written = new Map<string, string>()
    let serial = 0
    const work = async (who: 'alice' | 'bob'): Promise<void> => {
      const folder = folders[who]
      const mine = readdirSync(folder).filter((name) => name.startsWith(who))
      const name = `${who}-${serial++}`
      const content = source.bytes(source.below(10) === 0 ? 3_000_000 : source.below(5_000))
      await writeFile(join(folder, name), content)
      written.set(name, content.toString('base64'))
      const victim = mine[source.below(mine.length)]
      if (victim === undefined) return
      if (source.below(4) === 0) {
        await unlink(join(folder, victim))
        written.delete(victim)
      } else if (source.below(3) === 0) {
        const to = `${who}-${serial++}`
        await rename(join(folder, victim), join(folder, to))
        written.set(to, written.get(victim) ?? '')
        written.delete(victim)
      }
    }

    for (let kill = 0; kill < KILLS; kill++) {
      for (let change = 0; change < 3; change++) await Promise.all([work('alice'), work('bob')])
      // The moment of the kill is the random thing under test, not something to wait for.
      await delay(source.below(LONGEST_LIFE_MS))
      const victim = source.below(3)
      if (victim === 0) {
        await relay.kill9()
        relay = await startRelay({ data: at('relay'), port: relay.port })
      } else {
        const who = victim === 1 ? 'alice' : 'bob'
        await nodes[who].kill9()
        nodes[who] = await start(who)
      }
    }
    await must(nodes.alice, 'wait', '--timeout', '120')
    await must(nodes.bob, 'wait', '--timeout', '120')
    await untilEqualFolders(60_000, folders.alice, folders.bob)
    expectEqualFolders(folders.alice, folders.bob)

    const names = [...contents(folders.alice).keys()]
    assert.deepEqual(
      names.filter((name) => name.includes('tmp') || name.includes('conflict')),
      [],
      'no temporary files, and no conflicts where nobody wrote to one file twice',
    )
    assert.deepEqual(
      names,
      [...written.keys()].toSorted(),
      'what was written is there, what was deleted is not',
    )
    const { readFileSync } = await import('node:fs')
    for (const [name, content] of written) {
      assert.equal(readFileSync(join(folders.bob, name)).toString('base64'), content, name)
    }
  } finally {
    await Promise.all([nodes.alice.down(), nodes.bob.down(), relay.kill9()])
  }
})
