/**
 * Makes a fresh clone ready, on a machine that has only Node 20 and npm: installs the locked dependencies and
 * builds the web page. Does nothing, quickly, when all is there. `--tests` also installs what the tests use.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = import.meta.dirname
const at = (...parts) => join(root, ...parts)
const changedAt = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0)

function run(command, args, options = {}) {
  execFileSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options })
}

/** Newest modification below a folder, ignoring built output. */
function newest(folder) {
  let latest = 0
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile() && !entry.parentPath.includes('node_modules') && !entry.parentPath.includes('dist')) {
      latest = Math.max(latest, changedAt(join(entry.parentPath, entry.name)))
    }
  }
  return latest
}

function installDependencies() {
  const installed = changedAt(at('node_modules', '.package-lock.json'))
  if (installed > 0 && installed >= changedAt(at('package-lock.json'))) return
  console.error('Installing dependencies …')
  // Not "npm ci": it refuses a lockfile that lacks the optional packages of other systems.
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'])
}

function buildPage() {
  if (changedAt(at('web', 'dist', 'index.html')) >= newest(at('web'))) return
  console.error('Building the page …')
  run('npm', ['run', '--silent', 'build', '-w', 'web'])
}

/** Debian packages that the tests drive as independent programs; only what is missing, only where apt is. */
function installTestPrograms() {
  const programs = { chromium: '/usr/bin/chromium' }
  const missing = Object.keys(programs).filter((name) => !existsSync(programs[name]))
  if (missing.length === 0) return
  console.error(`Installing ${missing.join(', ')} …`)
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  const apt = (...args) => {
    const [command, ...rest] = [...sudo, 'apt-get', '-qq', '-y', ...args]
    run(command, rest, {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  }
  apt('update')
  apt('install', '--no-install-recommends', ...missing)
}

installDependencies()
buildPage()
if (process.argv.includes('--tests')) installTestPrograms()
