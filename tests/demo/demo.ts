/**
 * `npm run demo`: two people and a relay in temporary folders. Alice shares a real folder, Bob accepts it, both
 * change files, the relay goes away, and the terminal shows what happens.
 */
import { cpSync, readdirSync, statSync } from 'node:fs'
import { appendFile, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { type Daemon, startDaemon, startRelay } from '../daemon.ts'
import { expectEqualFolders, scratch, untilEqualFolders } from '../folders.ts'

const say = (text: string): void => console.log(`\n${styleText('bold', text)}`)

async function run(who: string, daemon: Daemon, ...args: string[]): Promise<string> {
  console.log(
    styleText(
      'dim',
      `  ${who}$ cofolder ${args.map((arg) => (arg.length > 60 ? `${arg.slice(0, 57)}…` : arg)).join(' ')}`,
    ),
  )
  const { code, stdout, stderr } = await daemon.cli(...args)
  const lines = `${stdout}${stderr}`.trimEnd().split('\n').slice(0, 12)
  if (lines[0] !== '') console.log(lines.map((line) => `    ${line}`).join('\n'))
  if (code !== 0) throw new Error(`cofolder ${args[0]} failed`)
  return stdout
}

function size(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  const bytes = files.reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0)
  return `${files.length} files, ${(bytes / 1e6).toFixed(1)} MB`
}

await using place = await scratch()
const at = (...parts: string[]): string => join(place.path, ...parts)

say('A relay that reads nothing, and two people')
await using relay = await startRelay({ data: at('relay') })
console.log(`    relay on ${relay.url}`)
await using alice = await startDaemon({ home: at('alice-profile'), name: 'Alice', relay: relay.url })
await using bob = await startDaemon({ home: at('bob-profile'), name: 'Bob', relay: relay.url })

say('Alice shares a folder with Bob, by his contact card')
cpSync(join(import.meta.dirname, '../../protocol'), at('Alice', 'Project'), {
  recursive: true,
  filter: (path) => !path.includes('node_modules'),
})
const { card } = await bob.json<{ card: string }>('card')
await run('alice', alice, 'share', at('Alice', 'Project'), '--with', card, '--role', 'editor')

say('Bob is told, and accepts')
for (let invites: { id: string }[] = []; invites.length === 0; ) {
  invites = await bob.json<{ id: string }[]>('invites')
  const [invite] = invites
  if (invite === undefined) continue
  await run('bob', bob, 'invites')
  await run('bob', bob, 'accept', invite.id, '--to', at('Bob', 'From Alice'))
}
await run('bob', bob, 'wait', '--timeout', '60')
console.log(`    Alice: ${size(at('Alice', 'Project'))}; Bob: ${size(at('Bob', 'From Alice'))}`)
expectEqualFolders(at('Alice', 'Project'), at('Bob', 'From Alice'))

say('Both change things')
const started = performance.now()
await writeFile(at('Alice', 'Project', 'hello.txt'), 'Hello Bob\n')
await untilEqualFolders(30_000, at('Alice', 'Project'), at('Bob', 'From Alice'))
console.log(`    Alice saved hello.txt; Bob had it after ${(performance.now() - started).toFixed(0)} ms`)
await appendFile(at('Bob', 'From Alice', 'hello.txt'), 'Hello Alice\n')
await rename(at('Bob', 'From Alice', 'src'), at('Bob', 'From Alice', 'source'))
await run('bob', bob, 'wait', '--timeout', '60')
expectEqualFolders(at('Alice', 'Project'), at('Bob', 'From Alice'))
console.log('    Bob wrote to it and renamed a folder; both have the same')

say('The relay goes away; the two go on')
await relay.kill9()
await mkdir(at('Alice', 'Project', 'without a relay'))
await writeFile(at('Alice', 'Project', 'without a relay', 'note.txt'), 'still in sync\n')
await rm(at('Bob', 'From Alice', 'hello.txt'))
await untilEqualFolders(30_000, at('Alice', 'Project'), at('Bob', 'From Alice'))
console.log('    a new folder from Alice, a deletion from Bob: both have the same')

say('What Alice was told')
await run('alice', alice, 'events')
await run('alice', alice, 'status')
