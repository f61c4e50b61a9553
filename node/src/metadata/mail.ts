/**
 * Envelopes to and from other people. What goes out is kept until a device of the recipient or one of his relays has
 * it; what comes in is handed on once, and acknowledged when the listener has it safe.
 */
import { hash } from 'node:crypto'
import {
  type ContactCard,
  MAILBOX_PROTOCOL,
  MAX_ENVELOPE_BYTES,
  type OpenedEnvelope,
  ProtocolError,
} from '@cofolder/protocol'
import type { MessageStream, Network } from '../network/network.ts'
import type { Dialer } from './dialing.ts'
import { closeStream } from './link.ts'
import type { MailStore, OutgoingEnvelope } from './mail-store.ts'

/** Pause before an envelope that nobody took is offered again, in milliseconds; doubles each time. */
const FIRST_PAUSE = 1000
const LONGEST_PAUSE = 60_000
/** How long an envelope is offered, in milliseconds: as long as invites commonly wait for somebody. */
const OFFERED_FOR = 90 * 24 * 3600 * 1000
/** How long a device may take over an envelope, in milliseconds. */
const HANDOVER_TIMEOUT = 15_000
/** Envelopes one device may hand over in a minute: each costs a signature check. */
const MAX_PER_MINUTE = 60

const TAKEN = new Uint8Array([1])
const REFUSED = new Uint8Array([0])

/** An envelope's id: the hash of its sealed bytes, the same on every path. */
type EnvelopeId = string
const idOf = (bytes: Uint8Array): EnvelopeId => hash('sha256', bytes, 'base64url').slice(0, 22)

export interface ReceivedEnvelope extends OpenedEnvelope {
  readonly id: EnvelopeId
}

/** Keeps the envelope before it resolves. Rejecting leaves the envelope with whoever delivered it. */
export type EnvelopeListener = (envelope: ReceivedEnvelope) => Promise<void>

export interface MailParts {
  readonly store: MailStore
  readonly network: Network
  readonly dialer: Dialer
  readonly clock: () => number
  /** @throws ProtocolError when it is not for us or not what it claims to be. */
  readonly open: (sealed: Uint8Array) => OpenedEnvelope
  /** Leaves an envelope in a mailbox. @throws when the relay does not take it. */
  readonly post: (relay: string, to: ContactCard['user'], sealed: Uint8Array) => Promise<void>
  readonly onError: (error: Error) => void
}

export interface Mail {
  /** Resolves when the envelope is kept here; it is delivered as soon as somebody takes it. */
  send(to: Pick<ContactCard, 'user' | 'relays' | 'devices'>, sealed: Uint8Array): Promise<void>
  /** Takes one in. True when it is safe (or was before), false when it is none of ours. Rejects when not kept. */
  receive(sealed: Uint8Array): Promise<boolean>
  onEnvelope(listener: EnvelopeListener): () => void
  /** Envelopes nobody has taken yet. */
  readonly waiting: number
  close(): Promise<void>
}

interface Delivery {
  readonly envelope: OutgoingEnvelope
  pause: number
  timer: NodeJS.Timeout | undefined
  release: (() => void) | undefined
  attempt: Promise<void> | undefined
}

