/**
 * `npm run bench [-- ROW…] [--only NAME]`: measures Cofolder, Syncthing where it is installed, and this machine's
 * own limits in one run, and prints one table with ratios. Rows: large, small, rename, latency, idle, start.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startCofolder } from './cofolder.ts'
import type { Contender } from './contender.ts'
import { megabytes, seconds } from './measure.ts'
import * as rows from './rows.ts'
import { startSyncthing } from './syncthing.ts'

const GIB = 1024 ** 3
type Figures = Record<string, string>

const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const wants = (row: string): boolean => wanted.length === 0 || wanted.includes(row)

function installed(program: string): boolean {
  try {
    execFileSync('which', [program], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function run(contender: Contender, scratch: string): Promise<Figures> {
  const figures: Figures = {}
  if (wants('latency'))
    figures['saved 1 KiB file → arrival (median of 15)'] =
      `${(await rows.latency(contender, 15)).toFixed(0)} ms`
  if (wants('large')) {
    const large = await rows.largeFile(contender, join(scratch, 'large.bin'), GIB)
    figures['1 GiB file'] = seconds(large.ms)
    figures['peak memory, sender / receiver'] = `${megabytes(large.peakA)} / ${megabytes(large.peakB)}`
    const change = await rows.changeInside(contender, GIB)
    figures['1 MiB changed inside 1 GiB'] = `${seconds(change.ms)}, ${megabytes(change.wire)} on the wire`
  }
  if (wants('rename')) {
    await rows.smallFiles(contender, scratch, { name: 'folder', count: 1000, size: 200_000 })
    const renamed = await rows.renameFolder(contender, 'folder', 'renamed')
    figures['folder of 1,000 files (200 MB) renamed'] =
      `${seconds(renamed.ms)}, ${megabytes(renamed.wire)} on the wire`
  }
  if (wants('small')) {
    const ms = await rows.smallFiles(contender, scratch, { name: 'small', count: 10_000, size: 10_000 })
    figures['10,000 files of 10 kB'] = seconds(ms)
  }
  if (wants('idle')) {
    const idle = await rows.idle(contender)
    figures['idle: memory, processor'] =
      `${megabytes(idle.memory)}, ${idle.cpuPerMinute.toFixed(2)} s a minute`
  }
  if (wants('start')) {
    await rows.smallFiles(contender, scratch, { name: 'many', count: 90_000, size: 100 })
    figures['start with 100,000 files known'] = seconds(await contender.restart())
  }
  return figures
}

async function limits(scratch: string): Promise<Figures> {
  if (!wants('large')) return {}
  const source = join(scratch, 'limit.bin')
  await rows.writeRandom(source, GIB)
  const copy = await rows.copyAndHash(source, join(scratch, 'copy.bin'))
  const loopback = await rows.loopbackCopy(source, join(scratch, 'copy.bin'))
  await rm(source)
  return { '1 GiB file': `cp + SHA-1 ${seconds(copy)}; plain TCP ${seconds(loopback)}` }
}

const directory = await mkdtemp(join(tmpdir(), 'cofolder-bench-'))
const table = new Map<string, Figures>()
try {
  table.set('this machine', await limits(directory))
  const contenders: [string, (directory: string) => Promise<Contender>][] = [['cofolder', startCofolder]]
  if (installed('syncthing')) contenders.push(['syncthing', startSyncthing])
  const only = process.argv.find((word) => word.startsWith('--only='))?.slice('--only='.length)
  for (const [name, start] of contenders) {
    if (only !== undefined && only !== name) continue
    const home = await mkdtemp(join(directory, `${name}-`))
    await using contender = await start(home)
    table.set(name, await run(contender, home))
  }
} finally {
  await rm(directory, { recursive: true, force: true })
}

const columns = [...table.keys()]
const labels = [...new Set([...table.values()].flatMap((figures) => Object.keys(figures)))]
console.log(`| | ${columns.join(' | ')} |\n|${'---|'.repeat(columns.length + 1)}`)
for (const label of labels)
  console.log(`| ${label} | ${columns.map((name) => table.get(name)?.[label] ?? '–').join(' | ')} |`)
