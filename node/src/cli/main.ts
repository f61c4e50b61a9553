/** The `cofolder` command. What it says to people stands in `commands.ts`; how it runs, here. */
import { CommanderError } from 'commander'
import { CommandError } from './client.ts'
import { createProgram } from './commands.ts'

const FAILED = 1
const WRONG_USAGE = 2

try {
  // The relay has a parser of its own, shared with the stand-alone program.
  if (process.argv[2] === 'relay') {
    const { runRelay } = await import('@cofolder/relay')
    process.exitCode = await runRelay(process.argv.slice(3))
  } else {
    await createProgram().parseAsync(process.argv)
  }
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : WRONG_USAGE
  } else {
    const expected =
      error instanceof CommandError ||
      (error instanceof Error && 'code' in error && error.name === 'ProfileError')
    process.stderr.write(
      `cofolder: ${error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error)}\n`,
    )
    process.exitCode = FAILED
  }
}
