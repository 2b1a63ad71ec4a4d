// Commands about the client: help and what shells complete with.
import type { Options } from '../arguments.ts'
import { type Command, type CommandGroup, type Commands, commandIn, option } from '../command.ts'
import { candidatesOf } from '../completion.ts'
import { ClientError } from '../failure.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

/** @param groups all commands, these included */
export const selfCommands = (groups: () => CommandGroup[]): Commands => ({
  help: {
    help: 'print help',
    options: { command: option.text('name of command or command group') },
    async run(session, given) {
      const name = given.text('command')
      if (name === undefined) {
        for (const group of groups()) printGroup(session, group)
        return
      }
      const command = commandIn(groups(), name)
      const group = groups().find(({ keyword, name: title }) => keyword === name || title === name)
      if (command) printHelp(session, name, command)
      else if (group) printGroup(session, group)
      else throw new ClientError(`command or command group '${name}' doesn't exist`)
    }
  },

  'api-coverage': {
    help: "print which of libvirt's APIs are there",
    options: { json: option.bool('one JSON array'), missing: option.bool('only those that are missing') },
    async run(session, given) {
      const { apiCoverage } = await import('../../drivers/qemu/coverage.ts')
      const all = apiCoverage()
      const rows = given.has('missing') ? all.filter(({ coverage }) => coverage === 'missing') : all
      if (given.has('json')) {
        session.print(`${JSON.stringify(rows)}\n`)
        return
      }
      const cells = rows.map(({ area, api, procedure, coverage }) => [api, procedure, coverage, area])
      session.print(formatTable(['API', 'Procedure', 'Coverage', 'Area'], cells, session.options.quiet))
      const counts = new Map<string, number>()
      for (const { coverage } of all) counts.set(coverage, (counts.get(coverage) ?? 0) + 1)
      session.printExtra(`\n${[...counts].map(([coverage, count]) => `${count} ${coverage}`).join(', ')}\n`)
    }
  },

  // `virshim complete -- WORDS`: what may follow, one a line; completions/ calls it
  complete: {
    help: 'print candidates for the last of some words',
    hidden: true,
    options: { word: option.argv('words of the command line so far') },
    async run(session, given) {
      const words = given.all('word')
      const last = words.at(-1) ?? ''
      const [name = '', ...rest] = words
      const known = () => candidatesOf(session, name, commandIn(groups(), name)?.options ?? {}, rest)
      const candidates = words.length < 2 ? commandNames(groups()) : await known()
      for (const word of candidates) if (word.startsWith(last)) session.print(`${word}\n`)
    }
  }
})

const commandNames = (groups: CommandGroup[]) =>
  groups.flatMap(({ commands }) => Object.keys(commands).filter(name => !commands[name]!.hidden))

function printGroup(session: Session, { name, keyword, commands }: CommandGroup): void {
  session.print(` ${name} (help keyword '${keyword}'):\n`)
  for (const [command, { help, hidden }] of Object.entries(commands)) {
    if (!hidden) session.print(`    ${command.padEnd(30)} ${help}\n`)
  }
  session.print('\n')
}

/** Help of one command, in virsh's form. */
export function printHelp(session: Session, name: string, { help, description, options }: Command): void {
  session.print(`  NAME\n    ${name} - ${help}\n\n  SYNOPSIS\n    ${[name, ...synopsis(options)].join(' ')}\n`)
  if (description !== undefined) session.print(`\n  DESCRIPTION\n    ${description.replaceAll('\n', '\n    ')}\n`)
  const lines = Object.entries(options).map(([option, { kind, required, help: words }]) => {
    const value = { bool: '', int: ' <number>', string: ' <string>', argv: ' <string>' }[kind]
    const shown = required || kind === 'argv' ? `[--${option}]${value}` : `--${option}${value}`
    return `    ${shown.padEnd(15)}  ${words}\n`
  })
  if (lines.length > 0) session.print(`\n  OPTIONS\n${lines.join('')}`)
  session.print('\n')
}

function synopsis(options: Options): string[] {
  return Object.entries(options).map(([name, { kind, required }]) => {
    if (kind === 'bool') return `[--${name}]`
    if (kind === 'argv') return required ? `{[--${name}] <string>}...` : `[[--${name}] <string>]...`
    if (required) return `<${name}>`
    return `[--${name} <${kind === 'int' ? 'number' : 'string'}>]`
  })
}
