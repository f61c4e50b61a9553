#!/usr/bin/env node
/**
 * Starts the command line under Node 24: as it is when this is one, otherwise with the binary that the npm
 * package `node` brought along.
 */
import { spawn } from 'node:child_process'
import { createRequire, enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

const WANTED = 24
/**
 * For what runs for days: V8 and malloc keep far more than is used otherwise (a third of the memory while idle,
 * measured with 10,000 files), because short-lived garbage is plenty here.
 */
const FRUGAL = ['--max-semi-space-size=4']
const FRUGAL_ENVIRONMENT = { MALLOC_ARENA_MAX: '2' }
const LONG_RUNNING = ['up', 'relay']

const isLongRunning = process.argv.slice(2).some((word) => LONG_RUNNING.includes(word))
const isFrugal = FRUGAL.every((flag) => process.execArgv.includes(flag))

if (Number(process.versions.node.split('.')[0]) >= WANTED) {
  if (isLongRunning && !isFrugal && process.execve && process.platform === 'linux') {
    const again = [...FRUGAL, ...process.execArgv, import.meta.filename, ...process.argv.slice(2)]
    process.removeAllListeners('warning') // That execve is experimental is nothing to tell a person.
    // The same process goes on with the flags: no parent stays behind.
    process.execve(process.execPath, [process.execPath, ...again], { ...FRUGAL_ENVIRONMENT, ...process.env })
  }
  // Starts sooner and needs less memory, in threads too. In the user's own folder: what lies there is run.
  enableCompileCache(join(homedir(), '.cache', 'cofolder'))
  await import('../src/cli/main.ts')
} else {
  let node
  try {
    node = createRequire(import.meta.url).resolve('node/bin/node')
  } catch {
    console.error(
      `Cofolder needs Node ${WANTED} or later; this is ${process.version}. Run "npm install" first.`,
    )
    process.exit(1)
  }
  const child = spawn(node, [import.meta.filename, ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => process.exit(signal ? 1 : code))
}
