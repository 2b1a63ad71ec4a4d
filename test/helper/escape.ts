// Runs a program in the place of a QEMU: in its namespaces and control groups, as its user, with its capabilities and no
// more privileges than it could get. It has not the filter of system calls that QEMU sets up for itself.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** What is tried: paths, and processes by what they are called. */
export interface Targets {
  read: string[]
  write: string[]
  list: string[]
  connect: string[]
  processes: Record<string, number>
  devices: string[]
  /** mount points that hide something */
  covers: string[]
  /** directories that nobody but root may pass */
  hidden: string[]
  /** a directory that QEMU may write to */
  writable: string
}

/** Fields of /proc/PID/status. */
export function processStatus(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n')
  return Object.fromEntries(lines.map(line => line.split(/:\s*/) as [string, string]))
}

const CGROUPS = '/sys/fs/cgroup'

/** A process's groups of v1, by controller. */
export function groupsOf(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')
  const all = lines.map(line => line.split(':') as [string, string, string])
  return Object.fromEntries(all.map(([, name, path]) => [name, join(CGROUPS, name, path)]))
}

/** A shell that moves into control groups and becomes what follows. */
const ENTER = 'for group; do shift; [ "$group" = -- ] && break; echo $$ > "$group/cgroup.procs"; done; exec "$@"'

/** What succeeds changes a copy of the namespaces, and not those of QEMU, or of the host. */
const COPIED = ['unshare', '--mount', '--uts', '--propagation', 'private', '--']

/** What came of each attempt: null, or what it got. */
export function escapeFrom(qemu: number, targets: Targets): Record<string, string | null> {
  const { Uid, Gid, Groups, NoNewPrivs, CapBnd } = processStatus(qemu)
  const [uid] = Uid!.split('\t')
  if (uid === '0') throw new Error('root gets at all, and would')
  const [gid] = Gid!.split('\t')
  const groups = Groups!.trim().split(' ').filter(Boolean)
  const group = groupsOf(qemu).devices!
  const disk = statSync('/').dev
  const ask = { ...targets, group: join(group, 'devices.allow'), disk: [disk >> 8, disk & 0xff] }
  const bounding = Number.parseInt(CapBnd!, 16) === 0 ? ['--inh-caps=-all', '--bounding-set=-all'] : []
  const setpriv = [
    ...['setpriv', ...bounding, ...(NoNewPrivs === '1' ? ['--no-new-privs'] : [])],
    ...[`--reuid=${uid}`, `--regid=${gid}`, groups.length > 0 ? `--groups=${groups}` : '--clear-groups', '--']
  ]
  const limit = /^Max core file size\s+(\S+)/m.exec(readFileSync(`/proc/${qemu}/limits`, 'utf8'))![1]
  const { status, stdout, stderr } = spawnSync(
    'sh',
    [
      ...['-c', ENTER, 'sh', ...(existsSync(group) ? [group] : []), '--'],
      ...['prlimit', `--core=${limit}`, 'nsenter', `--target=${qemu}`, '--mount', '--ipc', '--', ...COPIED, ...setpriv],
      ...['/usr/bin/python3', '-ISc', readFileSync('test/helper/escape.py', 'utf8'), JSON.stringify(ask)]
    ],
    { encoding: 'utf8', timeout: 120_000 }
  )
  if (status !== 0) throw new Error(`the escape could not be tried: ${stderr}`)
  return JSON.parse(stdout)
}

/** The attempts that got something. */
export const gains = (result: Record<string, string | null>): string[] =>
  Object.entries(result).flatMap(([name, what]) => (what === null ? [] : [`${name}: ${what}`]))
