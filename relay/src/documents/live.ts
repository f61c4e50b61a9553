/**
 * One document while somebody is connected to it: takes updates in, passes them on, answers what is missing. It knows
 * which updates are stored, never what they hold, and is dropped when the last connection leaves.
 */
import {
  awarenessMessage,
  missingMessage,
  type ShareId,
  stateVectorMessage,
  submissionMessage,
  updateMessage,
} from '@cofolder/protocol'
import type { RelayContext } from '../context.ts'
import { RelayError } from '../errors.ts'
import type { RelaySocket } from '../http/sockets.ts'
import type { Subscription } from '../storage/storage.ts'
import { type Coverage, decodeStored, encodeStored, readStateVector, type StoredUpdate } from './coverage.ts'
import { decodeNotice, documentTopic, encodeNotice, type Notice } from './fanout.ts'
import { DocumentLog } from './log.ts'
import { encodePresence, Presence, type PresenceEntry, readPresence } from './presence.ts'
import { splitUpdate } from './split.ts'

export interface Member {
  readonly socket: RelaySocket
  readonly writes: boolean
  /** Of the access statement under which it was admitted. */
  readonly epoch: number
}

const EMPTY_UPDATE = new Uint8Array([0, 0])

export class LiveDocument {
  readonly #id: ShareId
  readonly #context: RelayContext
  readonly #log: DocumentLog
  readonly #presence: Presence
  readonly #members = new Map<string, Member>()
  readonly #appending = new Set<Promise<void>>()
  #subscription: Subscription | undefined
  #broken = false

  private constructor(id: ShareId, context: RelayContext, log: DocumentLog) {
    this.#id = id
    this.#context = context
    this.#log = log
    this.#presence = new Presence(context.limits)
  }

  static async open(id: ShareId, context: RelayContext): Promise<LiveDocument> {
    // Subscribed before the log is read, so that no update falls between the two.
    const early: Notice[] = []
    let hear = (notice: Notice): void => void early.push(notice)
    const subscription = await context.storage.topics.subscribe(documentTopic(id), (message) =>
      hear(decodeNotice(message)),
    )
    const log = await DocumentLog.open(context.storage.logs, id, (error) =>
      context.log(`document ${id}: ${error.message}`),
    )
    const document = new LiveDocument(id, context, log)
    document.#subscription = subscription
    hear = (notice) => document.#hear(notice)
    for (const notice of early) hear(notice)
    return document
  }

  async join(member: Member): Promise<void> {
    this.#members.set(member.socket.id, member)
    // A writer is asked for what it has and we lack; from a reader we would not take it.
    if (member.writes) member.socket.send(stateVectorMessage(this.#log.stateVector()))
    this.sendPresence(member)
    await this.#publish({ kind: 'who', origin: member.socket.id })
  }

  async leave(member: Member): Promise<void> {
    this.#members.delete(member.socket.id)
    await this.#tellPresence(member.socket.id, this.#presence.leave(member.socket.id))
  }

  /** Sends what a replica with this state vector lacks. */
  async answer(member: Member, stateVector: Uint8Array): Promise<void> {
    const clocks = readStateVector(stateVector)
    // The last part goes out as the answer proper: only then does the client count as synced.
    let last: Uint8Array | undefined
    for await (const part of this.#log.missing(clocks)) {
      if (last) member.socket.send(updateMessage(last))
      last = part
      await member.socket.drained()
      if (!member.socket.open) return
    }
    member.socket.send(missingMessage(last ?? EMPTY_UPDATE))
  }

  /** True when everything in it is stored, or about to be. */
  knows(coverage: Coverage): boolean {
    return this.#log.covers(coverage)
  }

  /** True once an update could not be stored: what is counted as known here may be missing. */
  get broken(): boolean {
    return this.#broken
  }

  /** Stores an update and passes it on. @throws RelayError `malformed`, `full`, `unavailable`. */
  async take(member: Member, update: Uint8Array): Promise<void> {
    const parts = splitUpdate(update).filter(({ coverage }) => !this.#log.covers(coverage))
    if (parts.length === 0) return
    if (this.#log.bytes + update.length > this.#context.limits.documentBytes)
      throw new RelayError('full', 'this document is as large as the relay allows')
    if (!this.#context.hasRoom()) throw new RelayError('full', 'the relay has no room left')
    // Known from now on, so that the same from another connection is not stored twice.
    for (const { coverage } of parts) this.#log.expect(coverage)
    await Promise.all(parts.map((part) => this.#append(member, part)))
  }

  async takePresence(member: Member, presence: Uint8Array): Promise<void> {
    await this.#tellPresence(
      member.socket.id,
      this.#presence.update(member.socket.id, readPresence(presence)),
    )
  }

  sendPresence(member: Member): void {
    const all = this.#presence.all()
    if (all.length > 0) member.socket.send(awarenessMessage(encodePresence(all)))
  }

  /** Finishes what is under way. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#appending)
    await this.#subscription?.close()
    await this.#log.settled()
  }

  #hear(notice: Notice): void {
    switch (notice.kind) {
      case 'update': {
        const { coverage, update } = decodeStored(notice.stored)
        this.#log.note(notice, coverage, notice.stored.length)
        this.#log.compactSoon()
        const message = updateMessage(update)
        for (const { socket } of this.#members.values()) if (socket.id !== notice.origin) socket.send(message)
        return
      }
      case 'presence': {
        // Also to where it came from: stock clients take silence for a broken connection.
        const message = awarenessMessage(notice.presence)
        this.#presence.update(notice.origin, readPresence(notice.presence))
        for (const { socket } of this.#members.values()) socket.send(message)
        return
      }
      case 'who':
        if (this.#members.has(notice.origin)) return
        for (const [owner, entries] of this.#presence.byOwner()) {
          if (!this.#members.has(owner)) continue
          this.#tellPresence(owner, entries).catch((error: Error) => this.#context.log(error.message))
        }
        return
      case 'submission': {
        const message = submissionMessage(notice.submission)
        for (const { socket, writes } of this.#members.values()) if (writes) socket.send(message)
        return
      }
      case 'epoch':
        for (const { socket, epoch } of this.#members.values()) {
          if (epoch < notice.epoch) socket.refuse(new RelayError('forbidden', 'the rights have changed'))
        }
    }
  }

  #append(member: Member, part: StoredUpdate): Promise<void> {
    const origin = member.socket.id
    const stored = encodeStored(part)
    const appending = this.#log.append(stored).then(
      ({ from, to }) => this.#publish({ kind: 'update', origin, stored, from, to }),
      (error: Error) => this.#fail(error),
    )
    this.#appending.add(appending)
    return appending.finally(() => this.#appending.delete(appending))
  }

  /** Everybody starts again from what is stored. */
  #fail(error: Error): never {
    this.#broken = true
    this.#context.log(`document ${this.#id}: an update could not be stored: ${error.message}`)
    const refusal = new RelayError('unavailable', 'the relay could not store an update; try again', {
      cause: error,
    })
    for (const { socket } of this.#members.values()) socket.refuse(refusal)
    throw refusal
  }

  async #tellPresence(origin: string, entries: readonly PresenceEntry[]): Promise<void> {
    if (entries.length === 0) return
    await this.#publish({ kind: 'presence', origin, presence: encodePresence(entries) })
  }

  async #publish(notice: Notice): Promise<void> {
    await this.#context.storage.topics.publish(documentTopic(this.#id), encodeNotice(notice))
  }
}
