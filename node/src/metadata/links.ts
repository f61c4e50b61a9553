/**
 * The direct streams of one share: one to each device of the other members that is connected. Whoever is no member
 * is refused like somebody who names a share that does not exist.
 */
import {
  type DeviceId,
  encodeCbor,
  type Hello,
  type ShareDocument,
  SYNC_PROTOCOL,
  submissionMessage,
} from '@cofolder/protocol'
import type { MessageStream, Network } from '../network/network.ts'
import type { Dialer } from './dialing.ts'
import { closeStream, createLink, type Link } from './link.ts'
import { isMember, type PresenceBoard } from './presence.ts'
import type { KnownDevice } from './rest.ts'

/** Two streams that both sides opened within this time of each other, in milliseconds, are one too many. */
const SIMULTANEOUS = 2000
/** Both sides see a connection at once: the device with the greater id waits as long for the other's stream. */
const COURTESY = 150
/**
 * How long a stream to somebody who was removed lasts, in milliseconds: he learns of it, and what is written from
 * then on is sealed under keys he does not have.
 */
const FAREWELL = 200
/** Pause before a stream that failed or was refused is opened again, in milliseconds; doubles each time. */
const FIRST_PAUSE = 250
const LONGEST_PAUSE = 15_000

export interface LinkOptions {
  readonly share: ShareDocument
  readonly own: DeviceId
  readonly network: Network
  readonly dialer: Dialer
  readonly presence: PresenceBoard
  /** Devices to turn to while the members are not known yet. */
  readonly origins: readonly KnownDevice[]
  /** Resolves when what this device wrote so far is on disk; undefined when it is. */
  readonly written: () => Promise<void> | undefined
  /** Signed changes by which the other comes to know us. */
  readonly introduction: () => readonly Uint8Array[]
  /** A signed change or batch from somebody who may not write it himself. */
  readonly onSubmission: (signed: Uint8Array) => void
  /** A stream began or ended. */
  readonly onLinks: () => void
}

export interface Links {
  /** Serves a stream whose opener named this share, until it ends; at once when he is no member. The caller closes it. */
  accept(stream: MessageStream, messages: AsyncIterator<Uint8Array>): Promise<void>
  /** Devices with a live stream. */
  live(): readonly DeviceId[]
  /** Wanted devices that no attempt was made to reach yet. */
  untried(): readonly DeviceId[]
  /** Sends a signed change or batch to every device that may write it. */
  submit(signed: Uint8Array): void
  /** Wants, opens and closes streams as the members now ask for. */
  refresh(): void
  close(): Promise<void>
}

interface Retry {
  pause: number
  timer: NodeJS.Timeout | undefined
}

