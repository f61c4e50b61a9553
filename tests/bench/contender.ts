/** A program that keeps two folders of this machine equal over loopback, as the benchmarks drive it. */
export interface Contender extends AsyncDisposable {
  readonly name: string
  /** The two folders it keeps in sync. */
  readonly a: string
  readonly b: string
  /** Process ids of each side, children included when asked now. */
  pids(side: 'a' | 'b'): number[]
  /** Asks one side to look at its folder at once, where the program does not notice quickly by itself. */
  nudge(side: 'a' | 'b'): Promise<void>
  /** Stops and starts side `a`; resolves when it answers and knows its files again. Milliseconds it took. */
  restart(): Promise<number>
}
