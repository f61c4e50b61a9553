/** How things are said: states, sizes, times, events. All texts about data stand here. */
import type { CofolderEvent, ShareStatus } from './api.ts'

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** Powers of ten, as file managers show them. */
export function bytes(count: number): string {
  let value = count
  let unit = 0
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit]}`
}

export const files = (count: number): string => `${count.toLocaleString()} ${count === 1 ? 'file' : 'files'}`

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
]

export function ago(at: number, now = Date.now()): string {
  const format = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
  for (const [unit, length] of STEPS) {
    if (now - at >= length) return format.format(-Math.floor((now - at) / length), unit)
  }
  return 'just now'
}

export function state(share: ShareStatus): string {
  switch (share.state) {
    case 'in-sync':
      return 'In sync'
    case 'syncing':
      return share.pending > 0 ? `Syncing, ${files(share.pending)} to go` : 'Syncing'
    case 'waiting':
      return 'Waiting'
    case 'error':
      return 'Needs you'
  }
}

export const roles = { owner: 'owner', editor: 'can edit', viewer: 'can view' } as const

const VERBS: Record<string, string> = {
  invited: 'invited you to',
  accepted: 'accepted',
  declined: 'declined',
  left: 'left',
  changed: 'changed',
  conflict: 'changed the same file in',
  revoked: 'stopped sharing',
}

/** One line of the activity list, without who and where. */
export function verb(event: CofolderEvent): string {
  return VERBS[event.type] ?? event.type
}
