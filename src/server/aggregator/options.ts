// Command line of virshim-aggregatord.
import { parseArgs } from 'node:util'
import { UsageError } from '../options.ts'

export interface AggregatorOptions {
  root: string | undefined
  /** patterns of API sockets of shims that lie elsewhere */
  watch: string[]
  logLevel: string
}

export const USAGE = `usage: virshim-aggregatord [OPTIONS]
One view of every guest of this host, and of who holds what. Ending it touches no guest.

  --root DIR              sockets in DIR, guests in DIR/guests
  --watch GLOB            API sockets of other shims, e.g. '/run/pods/*/api.sock'; may come several times
  --log-level LEVEL       trace, debug, info, warn, error (info)
  --help, --version
`

/** Reads the arguments; 'help' and 'version' when those are asked for. @throws UsageError */
export function readOptions(argv: string[]): AggregatorOptions | 'help' | 'version' {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(argv)
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  const { values } = parsed
  if (values.help) return 'help'
  if (values.version) return 'version'
  if (!['trace', 'debug', 'info', 'warn', 'error'].includes(values['log-level'])) {
    throw new UsageError(`--log-level: '${values['log-level']}' is unknown`)
  }
  return { root: values.root, watch: values.watch, logLevel: values['log-level'] }
}

function parse(args: string[]) {
  const flag = { type: 'boolean', default: false } as const
  return parseArgs({
    args,
    options: {
      root: { type: 'string' },
      watch: { type: 'string', multiple: true, default: [] },
      'log-level': { type: 'string', default: 'info' },
      help: { ...flag, short: 'h' },
      version: { ...flag, short: 'V' }
    }
  })
}
