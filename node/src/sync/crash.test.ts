import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryPair, type MemoryPerson } from './testing/memory-people.ts'

/** The machine stopped. */
class Crash extends Error {}

/** Numbers between 0 and 1 that follow from a seed. */
function randomFrom(seed: number): () => number {
  let state = seed * 2654435761 + 1
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
    return (state >>> 0) / 2 ** 32
  }
}

/** What Alice does, which asks for every kind of step at Bob's. */
async function rearrange(alice: MemoryPerson): Promise<void> {
  const { fs } = alice
  const at = (path: string) => alice.at(path)
  const write = (path: string, text: string) => alice.write(path, text)
  write('edited', 'edited later')
  await fs.remove(at('deleted'))
  await fs.rename(at('swap1'), at('t'))
  await fs.rename(at('swap2'), at('swap1'))
  await fs.rename(at('t'), at('swap2'))
  await fs.rename(at('dir'), at('renamed'))
  await fs.rename(at('renamed/inner'), at('taken out'))
  await fs.remove(at('to folder'))
  await fs.makeFolder(at('to folder'))
  write('to folder/now', 'in a folder')
  await fs.remove(at('link'))
  await fs.makeLink('other', at('link'))
  await fs.setMode(at('script'), 0o755)
  await fs.makeFolder(at('new'))
  write('new/a', 'new a')
  write('new/b', '')
  await fs.remove(at('gone/x'))
  await fs.removeFolder(at('gone'))
}

async function scene(): Promise<MemoryPair> {
  const pair = await MemoryPair.make()
  const { alice } = pair
  for (const name of [
    'edited',
    'deleted',
    'swap1',
    'swap2',
    'dir/inner',
    'dir/stays',
    'to folder',
    'script',
    'gone/x',
  ]) {
    alice.write(name, `first ${name}`)
  }
  await alice.fs.makeLink('edited', alice.at('link'))
  await pair.settle()
  assert.deepEqual(await pair.bob.files(), await pair.alice.files())
  return pair
}

/** Runs a scene in which Bob's machine stops at its `stop`th file system call; answers whether it got so far. */
async function crashAt(stop: number, seed: number): Promise<boolean> {
  const pair = await scene()
  await using _ = pair
  const { alice, bob } = pair
  await rearrange(alice)
  bob.write('bob made this', 'by bob')
  bob.write('edited', 'edited by bob at the same time')
  // What nobody made durable may be gone, whoever wrote it.
  for (const path of ['bob made this', 'edited']) await bob.fs.sync(bob.at(path))
  await alice.placement.scan()
  let calls = 0
  let crashed = false
  bob.fs.intercept = (operation) => {
    if (!CHANGES.has(operation) && !crashed) return
    if (++calls < stop && !crashed) return
    crashed = true
    throw new Crash(`at ${operation}`)
  }
  pair.meet()
  await bob.placement.scan()
  pair.meet()
  await bob.placement.scan()
  await bob.stop()
  bob.fs.crash(randomFrom(seed))
  await bob.start()
  await pair.settle()

  const [files, others] = [await alice.files(), await bob.files()]
  assert.deepEqual(others, files)
  assert.deepEqual([bob.placement.state().state, bob.placement.problems()], ['in-sync', []])
  const texts = [...Object.values(others), ...(await bob.versions())]
  for (const text of [
    'first deleted',
    'first to folder',
    'first gone/x',
    'edited later',
    'by bob',
    'edited by bob at the same time',
  ]) {
    assert.ok(texts.includes(text), `"${text}" is not lost`)
  }
  assert.equal(files.swap1, 'first swap2')
  assert.equal(files['renamed/stays'], 'first dir/stays')
  assert.equal(files['taken out'], 'first dir/inner')
  assert.equal(files['to folder/now'], 'in a folder')
  assert.ok(!('deleted' in files) && !('gone/' in files))
  return crashed
}

const CHANGES = new Set(
  'makeFolder removeFolder makeLink createFile hardLink copyFile rename renameFree renameOver removeIf remove setMode setModified sync writeFile'.split(
    ' ',
  ),
)

test('a crash between any two changes of the folder loses nothing and heals', {
  timeout: 120_000,
}, async () => {
  let stop = 1
  let runs = 0
  while (await crashAt(stop, stop)) {
    stop += stop < 30 ? 2 : 5
    runs++
  }
  assert.ok(runs > 15, `${runs} crashes`)
})

test('several crashes in a row, one in the recovery of another', { timeout: 60_000 }, async () => {
  const pair = await scene()
  await using _ = pair
  const { alice, bob } = pair
  await rearrange(alice)
  await alice.placement.scan()
  pair.meet()
  for (let stop = 3; stop < 40; stop += 4) {
    let calls = 0
    bob.fs.intercept = (operation) => {
      if (CHANGES.has(operation) && ++calls >= stop) throw new Crash('again')
    }
    await bob.placement.scan()
    await bob.stop()
    bob.fs.crash(randomFrom(stop))
    bob.fs.intercept = undefined
    await bob.start()
  }
  await pair.settle()
  assert.deepEqual(await bob.files(), await alice.files())
})
