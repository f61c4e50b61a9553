/** What Linux accounts of running processes: children, resident memory, processor time. */
import { readdirSync, readFileSync } from 'node:fs'

/** A process and all its descendants. */
export function processTree(root: number | undefined): number[] {
  if (root === undefined) return []
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    try {
      // Field 4 of /proc/PID/stat, after the command in parentheses, is the parent.
      const parent = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1])
      children.set(parent, [...(children.get(parent) ?? []), pid])
    } catch {
      // The process ended while we looked.
    }
  }
  const found: number[] = []
  const queue = [root]
  for (let pid = queue.shift(); pid !== undefined; pid = queue.shift()) {
    found.push(pid)
    queue.push(...(children.get(pid) ?? []))
  }
  return found
}

function statusField(pid: number, field: string): number {
  try {
    const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm'))
    return Number(line?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Peak resident memory of the largest process, in bytes, since its start or the last `resetPeak`. */
export const peakMemory = (pids: readonly number[]): number =>
  Math.max(0, ...pids.map((pid) => statusField(pid, 'VmHWM')))

/** Resident memory of all processes together, in bytes. */
export const residentMemory = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + statusField(pid, 'VmRSS'), 0)

/** Processor time used so far by all, in seconds. */
export function processorTime(pids: readonly number[]): number {
  const TICKS_PER_SECOND = 100
  let ticks = 0
  for (const pid of pids) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
      ticks += Number(fields[11]) + Number(fields[12])
    } catch {
      // Ended: its time no longer counts.
    }
  }
  return ticks / TICKS_PER_SECOND
}

/** Bytes the loopback interface has carried since boot. */
export function loopbackBytes(): number {
  const line = readFileSync('/proc/net/dev', 'utf8').match(/^\s*lo:\s*(\d+)/m)
  return Number(line?.[1] ?? 0)
}
