/** Our own mailboxes: one at each relay we use, read while this device runs. */
import type { MailboxSubscription, RelayClient } from '../relay-client/relay-client.ts'

export interface MailboxesOptions {
  /** Base URLs of relays to read at; may change. */
  readonly relays: () => readonly string[]
  readonly relayClient: (url: string) => RelayClient
  /** Resolves when the envelope is safe, or none of ours; rejecting leaves it in the mailbox. */
  readonly receive: (sealed: Uint8Array) => Promise<void>
  readonly onError: (error: Error) => void
}

export interface Mailboxes {
  connected(relay: string): boolean
  /** Own relays may have changed. */
  refresh(): void
  close(): Promise<void>
}

export function openMailboxes({ relays, relayClient, receive, onError }: MailboxesOptions): Mailboxes {
  const mailboxes = new Map<string, MailboxSubscription>()
  const ending = new Set<Promise<void>>()

  function end(mailbox: MailboxSubscription): void {
    const ended = mailbox
      .close()
      .catch(onError)
      .finally(() => ending.delete(ended))
    ending.add(ended)
  }

  return {
    connected: (relay) => mailboxes.get(relay)?.connected ?? false,
    refresh() {
      const wanted = new Set(relays())
      for (const [url, mailbox] of mailboxes) {
        if (wanted.has(url)) continue
        mailboxes.delete(url)
        end(mailbox)
      }
      for (const url of wanted) if (!mailboxes.has(url)) mailboxes.set(url, relayClient(url).mailbox(receive))
    },
    async close() {
      for (const mailbox of mailboxes.values()) end(mailbox)
      mailboxes.clear()
      await Promise.all(ending)
    },
  }
}
