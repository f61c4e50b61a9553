/** What is measured: each row does one thing to a contender's folder `a` and waits for it in folder `b`. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  createReadStream,
  createWriteStream,
  existsSync,
  lstatSync,
  readdirSync,
  writeFileSync,
} from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Contender } from './contender.ts'
import { median, until } from './measure.ts'
import { loopbackBytes, peakMemory, processorTime, residentMemory } from './processes.ts'

const MIB = 1024 * 1024
const TIMEOUT_MS = 300_000

/** Writes random bytes without holding them all in memory. */
export async function writeRandom(path: string, size: number): Promise<void> {
  const file = await open(path, 'w')
  for (let written = 0; written < size; written += MIB)
    await file.write(randomBytes(Math.min(MIB, size - written)))
  await file.close()
}

const sizeOf = (path: string): number => (existsSync(path) ? lstatSync(path).size : -1)

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: MIB }), hash)
  return hash.digest('hex')
}

async function expectEqual(contender: Contender, name: string): Promise<void> {
  const [a, b] = await Promise.all([sha256(join(contender.a, name)), sha256(join(contender.b, name))])
  if (a !== b) throw new Error(`${contender.name}: ${name} arrived with other content`)
}

export interface LargeFile {
  readonly ms: number
  readonly wire: number
  readonly peakA: number
  readonly peakB: number
}

/** A file written elsewhere on the disk is renamed into the folder: time until it stands, whole, in the other. */
export async function largeFile(contender: Contender, source: string, size: number): Promise<LargeFile> {
  await writeRandom(source, size)
  const wire = loopbackBytes()
  const started = performance.now()
  await rename(source, join(contender.a, 'large.bin'))
  await contender.nudge('a')
  await until(() => sizeOf(join(contender.b, 'large.bin')) === size, TIMEOUT_MS)
  const ms = performance.now() - started
  const moved = loopbackBytes() - wire
  await expectEqual(contender, 'large.bin')
  return { ms, wire: moved, peakA: peakMemory(contender.pids('a')), peakB: peakMemory(contender.pids('b')) }
}

/** 1 MiB changed in the middle of the file that `largeFile` left. */
export async function changeInside(
  contender: Contender,
  size: number,
): Promise<{ ms: number; wire: number }> {
  const from = join(contender.a, 'large.bin')
  const to = join(contender.b, 'large.bin')
  await delay(2_000) // Until the machine is quiet: traffic of the row before must not count here.
  const before = (await stat(to)).mtimeMs
  const wire = loopbackBytes()
  const started = performance.now()
  const file = await open(from, 'r+')
  await file.write(randomBytes(MIB), 0, MIB, Math.floor(size / 2))
  await file.close()
  await contender.nudge('a')
  await until(() => existsSync(to) && sizeOf(to) === size && lstatSync(to).mtimeMs !== before, TIMEOUT_MS)
  const ms = performance.now() - started
  const moved = loopbackBytes() - wire
  await expectEqual(contender, 'large.bin')
  return { ms, wire: moved }
}

function countFiles(folder: string): number {
  if (!existsSync(folder)) return 0
  return readdirSync(folder, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile())
    .length
}

/** Many small files in folders of a hundred, made beside the folder and renamed in. */
export async function smallFiles(
  contender: Contender,
  scratch: string,
  options: { name: string; count: number; size: number },
): Promise<number> {
  const { name, count, size } = options
  for (let index = 0; index < count; index++) {
    if (index % 100 === 0) await mkdir(join(scratch, name, `${index / 100}`), { recursive: true })
    writeFileSync(join(scratch, name, `${Math.floor(index / 100)}`, `${index}.bin`), randomBytes(size))
  }
  const started = performance.now()
  await rename(join(scratch, name), join(contender.a, name))
  await contender.nudge('a')
  await until(() => countFiles(join(contender.b, name)) === count, TIMEOUT_MS, 50)
  return performance.now() - started
}

/** A folder that `smallFiles` left is renamed. */
export async function renameFolder(
  contender: Contender,
  from: string,
  to: string,
): Promise<{ ms: number; wire: number }> {
  const count = countFiles(join(contender.a, from))
  await delay(2_000)
  const wire = loopbackBytes()
  const started = performance.now()
  await rename(join(contender.a, from), join(contender.a, to))
  await contender.nudge('a')
  await until(
    () => countFiles(join(contender.b, to)) === count && !existsSync(join(contender.b, from)),
    TIMEOUT_MS,
  )
  return { ms: performance.now() - started, wire: loopbackBytes() - wire }
}

/** Median milliseconds from a saved 1 KiB file to its arrival, without nudging: the program must notice. */
export async function latency(contender: Contender, rounds: number): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const name = `saved-${round}.txt`
    const started = performance.now()
    writeFileSync(join(contender.a, name), randomBytes(512).toString('hex'))
    await until(() => sizeOf(join(contender.b, name)) === 1024, 60_000, 1)
    times.push(performance.now() - started)
    await delay(300)
  }
  return median(times)
}

/** Memory of both sides, and processor seconds a minute, while nothing happens. */
export async function idle(contender: Contender): Promise<{ memory: number; cpuPerMinute: number }> {
  const PERIOD_S = 10
  await delay(5_000)
  const pids = [...contender.pids('a'), ...contender.pids('b')]
  const before = processorTime(pids)
  await delay(PERIOD_S * 1000)
  return {
    memory: residentMemory(pids) / 2,
    cpuPerMinute: ((processorTime(pids) - before) / 2) * (60 / PERIOD_S),
  }
}

/** Milliseconds to copy a file and to read and hash it with SHA-1: what a perfect local tool would take. */
export async function copyAndHash(source: string, target: string): Promise<number> {
  const started = performance.now()
  await pipeline(createReadStream(source, { highWaterMark: MIB }), createWriteStream(target))
  const hash = createHash('sha1')
  await pipeline(createReadStream(target, { highWaterMark: MIB }), hash)
  const ms = performance.now() - started
  await rm(target)
  return ms
}

/** Milliseconds to send a file over one plain TCP connection on loopback into another file. */
export async function loopbackCopy(source: string, target: string): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const started = performance.now()
  const accepted = once(server, 'connection')
  const sending = pipeline(
    createReadStream(source, { highWaterMark: MIB }),
    connect(address.port, '127.0.0.1'),
  )
  const [socket] = await accepted
  await Promise.all([sending, pipeline(socket, createWriteStream(target))])
  const ms = performance.now() - started
  server.close()
  await rm(target)
  return ms
}
