/** Counters and gauges in the text format of Prometheus. */

export interface Counter {
  add(amount?: number, label?: string): void
}

export interface Metrics {
  /** With `label`, counts are kept apart by that label's value; values must come from a small fixed set. */
  counter(name: string, help: string, label?: string): Counter
  /** Read when the metrics are asked for. */
  gauge(name: string, help: string, read: () => number): void
  text(): string
}

const PREFIX = 'cofolder_relay_'

export function createMetrics(): Metrics {
  const families: (() => string)[] = []
  const header = (name: string, help: string, type: string): string =>
    `# HELP ${PREFIX}${name} ${help}\n# TYPE ${PREFIX}${name} ${type}\n`

  return {
    counter(name, help, label) {
      const counts = new Map<string, number>()
      if (label === undefined) counts.set('', 0)
      families.push(() => {
        const lines = [...counts].map(([value, count]) => {
          const labels = label === undefined ? '' : `{${label}="${value}"}`
          return `${PREFIX}${name}${labels} ${count}\n`
        })
        return header(name, help, 'counter') + lines.join('')
      })
      return {
        add: (amount = 1, value = '') => {
          counts.set(value, (counts.get(value) ?? 0) + amount)
        },
      }
    },
    gauge(name, help, read) {
      families.push(() => `${header(name, help, 'gauge')}${PREFIX}${name} ${read()}\n`)
    },
    text: () => families.map((family) => family()).join(''),
  }
}
