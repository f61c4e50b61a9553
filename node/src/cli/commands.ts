/** Every command: its words, its options, what it prints. */
import { Command, InvalidArgumentError, Option } from 'commander'
import * as v from 'valibot'
import { homeFolder } from '../profile/profile.ts'
import * as answers from './answers.ts'
import { type Client, CommandError, connectClient } from './client.ts'
import { bytes, files, print, roleWords, safe, state, table, time } from './print.ts'
import { down, up } from './up.ts'

const VERSION = '0.1.0'
const MODES = ['copy', 'move', 'one-way', 'two-way']

interface Json {
  json?: boolean
}

function port(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0 || value > 65_535)
    throw new InvalidArgumentError('a port is 0 to 65535')
  return value
}

function seconds(text: string): number {
  const value = Number(text)
  if (!(value >= 0)) throw new InvalidArgumentError('a number of seconds')
  return value
}

function relayUrl(text: string, others: readonly string[] = []): string[] {
  if (!/^https?:\/\/./.test(text) || !URL.canParse(text))
    throw new InvalidArgumentError('a relay is an http(s) address')
  return [...others, text.replace(/\/+$/, '')]
}

/** `2h`, `7d`, or a date; answers milliseconds since the epoch. */
function when(text: string): number {
  const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }
  const span = /^(\d+)([mhdw])$/.exec(text)
  if (span) return Date.now() + Number(span[1]) * (UNITS[span[2] ?? ''] ?? 0)
  const at = Date.parse(text)
  if (Number.isNaN(at)) throw new InvalidArgumentError('a time is like 2h, 7d or 2030-12-31')
  return at
}

const collect = (word: string, words: readonly string[] = []): string[] => [...words, word]

