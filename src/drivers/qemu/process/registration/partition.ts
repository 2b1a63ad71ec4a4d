// <partition>: the group guests lie in together, as control groups and as a systemd slice.
import { readFileSync } from 'node:fs'
import { errorsFrom } from '../../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_NONE')

export const DEFAULT_PARTITION = '/machine'
/** Top partitions that systemd names too. */
const TOP = ['machine', 'system', 'user']

/** Names of the kernel's own files: `cgroup.procs`, `cpu.shares`. */
function clashes(name: string): boolean {
  if (/^(cgroup\.|_|\.)/.test(name)) return true
  try {
    const controllers = readFileSync('/proc/cgroups', 'utf8').split('\n').slice(1)
    return controllers.some(line => line !== '' && name.startsWith(`${line.split('\t')[0]}.`))
  } catch {
    return false
  }
}

/** A name as a directory in a control group (virCgroupPartitionEscape). */
export const escapeGroup = (name: string): string => (clashes(name) ? `_${name}` : name)

/**
 * The directories of a partition below the top group (virCgroupSetPartitionSuffix).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for a partition that is no absolute path
 */
export function partitionGroups(partition: string): string[] {
  if (!partition.startsWith('/')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Resource partition '${partition}' must start with '/'`)
  }
  const names = partition.split('/').filter(name => name !== '')
  if (names.some(name => name === '..' || name === '.')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Resource partition '${partition}' must not lead upwards`)
  }
  return names.map((name, i) => {
    if (i === 0 && TOP.includes(name)) return name
    return escapeGroup(name.includes('.') ? name : `${name}.partition`)
  })
}

/** A name in that of a systemd unit (virSystemdEscapeName). */
export function escapeUnit(name: string): string {
  return [...Buffer.from(name)]
    .map((byte, i) => {
      const char = String.fromCharCode(byte)
      if (char === '/') return '-'
      if (/[0-9a-zA-Z:_]/.test(char) || (char === '.' && i > 0)) return char
      return `\\x${byte.toString(16).padStart(2, '0')}`
    })
    .join('')
}

/** The slice of a partition (virSystemdMakeSliceName). */
export const sliceName = (partition: string): string => `${escapeUnit(partition.replace(/^\//, ''))}.slice`

/** The scope systemd-machined gives a machine of that name (virSystemdMakeScopeName). */
export const scopeName = (machine: string): string => `machine-${escapeUnit(machine)}.scope`
