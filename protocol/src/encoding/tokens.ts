/**
 * Reads CBOR as tokens where every reader must come to the same verdict, whatever machine it runs on: text is exact
 * UTF-8 (a lenient decoder replaces bytes and drops a leading U+FEFF, which changes names), and depth is bounded by
 * a number rather than by how much stack happens to be left.
 */
import { type DecodeOptions, Token, Tokenizer, Type } from 'cborg'

/** Arrays and maps inside each other. Our formats need eight. */
const MAX_DEPTH = 32

type Reader = NonNullable<DecodeOptions['tokenizer']>

const exactUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A tokenizer for `decode` of cborg; throws for text that is not UTF-8 and for values nested too deep. */
export function createStrictReader(input: Uint8Array, options: DecodeOptions): Reader {
  // A Buffer's slices share its memory; decoded bytes must be copies.
  const bytes = new Uint8Array(input.buffer, input.byteOffset, input.length)
  const tokens = new Tokenizer(bytes, options)
  /** How many values are to come in each array or map around the innermost open one; `left` in that one itself. */
  const outer: number[] = []
  let left = Number.POSITIVE_INFINITY

  function enter(values: number): void {
    if (outer.length >= MAX_DEPTH) throw new RangeError('nested too deep')
    outer.push(left)
    left = values
  }

  return {
    done: () => tokens.done(),
    pos: () => tokens.pos(),
    next() {
      const start = tokens.pos()
      const token = tokens.next()
      left--
      if (token.type === Type.array && token.value > 0) enter(token.value)
      else if (token.type === Type.map && token.value > 0) enter(token.value * 2)
      else while (left === 0) left = outer.pop() ?? Number.POSITIVE_INFINITY
      if (token.type !== Type.string) return token
      const from = start + headLength(bytes[start] ?? 0)
      const to = tokens.pos()
      if (isAscii(bytes, from, to)) return token
      return new Token(Type.string, exactUtf8.decode(bytes.subarray(from, to)), token.encodedLength)
    },
  }
}

/** Bytes before a value's content: its first byte, and its length where that does not fit in there (RFC 8949, 3). */
function headLength(first: number): number {
  const argument = first & 0x1f
  return argument < 24 ? 1 : 1 + 2 ** (argument - 24)
}

function isAscii(bytes: Uint8Array, from: number, to: number): boolean {
  for (let index = from; index < to; index++) if ((bytes[index] ?? 0) > 0x7f) return false
  return true
}
