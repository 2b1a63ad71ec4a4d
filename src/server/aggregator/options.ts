// Command line of virshim-aggregatord.
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { toVirError } from '../../conf/error.ts'
import type { UidRange } from '../../host/owner.ts'
import { SOCKET_PATH_MAX } from '../../state/root.ts'
import { MIGRATION_USAGE, type MigrationConfig, migrationOptions, readMigrationConfig } from '../migration-options.ts'
import { isSeconds, readSecondary, readSocketAccess, readUidRange, UsageError } from '../options.ts'
import { libvirtDirectory } from '../rpc/libvirt-sockets.ts'
import type { SocketAccess } from '../socket-access.ts'
import { DEFAULT_OVERCOMMITS, type Overcommits, parseOvercommits } from './budget.ts'

export interface AggregatorOptions {
  root: string | undefined
  /** patterns of API sockets of shims that lie elsewhere */
  watch: string[]
  logLevel: string
  /** seconds after which the shim of a guest that is shut off ends, when nobody asks for it */
  idleTimeoutS: string
  /** listen at libvirt's own socket path, and with -ro after it */
  libvirtSocket: string | undefined
  /** directory of the sockets of libvirt's daemons for networks, storage and so on */
  secondary: string | undefined
  /** directory of hook scripts for the guests' shims, or none; absent: theirs */
  hooks: string | undefined
  /** users for the guests' shims to run QEMU as, each guest's one of its own */
  uidRange: UidRange | undefined
  /** each guest's QEMU gets a view of the host's files of its own */
  confine: boolean
  /** settings of migrations, for the guests' shims */
  migration: MigrationConfig
  /** permissions of the sockets that are not read-only */
  access: SocketAccess
  /** limits of all guests together */
  overcommits: Overcommits
  /** time a claim is kept without a report that tells of it; absent: as long as a start may take */
  claimGraceMs: number | undefined
}

export const USAGE = `usage: virshim-aggregatord [OPTIONS]
One view of every guest of this host, and of who holds what. Ending it touches no guest.

  --root DIR              sockets in DIR, guests in DIR/guests
  --watch GLOB            API sockets of other shims, e.g. '/run/pods/*/api.sock'; may come several times
  --secondary DIR|none    directory of the sockets of libvirt's daemons, which do networks, storage, secrets and devices
                          (/run/libvirt, or this user's)
  --libvirt-socket [PATH] listen where libvirt's clients look for libvirtd (/run/libvirt/libvirt-sock) too
  --hooks DIR|none        hook scripts for all guests, as virshimd has it
  --uid-range FIRST-LAST  run each guest's QEMU as one of these users, as virshimd has it
  --confine               confine each guest's QEMU, as virshimd has it
  --socket-group GROUP    let this group use all sockets (libvirtd's unix_sock_group)
  --socket-mode MODE      permissions of api.sock, libvirt-sock and claims.sock, in octal (600, with a group 660); the
                          read-only ones of root's aggregator are open to all
  --overcommit KIND=RATIO:POLICY,…
                          how much of memory, hugepages and vcpu guests may have together, as a multiple of what the host
                          has, and what becomes of a start beyond it: refuse, warn, off
                          (memory=1:warn,hugepages=1:refuse,vcpu=16:warn)
  --claim-grace S         a claim of a guest that never reports is dropped after S seconds (60)
  --idle-timeout S        shims of guests that are shut off end when nobody asks for S seconds (30)
${MIGRATION_USAGE}\
  --log-level LEVEL       trace, debug, info, warn, error (info)
  --help, --version
`

/** Reads the arguments; 'help' and 'version' when those are asked for. @throws UsageError */
export function readOptions(argv: string[]): AggregatorOptions | 'help' | 'version' {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(withSocketPath(argv))
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  const { values } = parsed
  if (values.help) return 'help'
  if (values.version) return 'version'
  if (!isSeconds(values['idle-timeout'])) {
    throw new UsageError(`--idle-timeout: '${values['idle-timeout']}' is not a number of seconds`)
  }
  if (!['trace', 'debug', 'info', 'warn', 'error'].includes(values['log-level'])) {
    throw new UsageError(`--log-level: '${values['log-level']}' is unknown`)
  }
  const { 'claim-grace': grace } = values
  if (grace !== undefined && !(isSeconds(grace) && Number(grace) > 0)) {
    throw new UsageError(`--claim-grace: '${grace}' is not a number of seconds`)
  }
  const { 'libvirt-socket': libvirtSocket } = values
  if (Buffer.byteLength(`${libvirtSocket}-ro`) > SOCKET_PATH_MAX) {
    throw new UsageError(`--libvirt-socket: '${libvirtSocket}' is too long for a socket's path`)
  }
  return {
    root: values.root,
    watch: values.watch,
    logLevel: values['log-level'],
    idleTimeoutS: values['idle-timeout'],
    libvirtSocket,
    secondary: readSecondary(values.secondary),
    access: readSocketAccess(values['socket-group'], values['socket-mode']),
    hooks: values.hooks === undefined || values.hooks === 'none' ? values.hooks : resolve(values.hooks),
    uidRange: readUidRange(values['uid-range']),
    confine: values.confine,
    migration: readMigrationConfig(values),
    overcommits: readOvercommits(values.overcommit),
    claimGraceMs: grace === undefined ? undefined : Number(grace) * 1000
  }
}

function readOvercommits(given: string[]): Overcommits {
  try {
    return given.reduce((onto, text) => parseOvercommits(text, onto), DEFAULT_OVERCOMMITS)
  } catch (error) {
    throw new UsageError(`--overcommit: ${toVirError(error).detail}`)
  }
}

/** `--libvirt-socket` alone means libvirt's own path. */
function withSocketPath(argv: string[]): string[] {
  return argv.map((word, i) =>
    word === '--libvirt-socket' && (argv[i + 1] ?? '-').startsWith('-')
      ? `${word}=${join(libvirtDirectory(), 'libvirt-sock')}`
      : word
  )
}

function parse(args: string[]) {
  const flag = { type: 'boolean', default: false } as const
  return parseArgs({
    args,
    options: {
      root: { type: 'string' },
      watch: { type: 'string', multiple: true, default: [] },
      secondary: { type: 'string' },
      'libvirt-socket': { type: 'string' },
      hooks: { type: 'string' },
      'uid-range': { type: 'string' },
      confine: flag,
      ...migrationOptions,
      'socket-group': { type: 'string' },
      'socket-mode': { type: 'string' },
      overcommit: { type: 'string', multiple: true, default: [] },
      'claim-grace': { type: 'string' },
      'idle-timeout': { type: 'string', default: '30' },
      'log-level': { type: 'string', default: 'info' },
      help: { ...flag, short: 'h' },
      version: { ...flag, short: 'V' }
    }
  })
}