export async function openMail(parts: MailParts): Promise<Mail> {
  const { store, network, dialer, clock } = parts
  const deliveries = new Map<EnvelopeId, Delivery>()
  const receiving = new Map<EnvelopeId, Promise<void>>()
  const listeners = new Set<EnvelopeListener>()
  const closing = new AbortController()
  let listening = Promise.withResolvers<void>()

  async function handOver(device: OutgoingEnvelope['devices'][number], bytes: Uint8Array): Promise<void> {
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(HANDOVER_TIMEOUT)])
    await network.connect(device.id, device.addresses, signal)
    await using stream = await network.open(device.id, MAILBOX_PROTOCOL, signal)
    const abort = () => void closeStream(stream)
    signal.addEventListener('abort', abort)
    try {
      await stream.send(bytes)
      const answer = await stream.messages[Symbol.asyncIterator]().next()
      if (answer.done || answer.value[0] !== TAKEN[0]) throw new Error('the device did not take the envelope')
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async function deliver(delivery: Delivery): Promise<void> {
    const { envelope } = delivery
    const paths = [
      ...envelope.devices.map((device) => handOver(device, envelope.bytes)),
      ...envelope.relays.map((relay) => parts.post(relay, envelope.to, envelope.bytes)),
    ]
    const outcomes = await Promise.allSettled(paths)
    if (closing.signal.aborted) return
    const expired = clock() - envelope.at > OFFERED_FOR
    if (expired || outcomes.some(({ status }) => status === 'fulfilled')) {
      await store.deleteOutgoing(envelope.id)
      delivery.release?.()
      deliveries.delete(envelope.id)
      return
    }
    delivery.pause = Math.min(LONGEST_PAUSE, Math.max(FIRST_PAUSE, delivery.pause * 2))
    deliverSoon(delivery, delivery.pause)
  }

  function deliverSoon(delivery: Delivery, pause: number): void {
    clearTimeout(delivery.timer)
    delivery.timer = setTimeout(() => {
      if (closing.signal.aborted) return
      delivery.attempt ??= deliver(delivery)
        .catch(parts.onError)
        .finally(() => {
          delivery.attempt = undefined
        })
    }, pause)
    delivery.timer.unref()
  }

  function offer(envelope: OutgoingEnvelope): void {
    const delivery: Delivery = {
      envelope,
      pause: 0,
      timer: undefined,
      release: undefined,
      attempt: undefined,
    }
    const releases = envelope.devices.map(({ id, addresses }) => {
      dialer.hint(id, addresses)
      return dialer.want(id)
    })
    delivery.release = () => {
      for (const release of releases) release()
    }
    deliveries.set(envelope.id, delivery)
    deliverSoon(delivery, 0)
  }

  async function handOn(id: EnvelopeId, opened: OpenedEnvelope): Promise<void> {
    // Until somebody keeps envelopes, they stay with whoever brought them.
    await listening.promise
    closing.signal.throwIfAborted()
    for (const listener of listeners) await listener({ ...opened, id })
    await store.markSeen(id, clock())
  }

  async function receive(sealed: Uint8Array): Promise<boolean> {
    const id = idOf(sealed)
    if (await store.wasSeen(id)) return true
    let handing = receiving.get(id)
    if (!handing) {
      let opened: OpenedEnvelope
      try {
        opened = parts.open(sealed)
      } catch (error) {
        if (error instanceof ProtocolError) return false
        throw error
      }
      handing = handOn(id, opened).finally(() => receiving.delete(id))
      receiving.set(id, handing)
    }
    await handing
    return true
  }

  const rates = new Map<string, { readonly since: number; count: number }>()
  function tooMany(device: string): boolean {
    const now = clock()
    for (const [other, { since }] of rates) if (Math.abs(now - since) > 60_000) rates.delete(other)
    const rate = rates.get(device) ?? { since: now, count: 0 }
    rates.set(device, rate)
    return ++rate.count > MAX_PER_MINUTE
  }

  async function answer(stream: MessageStream): Promise<void> {
    const timer = setTimeout(() => void closeStream(stream), HANDOVER_TIMEOUT)
    try {
      const message = await stream.messages[Symbol.asyncIterator]().next()
      if (message.done || message.value.length > MAX_ENVELOPE_BYTES || tooMany(stream.device)) return
      const taken = await receive(message.value)
      await stream.send(taken ? TAKEN : REFUSED)
    } catch (error) {
      // The sender keeps it and tries again.
      if (!closing.signal.aborted) parts.onError(error instanceof Error ? error : new Error(String(error)))
    } finally {
      clearTimeout(timer)
      await closeStream(stream)
    }
  }

  await store.forgetSeenBefore(clock() - 2 * OFFERED_FOR)
  const unhandle = network.handle(MAILBOX_PROTOCOL, answer)
  const offConnect = network.onConnect(({ device }) => {
    for (const delivery of deliveries.values()) {
      if (delivery.envelope.devices.some(({ id }) => id === device)) deliverSoon(delivery, 0)
    }
  })
  for (const envelope of await store.outgoing()) offer(envelope)

  return {
    async send(to, sealed) {
      const envelope: OutgoingEnvelope = {
        id: idOf(sealed),
        to: to.user,
        relays: to.relays,
        devices: to.devices,
        bytes: sealed,
        at: clock(),
      }
      await store.saveOutgoing(envelope)
      offer(envelope)
    },
    receive,
    onEnvelope(listener) {
      listeners.add(listener)
      listening.resolve()
      return () => {
        listeners.delete(listener)
        if (listeners.size === 0) listening = Promise.withResolvers()
      }
    },
    get waiting() {
      return deliveries.size
    },
    async close() {
      closing.abort()
      unhandle()
      offConnect()
      listening.resolve()
      for (const { timer, release } of deliveries.values()) {
        clearTimeout(timer)
        release?.()
      }
      await Promise.allSettled([
        ...receiving.values(),
        ...[...deliveries.values()].map(({ attempt }) => attempt),
      ])
    },
  }
}