export function createLinks(options: LinkOptions): Links {
  const { share, own, network, dialer, presence } = options
  const origins = new Set(options.origins.map(({ id }) => id))
  const links = new Map<DeviceId, Link>()
  const ending = new Set<Promise<void>>()
  const opening = new Set<DeviceId>()
  const retries = new Map<DeviceId, Retry>()
  const wants = new Map<DeviceId, () => void>()
  const cutting = new Map<DeviceId, NodeJS.Timeout>()
  const closing = new AbortController()

  const membersUnknown = () => share.membership.members.size === 0
  const trusted = (device: DeviceId) => isMember(share, device) || (membersUnknown() && origins.has(device))
  const roleOf = (device: DeviceId) => {
    const user = share.userOf(device)
    const member = user === undefined ? undefined : share.membership.members.get(user)
    return member?.status === 'active' ? member.role : undefined
  }
  const isWriter = (device: DeviceId) => roleOf(device) === 'owner' || roleOf(device) === 'editor'
  const connected = (device: DeviceId) => network.peers().some((peer) => peer.device === device)

  function wantedDevices(): Set<DeviceId> {
    if (membersUnknown()) return origins
    const devices = new Set<DeviceId>()
    for (const member of share.membership.members.values()) {
      if (member.status === 'active') for (const device of member.devices.keys()) devices.add(device)
      // Who was put out has nobody to turn to; who left still has to say so.
      else if (member.status === 'removed' && member.devices.has(own)) return new Set()
    }
    devices.delete(own)
    return devices
  }

  async function open(device: DeviceId): Promise<void> {
    if (links.has(device) || opening.has(device) || closing.signal.aborted || !wants.has(device)) return
    opening.add(device)
    try {
      const stream = await network.open(device, SYNC_PROTOCOL, closing.signal)
      const hello: Hello = { share: share.id, changes: [...options.introduction()] }
      await stream.send(encodeCbor(hello)).catch(async (error: unknown) => {
        await closeStream(stream)
        throw error
      })
      void adopt(stream, stream.messages[Symbol.asyncIterator](), own)
    } catch {
      // The device went away; it is tried again while it is connected.
      retryLater(device)
    } finally {
      opening.delete(device)
    }
  }

  function openSoon(device: DeviceId, pause: number): void {
    const retry = retries.get(device) ?? { pause: 0, timer: undefined }
    retries.set(device, retry)
    clearTimeout(retry.timer)
    retry.timer = setTimeout(() => {
      if (connected(device)) void open(device)
    }, pause)
    retry.timer.unref()
  }

  function retryLater(device: DeviceId): void {
    if (closing.signal.aborted || links.has(device)) return
    const pause = Math.min(LONGEST_PAUSE, Math.max(FIRST_PAUSE, (retries.get(device)?.pause ?? 0) * 2))
    openSoon(device, pause)
    const retry = retries.get(device)
    if (retry) retry.pause = pause
  }

  /** The device just connected. Whoever is not known there yet introduces himself at once. */
  function greet(device: DeviceId): void {
    if (!wants.has(device) || links.has(device)) return
    openSoon(device, own < device || membersUnknown() ? 0 : COURTESY)
  }

  /** Makes a stream the link to its device, unless the one we have is to be kept. Resolves when it has ended. */
  function adopt(
    stream: MessageStream,
    messages: AsyncIterator<Uint8Array>,
    initiator: DeviceId,
  ): Promise<void> {
    const { device } = stream
    const held = links.get(device)
    if (held && held.initiator !== initiator && performance.now() - held.since < SIMULTANEOUS) {
      // Both sides keep the stream that the smaller device opened.
      if ((initiator === own) !== own < device) {
        return closeStream(stream)
      }
    }
    const link = createLink({
      stream,
      messages,
      initiator,
      share,
      presence,
      written: options.written,
      mayWrite: () => isWriter(device) || (membersUnknown() && origins.has(device)),
      onSubmission: options.onSubmission,
      onLive() {
        const retry = retries.get(device)
        if (retry) retry.pause = 0
        if (isWriter(device)) for (const signed of share.outbox) link.send(submissionMessage(signed))
        options.onLinks()
      },
    })
    links.set(device, link)
    held?.close()
    const ended = link.ended.then(() => {
      ending.delete(ended)
      if (links.get(device) !== link) return
      links.delete(device)
      if (connected(device)) retryLater(device)
      options.onLinks()
    })
    ending.add(ended)
    return ended
  }

  function cutOff(device: DeviceId): void {
    if (cutting.has(device)) return
    const timer = setTimeout(() => {
      cutting.delete(device)
      if (!trusted(device)) links.get(device)?.close()
    }, FAREWELL)
    cutting.set(device, timer)
  }

  function refresh(): void {
    if (closing.signal.aborted) return
    const wanted = wantedDevices()
    for (const [device, release] of wants) {
      if (wanted.has(device)) continue
      release()
      wants.delete(device)
    }
    for (const device of links.keys()) if (!trusted(device)) cutOff(device)
    for (const device of wanted) {
      if (wants.has(device)) continue
      wants.set(device, dialer.want(device))
      if (connected(device)) greet(device)
    }
  }

  const offConnect = network.onConnect(({ device }) => greet(device))
  refresh()

  return {
    async accept(stream, messages) {
      if (closing.signal.aborted || !trusted(stream.device)) return
      await adopt(stream, messages, stream.device)
    },
    live: () => [...links].filter(([, link]) => link.live).map(([device]) => device),
    untried: () => [...wants.keys()].filter((device) => !links.has(device) && !dialer.tried(device)),
    submit(signed) {
      for (const [device, link] of links) {
        if (link.live && isWriter(device)) link.send(submissionMessage(signed))
      }
    },
    refresh,
    async close() {
      closing.abort()
      offConnect()
      for (const { timer } of retries.values()) clearTimeout(timer)
      for (const timer of cutting.values()) clearTimeout(timer)
      for (const release of wants.values()) release()
      wants.clear()
      for (const link of links.values()) link.close()
      await Promise.all(ending)
    },
  }
}
