import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { must } from '../couple.ts'
import { startDaemon, startRelay } from '../daemon.ts'
import { expectEqualFolders, scratch, untilEqualFolders } from '../folders.ts'

for (const role of ['editor', 'viewer'] as const) {
  test(`a third member (${role}) joins while the first is offline and gets everything from the second`, async () => {
    await using place = await scratch()
    const at = (...parts: string[]): string => join(place.path, ...parts)
    await using relay = await startRelay({ data: at('relay') })
    const alice = await startDaemon({ home: at('alice'), name: 'Alice', relay: relay.url })
    await using bob = await startDaemon({ home: at('bob'), name: 'Bob', relay: relay.url })
    await using carol = await startDaemon({ home: at('carol'), name: 'Carol', relay: relay.url })
    await mkdir(at('a', 'sub'), { recursive: true })
    await writeFile(at('a', 'sub', 'small'), 'small')
    await writeFile(at('a', 'large'), Buffer.alloc(5_000_000, 7))
    const { card } = await carol.json<{ card: string }>('card')
    const { link } = await alice.json<{ link: string }>('share', at('a'), '--role', 'editor')
    const second = await alice
      .json<{ share: string }>('share', at('a'), '--with', card, '--role', role)
      .catch(() => undefined)
    if (second === undefined) throw new Error('sharing the same folder with one more person must work')
    await must(bob, 'accept', link, '--to', at('b'))
    await must(bob, 'wait', '--timeout', '60')
    expectEqualFolders(at('a'), at('b'))
    await alice.down()

    await untilInvited(carol)
    const [invite] = await carol.json<{ id: string }[]>('invites')
    await must(carol, 'accept', invite?.id ?? '', '--to', at('c'))
    await untilEqualFolders(60_000, at('b'), at('c'))
  })
}

async function untilInvited(carol: Awaited<ReturnType<typeof startDaemon>>): Promise<void> {
  const { until } = await import('../folders.ts')
  await until('the invite arrives', async () => (await carol.json<unknown[]>('invites')).length === 1)
}