export function createProgram(): Command {
  const program = new Command('cofolder')
    .description('Share files and folders with people, each keeping them where they like, always in sync.')
    .version(VERSION)
    .option('--home <dir>', 'profile to use (default: $COFOLDER_HOME or ~/.cofolder)')
    .showHelpAfterError('(add --help for what this command takes)')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
  const home = (): string => homeFolder(program.opts<{ home?: string }>().home)

  /** Asks the daemon and checks what comes back. */
  async function ask<Schema extends v.GenericSchema>(
    schema: Schema,
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
  ): Promise<v.InferOutput<Schema>> {
    const client: Client = await connectClient(home())
    const result = v.safeParse(schema, await client.call(method, path, body))
    if (!result.success)
      throw new CommandError(
        'the running Cofolder is of another version: "cofolder down", then "cofolder up"',
      )
    return result.output
  }
  const inShare = (share: string, operation: string): string =>
    `/shares/${encodeURIComponent(share)}/${operation}`
  const command = (usage: string, description: string): Command =>
    program.command(usage).description(description).option('--json', 'print JSON')

  program
    .command('up')
    .description('start Cofolder and run until "cofolder down"')
    .option('--port <n>', 'port of the page and the API (0: any)', port)
    .option('--relay <url>', 'relay to use instead of one of my own (may be repeated)', relayUrl)
    .option('--name <name>', 'what others see as my name')
    .option('--listen <host>', 'where other devices may connect: 0.0.0.0 for all networks', '0.0.0.0')
    .option('--no-open', 'do not open the page')
    .action((options: { port?: number; relay?: string[]; name?: string; open: boolean; listen: string }) =>
      up({ home: home(), ...options }),
    )
  program
    .command('down')
    .description('stop Cofolder')
    .action(() => down(home()))

  command('status', 'what is going on').action(async ({ json }: Json) => {
    try {
      const status = await ask(answers.StatusSchema, 'GET', '/status')
      print(json, status, ({ user, relay, shares }) =>
        [
          `You are ${safe(user.name)}.${relay === null ? '' : ` Relay ${relay.url}: ${relay.connected ? 'connected' : 'not connected'}.`}`,
          table(
            shares.map((share) => [
              safe(share.name),
              state(share.state),
              `${files(share.filesTotal)}, ${bytes(share.bytesTotal)}${share.pending > 0 ? `, ${share.pending} to go` : ''}`,
              share.error ?? '',
            ]),
          ),
          ...(shares.length === 0 ? ['Nothing is shared yet: "cofolder share FOLDER" begins.'] : []),
        ]
          .filter((line) => line !== '')
          .join('\n'),
      )
    } catch (error) {
      if (json === true && error instanceof CommandError) process.stdout.write('{"running":false}\n')
      throw error
    }
  })

  command('card', 'my contact card, for somebody who wants to share with me').action(
    async ({ json }: Json) => {
      const { card } = await ask(answers.CardSchema, 'GET', '/card')
      const { renderUnicodeCompact } = await import('uqr')
      const qr = renderUnicodeCompact(card, { border: 2 })
      // Black on white, whatever the terminal's colours: phones read no inverted codes.
      const shown = process.stdout.isTTY
        ? qr
            .split('\n')
            .map((line) => `\u001b[30;107m${line}\u001b[0m`)
            .join('\n')
        : qr
      print(json, { card, qr }, () => `${shown}\n\n${card}`)
    },
  )

  const contact = program.command('contact').description('people I know')
  contact
    .command('add <card>')
    .description('keep somebody by his contact card')
    .option('--name <name>', 'what I call him')
    .option('--json', 'print JSON')
    .action(async (card: string, options: Json & { name?: string }) => {
      const added = await ask(v.looseObject({ user: v.string(), name: v.string() }), 'POST', '/contacts', {
        card,
        name: options.name,
      })
      print(options.json, added, ({ name }) => `${safe(name)} is a contact now.`)
    })
  contact
    .command('list')
    .description('my contacts, with the code that both of you can compare')
    .option('--json', 'print JSON')
    .action(async ({ json }: Json) => {
      print(json, await ask(answers.ContactsSchema, 'GET', '/contacts'), (people) =>
        table(people.map(({ name, code }) => [safe(name), code])),
      )
    })

  command('share <path>', 'share a folder')
    .option('--with <person>', 'a contact or a card (may be repeated)', collect)
    .addOption(new Option('--role <role>', 'what they may do').choices(['viewer', 'editor']))
    .addOption(new Option('--mode <mode>', 'how changes travel').choices(MODES))
    .option('--name <name>', 'what the share is called')
    .action(
      async (
        path: string,
        options: Json & { with?: string[]; role?: string; mode?: string; name?: string },
      ) => {
        needTwoWay(options.mode)
        const { resolve } = await import('node:path')
        const body = { path: resolve(path), with: options.with, role: options.role, name: options.name }
        print(options.json, await ask(answers.SharedSchema, 'POST', '/shares', body), ({ link, problem }) =>
          link === null
            ? `Shared, but without a link: ${problem ?? ''}`
            : `Shared. Anyone with this link can join:\n${link}`,
        )
      },
    )

  command('link <share>', "the share's link")
    .addOption(new Option('--role <role>', 'what whoever joins by it may do').choices(['viewer', 'editor']))
    .option('--expires <when>', 'a new link that ends at a time: 2h, 7d, 2030-12-31', when)
    .option('--revoke', 'withdraw all links of the share')
    .action(async (share: string, options: Json & { role?: string; expires?: number; revoke?: boolean }) => {
      if (options.revoke === true) {
        const done = await ask(v.looseObject({ revoked: v.number() }), 'POST', inShare(share, 'revoke-links'))
        print(
          options.json,
          done,
          ({ revoked }) => `${revoked} ${revoked === 1 ? 'link' : 'links'} withdrawn.`,
        )
        return
      }
      const body = { role: options.role, expires: options.expires }
      print(
        options.json,
        await ask(answers.LinkSchema, 'POST', inShare(share, 'link'), body),
        ({ link }) => link,
      )
    })

  command('invites', 'what others offer me').action(async ({ json }: Json) => {
    print(json, await ask(answers.InvitesSchema, 'GET', '/invites'), (invites) =>
      invites.length === 0
        ? 'No invites.'
        : table(
            invites.map((invite) => [
              invite.id,
              `${safe(invite.from.name)} shares "${safe(invite.name)}"`,
              `you ${roleWords[invite.role] ?? ''}`,
              time(invite.at),
            ]),
          ),
    )
  })

  command('accept <invite>', 'accept an invite or a link')
    .requiredOption('--to <path>', 'folder to keep it in')
    .addOption(new Option('--mode <mode>', 'how changes travel').choices(MODES))
    .action(async (invite: string, options: Json & { to: string; mode?: string }) => {
      needTwoWay(options.mode)
      const { resolve } = await import('node:path')
      const body = { invite, to: resolve(options.to) }
      print(
        options.json,
        await ask(answers.AcceptedSchema, 'POST', '/accept', body),
        ({ path }) => `Accepted into ${path}.`,
      )
    })
  command('decline <invite>', 'decline an invite; its sender is told').action(
    async (invite: string, { json }: Json) => {
      print(json, await ask(answers.AnySchema, 'POST', '/decline', { invite }), () => 'Declined.')
    },
  )

  command('shares', 'what I share and what is shared with me').action(async ({ json }: Json) => {
    print(json, await ask(answers.SharesSchema, 'GET', '/shares'), (shares) =>
      table(
        shares.map((share) => [
          safe(share.name),
          share.path,
          share.members
            .filter(({ status, me }) => status === 'active' && !me)
            .map(({ name, role }) => `${safe(name)} (${roleWords[role] ?? role})`)
            .join(', '),
        ]),
      ),
    )
  })
  command('members <share>', 'who is in a share').action(async (share: string, { json }: Json) => {
    print(json, await ask(answers.MembersSchema, 'GET', inShare(share, 'members')), (members) =>
      table(
        members.map((member) => [
          safe(member.name),
          roleWords[member.role] ?? member.role,
          member.status === 'active' ? (member.online ? 'online' : 'offline') : member.status,
        ]),
      ),
    )
  })
  command('unshare <share>', 'stop sharing; everybody keeps the files he has')
    .option('--with <name>', 'with this person alone')
    .action(async (share: string, options: Json & { with?: string }) => {
      print(
        options.json,
        await ask(answers.AnySchema, 'POST', inShare(share, 'unshare'), { with: options.with }),
        () =>
          options.with === undefined
            ? 'No longer shared with anybody.'
            : `No longer shared with ${options.with}.`,
      )
    })
  command('leave <share>', 'leave a share; the files stay').action(async (share: string, { json }: Json) => {
    print(json, await ask(answers.AnySchema, 'POST', inShare(share, 'leave')), () => 'Left. Your files stay.')
  })
  command('confirm <share>', 'let a held-back mass deletion go on').action(
    async (share: string, { json }: Json) => {
      print(json, await ask(answers.AnySchema, 'POST', inShare(share, 'confirm')), () => 'Confirmed.')
    },
  )

  command('wait [share]', 'return when everything is in sync with everybody who can be reached')
    .option('--timeout <s>', 'give up after this many seconds', seconds, 60)
    .action(async (share: string | undefined, options: Json & { timeout: number }) => {
      print(
        options.json,
        await ask(answers.AnySchema, 'POST', '/wait', { share, timeout: options.timeout }),
        () => 'In sync.',
      )
    })

  command('events', 'what happened')
    .option('--follow', 'go on as things happen')
    .action(async (options: Json & { follow?: boolean }) => {
      const show = (event: answers.EventAnswer): string =>
        [
          time(event.at),
          event.type,
          safe(event.by?.name ?? ''),
          safe(
            event.path ??
              event.detail?.message ??
              event.detail?.name ??
              (event.detail?.count === undefined ? '' : files(event.detail.count)),
          ),
        ].join('  ')
      if (options.follow !== true) {
        print(options.json, await ask(v.array(answers.EventSchema), 'GET', '/events/log'), (events) =>
          events.map(show).join('\n'),
        )
        return
      }
      const client = await connectClient(home())
      const stop = new AbortController()
      process.once('SIGINT', () => stop.abort())
      try {
        for await (const line of client.events(stop.signal)) {
          process.stdout.write(
            options.json === true ? `${line}\n` : `${show(v.parse(answers.EventSchema, JSON.parse(line)))}\n`,
          )
        }
      } catch (error) {
        if (!stop.signal.aborted) throw error
      }
    })

  command('conflicts', 'files that two people changed at once').action(async ({ json }: Json) => {
    print(json, await ask(answers.ConflictsSchema, 'GET', '/conflicts'), (conflicts) =>
      conflicts.length === 0 ? 'No conflicts.' : conflicts.map(({ path }) => safe(path)).join('\n'),
    )
  })
  command('history <path>', 'versions of a file, given as SHARE/PATH').action(
    async (path: string, { json }: Json) => {
      print(json, await ask(answers.HistorySchema, 'POST', '/history', { path }), (versions) =>
        table(
          versions.map((version) => [
            version.version,
            time(version.at),
            safe(version.by.name),
            version.kind === 'deleted'
              ? 'deleted'
              : version.size === undefined
                ? version.kind
                : bytes(version.size),
            version.current ? 'current' : '',
          ]),
        ),
      )
    },
  )
  command('restore <path> <version>', 'put an old version back, given as SHARE/PATH').action(
    async (path: string, version: string, { json }: Json) => {
      print(json, await ask(answers.AnySchema, 'POST', '/restore', { path, version }), () => 'Restored.')
    },
  )
  program
    .command('relay')
    .description('run a relay alone ("cofolder relay --help" tells how)')
    .helpOption(false)
  return program
}

/** The other modes are not built yet: refusing them is better than syncing otherwise than asked. */
function needTwoWay(mode: string | undefined): void {
  if (mode !== undefined && mode !== 'two-way') {
    throw new CommandError(`mode "${mode}" is not available yet: only two-way is`)
  }
}
