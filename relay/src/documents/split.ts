/** Cuts a large Yjs update into parts, each an update of its own, so that no stored entry and no message is large. */
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import {
  type Coverage,
  coverageIn,
  type Deletes,
  decodeUpdate,
  emptyCoverage,
  type StoredUpdate,
  type Struct,
} from './coverage.ts'

/** Updates up to this size stay whole. */
const WHOLE_BYTES = 2 * 1024 * 1024
/** Size at which a part is closed; a single struct may make it larger. */
const PART_BYTES = 1024 * 1024

/** Structs of one client whose clocks follow each other, encoded. */
interface Run {
  readonly client: number
  readonly from: number
  to: number
  count: number
  readonly encoder: Y.UpdateEncoderV1
}

/** The parts say together what the update says. @throws RelayError `malformed`. */
export function splitUpdate(update: Uint8Array): readonly StoredUpdate[] {
  const { structs, ds } = decodeUpdate(update)
  if (update.length <= WHOLE_BYTES) return [{ coverage: coverageIn(structs, ds), update }]
  const parts: StoredUpdate[] = []
  let runs: Run[] = []
  const closePart = (): void => {
    if (runs.length > 0) parts.push({ coverage: coverageOfRuns(runs), update: encodeRuns(runs) })
    runs = []
  }
  for (const struct of structs) {
    if (struct instanceof Y.Skip) continue
    const last = runs.at(-1)
    const follows = last?.client === struct.id.client && last.to === struct.id.clock
    // A part holds each client once: a run that does not follow begins the next part.
    if (last?.client === struct.id.client && !follows) closePart()
    add(follows && last ? last : begin(runs, struct), struct)
    if (bytesOf(runs) >= PART_BYTES) closePart()
  }
  closePart()
  if (ds.clients.size > 0) parts.push({ coverage: coverageIn([], ds), update: encodeDeletes(ds) })
  return parts
}

function coverageOfRuns(runs: readonly Run[]): Coverage {
  const coverage = emptyCoverage()
  for (const { client, from, to } of runs) coverage.structs.add(client, from, to)
  return coverage
}

function begin(runs: Run[], { id }: Struct): Run {
  const run = { client: id.client, from: id.clock, to: id.clock, count: 0, encoder: new Y.UpdateEncoderV1() }
  runs.push(run)
  return run
}

function add(run: Run, struct: Struct): void {
  struct.write(run.encoder, 0)
  run.to += struct.length
  run.count++
}

const bytesOf = (runs: readonly Run[]): number =>
  runs.reduce((sum, { encoder }) => sum + encoding.length(encoder.restEncoder), 0)

function encodeRuns(runs: readonly Run[]): Uint8Array {
  const out = encoding.createEncoder()
  encoding.writeVarUint(out, runs.length)
  for (const { client, from, count, encoder } of runs) {
    encoding.writeVarUint(out, count)
    encoding.writeVarUint(out, client)
    encoding.writeVarUint(out, from)
    encoding.writeUint8Array(out, encoder.toUint8Array())
  }
  encoding.writeVarUint(out, 0) // deletes nothing
  return encoding.toUint8Array(out)
}

function encodeDeletes(deletes: Deletes): Uint8Array {
  const out = encoding.createEncoder()
  encoding.writeVarUint(out, 0) // brings no structs
  encoding.writeVarUint(out, deletes.clients.size)
  for (const [client, items] of deletes.clients) {
    encoding.writeVarUint(out, client)
    encoding.writeVarUint(out, items.length)
    for (const { clock, len } of items) {
      encoding.writeVarUint(out, clock)
      encoding.writeVarUint(out, len)
    }
  }
  return encoding.toUint8Array(out)
}
