// Command line of virshimd.
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { toVirError } from '../conf/error.ts'
import { groupId } from '../host/ids.ts'
import type { UidRange } from '../host/owner.ts'
import { hookDirectories } from '../state/root.ts'
import { MIGRATION_USAGE, type MigrationConfig, migrationOptions, readMigrationConfig } from './migration-options.ts'
import { libvirtDirectory } from './rpc/libvirt-sockets.ts'
import { GROUP_MODE, OWNER_ONLY, type SocketAccess } from './socket-access.ts'
import { UsageError } from './usage-error.ts'

export interface Options {
  xmlFile: string | undefined
  root: string | undefined
  detach: boolean
  /** we are what --detach has left running */
  background: boolean
  /** the guest is destroyed when our starter lets go of us */
  tied: boolean
  paused: boolean
  autoDestroy: boolean
  define: boolean
  /** refuse XML elements and attributes that are not known */
  validate: boolean
  resetNvram: boolean
  /** the image of a guest's memory that it is to go on from */
  restore: string | undefined
  /** it is to run, whatever the image says */
  running: boolean
  /** the image is read past the page cache */
  bypassCache: boolean
  /** connections to read the image through at once */
  channels: number | undefined
  /** the guest is to come from elsewhere: it is waited for, and served until then */
  awaitMigration: boolean
  /** serve the definition without starting the guest */
  inactive: boolean
  /** serve a persistent guest on when it is shut off */
  linger: boolean
  idleTimeoutS: number
  /** the guest of that name below the user's directories */
  name: string | undefined
  shutdownTimeoutS: number
  /** socket of the aggregator, or none */
  aggregator: string | undefined
  /** directory of the sockets of libvirt's other daemons, or none */
  secondary: string | undefined
  /** permissions of the sockets */
  access: SocketAccess
  user: string | undefined
  group: string | undefined
  /** users, of which each guest's QEMU has one of its own */
  uidRange: UidRange | undefined
  /** QEMU gets a view of the host's files of its own */
  confine: boolean
  /** directories of hook scripts, the first that has any counts */
  hookDirs: string[]
  /** settings of migrations */
  migration: MigrationConfig
  logLevel: string
}

export const USAGE = `usage: virshimd [OPTIONS] GUEST.xml
Runs one guest from libvirt domain XML (- is standard input) and serves its API until it is gone.

  --root DIR              everything of the guest lies below DIR
  --name NAME             the guest of that name, below the user's directories
  --detach                return once the guest runs; then log to DIR/log/virshimd.log
  --paused                start with CPUs stopped
  --autodestroy           the guest dies with this process
  --define                keep the definition as persistent (DIR/domain.xml)
  --validate              refuse XML elements and attributes that are not known
  --reset-nvram           make the UEFI variables anew from their template
  --restore FILE          go on from a saved image; without GUEST.xml by the definition in it
  --running               then run, whatever the image says; --paused too is heard then
  --bypass-cache          read the saved image past the page cache
  --parallel-channels N   read it through so many connections
  --await-migration       the guest comes from another host: wait for who brings it, 30 s
  --inactive              do not start the guest: serve it as it is, also shut off
  --linger                serve a persistent guest on after its end; --inactive does so too
  --idle-timeout S        of a guest that is shut off, end when nobody asks for S seconds (30)
  --json                  say on standard output, in JSON lines, what became of it
  --shutdown-timeout S    on SIGTERM force the guest off after S seconds (30)
  --aggregator SOCKET|none
                          who keeps account of the host's resources (this user's virshim-aggregatord, if there is one)
  --user NAME             run QEMU as this user (root only)
  --group NAME            and in this group rather than the user's own
  --uid-range FIRST-LAST  run QEMU as one of these users, which no other guest has; it is given the guest's files (root only)
  --confine               show QEMU no files and devices of the host but the system's and its own (with --user or
                          --uid-range)
  --hooks DIR|none        hook scripts, as libvirt has them (this user's hooks, or for root those in /etc/libvirt/hooks)
  --secondary DIR|none    directory of the sockets of libvirt's daemons, which do networks, storage and secrets
                          (/run/libvirt, or this user's)
  --socket-group GROUP    let this group use the sockets (libvirtd's unix_sock_group)
  --socket-mode MODE      permissions of the sockets, in octal (600, with a group 660)
${MIGRATION_USAGE}\
  --log-level LEVEL       trace, debug, info, warn, error (info)
  --help, --version
`

