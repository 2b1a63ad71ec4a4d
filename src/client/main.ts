// The client: global options, then one command.
import { readArguments } from './arguments.ts'
import { findCommand } from './commands/index.ts'
import { printHelp } from './commands/self.ts'
import { ClientError } from './failure.ts'
import { type GlobalOptions, Session } from './session.ts'

const USAGE = `
virshim [options]... <command> [args...]

  options:
    -c | --connect=SOCKET|DIR|URI  socket or root of a guest or the aggregator, directory of guests, or a qemu URI
    -h | --help                    this help
    -q | --quiet                   quiet mode
    -r | --readonly                connect readonly
    -v | --version                 version of virshim

  'virshim help' lists the commands.
`

const EXIT_OK = 0
const EXIT_FAILED = 1

/** Runs the client with the words behind its name; gives the exit status. */
export async function main(words: string[], version: string): Promise<number> {
  // whoever read what we say has gone away, as `head` does
  process.stdout.on('error', error => {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(EXIT_FAILED)
    throw error
  })
  let session = new Session({ connect: process.env.VIRSHIM_CONNECT, quiet: false, readOnly: false })
  try {
    const { options, help, showVersion, rest } = globalOptions(words)
    session = new Session({ ...session.options, ...options })
    if (showVersion) session.print(`${version}\n`)
    else if (help) session.print(USAGE)
    if (showVersion || help) return EXIT_OK
    const [name, ...args] = rest
    if (name === undefined) {
      process.stderr.write(USAGE)
      return EXIT_FAILED
    }
    const command = findCommand(name)
    if (!command) throw new ClientError(`unknown command: '${name}'`)
    const given = readArguments(name, command.options, args)
    try {
      if (given.has('help')) printHelp(session, name, command)
      else await command.run(session, given)
    } finally {
      // virsh ends every command with an empty line
      if (!command.hidden && !given.has('json')) session.printExtra('\n')
    }
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    for (const line of error.lines) process.stderr.write(`error: ${line}\n`)
    return EXIT_FAILED
  }
}

interface Global {
  options: Partial<GlobalOptions>
  help: boolean
  showVersion: boolean
  /** command and its words */
  rest: string[]
}

function globalOptions(words: string[]): Global {
  const options: Partial<GlobalOptions> = {}
  let at = 0
  for (; at < words.length; at++) {
    const word = words[at]!
    const [, long, value] = /^(--connect)=(.*)$/s.exec(word) ?? /^(-c)(.+)$/s.exec(word) ?? []
    if (long) options.connect = value
    else if (word === '-c' || word === '--connect') {
      if (words[++at] === undefined) throw new ClientError(`option '${word}' requires an argument`)
      options.connect = words[at]
    } else if (word === '-q' || word === '--quiet') options.quiet = true
    else if (word === '-r' || word === '--readonly') options.readOnly = true
    else if (word === '-h' || word === '--help') return { options, help: true, showVersion: false, rest: [] }
    else if (word === '-v' || word === '-V' || word === '--version') {
      return { options, help: false, showVersion: true, rest: [] }
    } else if (word.startsWith('-')) {
      throw new ClientError(`unsupported option '${word}'. See --help.`)
    } else break
  }
  return { options, help: false, showVersion: false, rest: words.slice(at) }
}
