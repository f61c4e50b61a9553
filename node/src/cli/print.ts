/** Output for people: aligned, short, in their words. */
import { styleText } from 'node:util'

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** Sizes in powers of ten. */
export function bytes(count: number): string {
  let value = count
  let unit = 0
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[unit]}`
}

export const files = (count: number): string => `${count} ${count === 1 ? 'file' : 'files'}`
export const roleWords: Record<string, string> = { owner: 'owner', editor: 'can edit', viewer: 'can view' }

const COLOURS: Record<string, 'green' | 'blue' | 'yellow' | 'red'> = {
  'in-sync': 'green',
  syncing: 'blue',
  waiting: 'yellow',
  error: 'red',
}
const STATE_WORDS: Record<string, string> = {
  'in-sync': 'in sync',
  syncing: 'syncing',
  waiting: 'waiting',
  error: 'needs you',
}

/** A share's state, coloured where the output is a terminal. */
export function state(name: string): string {
  const word = STATE_WORDS[name] ?? name
  const colour = COLOURS[name]
  return colour === undefined ? word : styleText(colour, word, { stream: process.stdout })
}

/** Names come from other people: nothing in them may steer the terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this takes out
export const safe = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '�')

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length)
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export const time = (at: number): string =>
  new Date(at).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'medium' })

/** Prints one JSON document, or what `human` makes of it. */
export function print<T>(json: boolean | undefined, value: T, human: (value: T) => string): void {
  const text = json === true ? JSON.stringify(value) : human(value)
  if (text !== '') process.stdout.write(`${text}\n`)
}
