/** Topics within one process. */
import type { Topics } from './storage.ts'

type Listener = (message: Uint8Array) => void

export function createLocalTopics(): Topics {
  const topics = new Map<string, Set<Listener>>()
  return {
    async publish(topic, message) {
      for (const listener of topics.get(topic) ?? []) listener(message)
    },
    async subscribe(topic, listener) {
      const listeners = topics.get(topic) ?? new Set()
      // A function of its own, so that one listener can subscribe twice.
      const own: Listener = (message) => listener(message)
      topics.set(topic, listeners.add(own))
      return {
        async close() {
          listeners.delete(own)
          if (listeners.size === 0 && topics.get(topic) === listeners) topics.delete(topic)
        },
      }
    },
  }
}
