/**
 * What this device signed but may not write itself (a viewer's join, leave, placement): kept on disk and offered to
 * whoever may write it, until it stands in the document.
 */
import type { ShareDocument } from '@cofolder/protocol'
import type { ReplicaRecord } from './rest.ts'

/** How often what waits is offered again, in milliseconds; new connections are offered it at once. */
const OFFER_AGAIN_AFTER = 10_000

export interface OutboxKeeper {
  /** The document, whose writes to the outbox are noticed. */
  readonly share: ShareDocument
  readonly record: ReplicaRecord
  /** Resolves when the outbox is on disk as it is now. */
  saved(): Promise<void>
  /** The document has changed: part of the outbox may stand in it. */
  refresh(): void
  /** Keeps that the members were told of an epoch at a relay. */
  noted(relay: string, epoch: number): void
  close(): void
}

export function createOutboxKeeper(options: {
  readonly document: ShareDocument
  readonly record: ReplicaRecord
  readonly save: (record: ReplicaRecord) => Promise<void>
  readonly submit: (signed: Uint8Array) => void
  readonly onError: (error: Error) => void
}): OutboxKeeper {
  const { document, save, submit, onError } = options
  let { record } = options
  let saving: Promise<void> = Promise.resolve()

  function refresh(): void {
    const { outbox } = document
    const known = record.outbox
    if (outbox.length === known.length && outbox.every((signed, i) => signed === known[i])) return
    const fresh = outbox.filter((signed) => !known.includes(signed))
    // Ours before it is anybody else's, as with what is written into the document.
    keep({ ...record, outbox }, () => {
      for (const signed of fresh) submit(signed)
    })
  }

  function keep(changed: ReplicaRecord, then: () => void): void {
    record = changed
    saving = saving
      .catch(() => undefined)
      .then(() => save(changed))
      .then(then)
    saving.catch(onError)
  }

  const timer = setInterval(() => {
    for (const signed of document.outbox) submit(signed)
  }, OFFER_AGAIN_AFTER)
  timer.unref()

  /** Runs a write of the document and notices what it put into the outbox. */
  const noticed =
    <Args extends unknown[], Result>(write: (...args: Args) => Result) =>
    (...args: Args): Result => {
      const result = write(...args)
      refresh()
      return result
    }
  const share: ShareDocument = Object.create(document, {
    write: { value: noticed((...args: Parameters<ShareDocument['write']>) => document.write(...args)) },
    leave: { value: noticed((at: number) => document.leave(at)) },
    addDevice: { value: noticed((at: number) => document.addDevice(at)) },
  })

  return {
    share,
    get record() {
      return record
    },
    saved: () => saving,
    refresh,
    noted(relay, epoch) {
      const others = record.noticed.filter(([url]) => url !== relay)
      keep({ ...record, noticed: [...others, [relay, epoch]] }, () => undefined)
    },
    close: () => clearInterval(timer),
  }
}