export { UsageError }

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
  if (values.root !== undefined && values.name !== undefined)
    throw new UsageError('--root and --name exclude each other')
  if (values.running && values.paused) throw new UsageError('--running and --paused exclude each other')
  const isNamed = [values.root, values.name, values.restore].some(given => given !== undefined)
  if (positionals.length === 0 && !isNamed) throw new UsageError('GUEST.xml is missing')
  const seconds = (name: 'shutdown-timeout' | 'idle-timeout') => {
    const value = values[name]
    if (isSeconds(value)) return Number(value)
    throw new UsageError(`--${name}: '${values[name]}' is not a number of seconds`)
  }
  if ((values.user ?? values.group) !== undefined && process.getuid?.() !== 0) {
    throw new UsageError('--user and --group: only root can run QEMU as somebody else')
  }
  if (values.confine && process.getuid?.() !== 0) throw new UsageError('--confine: only root can do it')
  if (!['trace', 'debug', 'info', 'warn', 'error'].includes(values['log-level'])) {
    throw new UsageError(`--log-level: '${values['log-level']}' is unknown`)
  }
  return {
    xmlFile: positionals[0],
    root: values.root,
    detach: values.detach,
    background: values.background,
    paused: values.paused,
    tied: values.tied,
    autoDestroy: values.autodestroy,
    define: values.define,
    validate: values.validate,
    resetNvram: values['reset-nvram'],
    restore: values.restore === undefined ? undefined : resolve(values.restore),
    running: values.running,
    bypassCache: values['bypass-cache'],
    channels: readChannels(values['parallel-channels']),
    awaitMigration: values['await-migration'],
    inactive: values.inactive,
    linger: values.linger || values.inactive,
    idleTimeoutS: seconds('idle-timeout'),
    name: values.name,
    shutdownTimeoutS: seconds('shutdown-timeout'),
    aggregator: values.aggregator,
    secondary: readSecondary(values.secondary),
    access: readSocketAccess(values['socket-group'], values['socket-mode']),
    user: values.user,
    group: values.group,
    uidRange: readUidRange(values['uid-range'], values.user ?? values.group),
    confine: values.confine,
    hookDirs: hookDirs(values.hooks),
    migration: readMigrationConfig(values),
    logLevel: values['log-level']
  }
}

/** The highest there can be: the one above means none (chown(2)). */
const UID_MAX = 2 ** 32 - 2

/** --uid-range. @param other what --user or --group say @throws UsageError */
export function readUidRange(given: string | undefined, other?: string): UidRange | undefined {
  if (given === undefined) return undefined
  const [first = 0, last = 0] = (/^(\d{1,10})-(\d{1,10})$/.exec(given) ?? []).slice(1).map(Number)
  if (first < 1 || last < first || last > UID_MAX) {
    throw new UsageError(`--uid-range: '${given}' is no range of user ids, FIRST-LAST`)
  }
  if (other !== undefined) throw new UsageError('--uid-range excludes --user and --group')
  if (process.getuid?.() !== 0) throw new UsageError('--uid-range: only root can run QEMU as somebody else')
  return { first, last }
}

function readChannels(given: string | undefined): number | undefined {
  if (given === undefined || /^-?\d{1,9}$/.test(given)) return given === undefined ? undefined : Number(given)
  throw new UsageError(`--parallel-channels: '${given}' is not a number`)
}

/** --secondary, as a path that does not depend on where we are; undefined for none. */
export const readSecondary = (given: string = libvirtDirectory()): string | undefined =>
  given === 'none' ? undefined : resolve(given)

/** --socket-group and --socket-mode; a group may use its sockets unless the mode says otherwise. @throws UsageError */
export function readSocketAccess(group: string | undefined, mode: string | undefined): SocketAccess {
  if (mode !== undefined && !/^0?[0-7]{3}$/.test(mode)) {
    throw new UsageError(`--socket-mode: '${mode}' is not a mode in octal digits`)
  }
  const given = mode === undefined ? undefined : Number.parseInt(mode, 8)
  if (group === undefined) return { mode: given ?? OWNER_ONLY.mode }
  try {
    return { mode: given ?? GROUP_MODE, gid: groupId(group) }
  } catch (error) {
    throw new UsageError(`--socket-group: ${toVirError(error).detail}`)
  }
}

/** A timer holds no more ms than an int; longer ones end at once. */
const SECONDS_MAX = Math.floor((2 ** 31 - 1) / 1000)

/** True for a number of seconds that a timer can wait. */
export const isSeconds = (text: string): boolean => /^\d+(\.\d+)?$/.test(text) && Number(text) <= SECONDS_MAX

export function hookDirs(given: string | undefined): string[] {
  if (given === undefined) return hookDirectories()
  return given === 'none' ? [] : [resolve(given)]
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
      tied: flag,
      autodestroy: flag,
      define: flag,
      validate: flag,
      'reset-nvram': flag,
      restore: { type: 'string' },
      running: flag,
      'bypass-cache': flag,
      'parallel-channels': { type: 'string' },
      'await-migration': flag,
      inactive: flag,
      linger: flag,
      'idle-timeout': { type: 'string', default: '30' },
      name: { type: 'string' },
      json: flag,
      'shutdown-timeout': { type: 'string', default: '30' },
      aggregator: { type: 'string' },
      secondary: { type: 'string' },
      'socket-group': { type: 'string' },
      'socket-mode': { type: 'string' },
      user: { type: 'string' },
      group: { type: 'string' },
      'uid-range': { type: 'string' },
      confine: flag,
      hooks: { type: 'string' },
      ...migrationOptions,
      'log-level': { type: 'string', default: 'info' },
      help: { ...flag, short: 'h' },
      version: { ...flag, short: 'V' }
    }
  })
}
