// Candidates to follow some words of a command line, for shells to complete with.
import { virDomainState } from '../conf/enums.ts'
import type { Options } from './arguments.ts'
import type { Report } from './connection.ts'
import type { Session } from './session.ts'

type Wanted = (report: Report) => boolean

const { VIR_DOMAIN_RUNNING, VIR_DOMAIN_PAUSED, VIR_DOMAIN_SHUTOFF } = virDomainState
const PLAIN_STATES: readonly number[] = [VIR_DOMAIN_RUNNING, VIR_DOMAIN_PAUSED, VIR_DOMAIN_SHUTOFF]

const isActive: Wanted = ({ id }) => id !== -1
const isRunning: Wanted = ({ state }) => state === VIR_DOMAIN_RUNNING

/** The guests a command is for, as virsh's completers have them; one that is not here is for any. */
const GUESTS: Record<string, Wanted> = {
  start: report => !isActive(report),
  domrename: report => !isActive(report),
  suspend: isRunning,
  dompmsuspend: isRunning,
  // VIR_CONNECT_LIST_DOMAINS_OTHER
  dompmwakeup: ({ state }) => !PLAIN_STATES.includes(state),
  resume: ({ state }) => state === VIR_DOMAIN_PAUSED,
  'managedsave-dumpxml': ({ managedSave }) => managedSave,
  'managedsave-define': ({ managedSave }) => managedSave,
  'managedsave-edit': ({ managedSave }) => managedSave,
  'managedsave-remove': ({ managedSave }) => managedSave,
  ...Object.fromEntries(
    ['current', 'delete', 'dumpxml', 'edit', 'info', 'list', 'parent', 'revert'].map(command => [
      `snapshot-${command}`,
      ({ snapshots }: Pick<Report, 'snapshots'>) => snapshots
    ])
  ),
  'checkpoint-delete': report => report.checkpoints && isActive(report),
  ...Object.fromEntries(
    ['dumpxml', 'edit', 'info', 'list', 'parent'].map(name => [
      `checkpoint-${name}`,
      ({ checkpoints }: Report) => checkpoints
    ])
  ),
  ...Object.fromEntries(
    [
      ...[
        'backup-begin',
        'backup-dumpxml',
        'blockcommit',
        'blockcopy',
        'blockjob',
        'blockpull',
        'blockresize',
        'checkpoint-create',
        'checkpoint-create-as',
        'console',
        'cpu-stats',
        'destroy',
        'domblkerror',
        'domblkstat',
        'domblkthreshold',
        'domcontrol',
        'domdisplay',
        'domhostname',
        'domid'
      ],
      ...['domjobabort', 'domjobinfo', 'dump'],
      ...['migrate-compcache', 'migrate-getmaxdowntime', 'migrate-getspeed', 'migrate-postcopy'],
      ...['migrate-setmaxdowntime', 'migrate-setspeed'],
      ...['domfsfreeze', 'domfsinfo', 'domfsthaw', 'domfstrim', 'domifaddr', 'domifstat', 'dommemstat', 'domtime'],
      ...['get-user-sshkeys', 'guestinfo', 'guestvcpus', 'inject-nmi', 'qemu-agent-command'],
      ...['qemu-monitor-command', 'reboot', 'reset', 'screenshot', 'send-key', 'set-user-password', 'set-user-sshkeys'],
      ...['managedsave', 'save', 'shim-detach', 'shutdown', 'ttyconsole', 'vncdisplay']
    ].map(command => [command, isActive])
  )
}

/**
 * Candidates for the last of the words behind a command's name: options not given yet, values of an option that has a
 * few, and guests where one is asked for. None where nothing is known of that word.
 */
export async function candidatesOf(
  session: Session,
  command: string,
  options: Options,
  words: string[]
): Promise<string[]> {
  const before = words.slice(0, -1)
  if (words.at(-1)!.startsWith('-')) {
    return Object.keys(options)
      .map(option => `--${option}`)
      .filter(option => !before.includes(option))
  }
  const optionOf = (word = '') => (word.startsWith('--') ? options[word.slice(2)] : undefined)
  const takesValue = (word?: string) => ['int', 'string', 'argv'].includes(optionOf(word)?.kind ?? 'bool')
  const asked = before.at(-1)
  const values = optionOf(asked)?.values
  if (values) return [...values]
  const hasGuest =
    before.includes('--domain') || before.some((word, i) => !word.startsWith('-') && !takesValue(before[i - 1]))
  const wantsGuest = asked === '--domain' || ('domain' in options && !hasGuest && !takesValue(asked))
  if (!wantsGuest) return []
  const guests = (await session.guests()).map(({ report }) => report).filter(GUESTS[command] ?? (() => true))
  return guests.map(({ name, uuid }) => (command === 'domname' ? uuid : name))
}
