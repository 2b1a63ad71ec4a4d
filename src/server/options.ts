// Command line of virshimd.
import { parseArgs } from 'node:util'

export interface Options {
  xmlFile: string | undefined
  root: string | undefined
  detach: boolean
  /** we are what --detach has left running */
  background: boolean
  paused: boolean
  autoDestroy: boolean
  define: boolean
  shutdownTimeoutS: number
  user: string | undefined
  group: string | undefined
  logLevel: string
}

export const USAGE = `usage: virshimd [OPTIONS] GUEST.xml
Runs one guest from libvirt domain XML and serves its API until it is gone.

  --root DIR              everything of the guest lies below DIR
  --detach                return once the guest runs; then log to DIR/log/virshimd.log
  --paused                start with CPUs stopped
  --autodestroy           the guest dies with this process
  --define                keep the definition as persistent (DIR/domain.xml)
  --shutdown-timeout S    on SIGTERM force the guest off after S seconds (30)
  --user NAME             run QEMU as this user (root only)
  --group NAME            and group
  --log-level LEVEL       trace, debug, info, warn, error (info)
  --help, --version
`

/** What the user asked for in vain; ends with status 2. */
export class UsageError extends Error {}

/** Reads the arguments; 'help' and 'version' when those are asked for. @throws UsageError */
export function readOptions(argv: string[]): Options | 'help' | 'version' {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(argv)
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  const { values, positionals } = parsed
  if (values.help) return 'help'
  if (values.version) return 'version'
  if (positionals.length > 1) throw new UsageError(`one guest per process, not ${positionals.length}`)
  if (positionals.length === 0 && values.root === undefined) throw new UsageError('GUEST.xml is missing')
  const shutdownTimeoutS = Number(values['shutdown-timeout'])
  if (!(shutdownTimeoutS >= 0))
    throw new UsageError(`--shutdown-timeout: '${values['shutdown-timeout']}' is not a number of seconds`)
  if (!['trace', 'debug', 'info', 'warn', 'error'].includes(values['log-level'])) {
    throw new UsageError(`--log-level: '${values['log-level']}' is unknown`)
  }
  return {
    xmlFile: positionals[0],
    root: values.root,
    detach: values.detach,
    background: values.background,
    paused: values.paused,
    autoDestroy: values.autodestroy,
    define: values.define,
    shutdownTimeoutS,
    user: values.user,
    group: values.group,
    logLevel: values['log-level']
  }
}

function parse(args: string[]) {
  const flag = { type: 'boolean', default: false } as const
  return parseArgs({
    args,
    allowPositionals: true,
    options: {
      root: { type: 'string' },
      detach: flag,
      background: flag,
      paused: flag,
      autodestroy: flag,
      define: flag,
      'shutdown-timeout': { type: 'string', default: '30' },
      user: { type: 'string' },
      group: { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
      help: { ...flag, short: 'h' },
      version: { ...flag, short: 'V' }
    }
  })
}
