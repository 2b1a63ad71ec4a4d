// Identity of the host, and abilities besides running guests: to sleep, to isolate devices.
import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { uuid as uuidScalar } from '../conf/scalar.ts'
import { callService } from './bus.ts'
import { hostFile } from './root.ts'
import { readText } from './topology.ts'

/** Files with the host's UUID from the firmware; only root may read them. */
const DMI_UUID = ['/sys/devices/virtual/dmi/id/product_uuid', '/sys/class/dmi/id/product_uuid']

/**
 * The host's UUID (virGetHostUUID). Differs from libvirt: where the firmware tells none it is made from the machine id,
 * not drawn anew by every daemon, as all shims of a host must agree on it.
 */
export function hostUuid(): string | undefined {
  for (const path of DMI_UUID) {
    const told = uuidScalar.parse(readText(path) ?? '')
    if (told !== undefined && new Set(told.replaceAll('-', '')).size > 1) return told
  }
  const machine = readText('/etc/machine-id')
  return machine ? uuidOfMachine(machine) : undefined
}

/** UUID of the host with that machine id, which itself is told nobody. */
export function uuidOfMachine(id: string): string {
  const hash = createHash('sha256').update(`virshim host ${id}`).digest('hex')
  return uuidScalar.parse(hash.slice(0, 32))!
}

/** True if the host has an IOMMU that is in use (virHostHasIOMMU). */
export function hasIommu(): boolean {
  try {
    return readdirSync(hostFile('/sys/kernel/iommu_groups')).length > 0
  } catch {
    return false
  }
}

/** Ways to sleep in the order of virNodeSuspendTarget: in capabilities, for logind, as a command, in words. */
export const SUSPEND_TARGETS = [
  { name: 'suspend_mem', ask: 'CanSuspend', command: 'pm-suspend', words: 'Suspend-to-RAM' },
  { name: 'suspend_disk', ask: 'CanHibernate', command: 'pm-hibernate', words: 'Suspend-to-Disk' },
  { name: 'suspend_hybrid', ask: 'CanHybridSleep', command: 'pm-suspend-hybrid', words: 'Hybrid-Suspend' }
] as const
export type SuspendTarget = (typeof SUSPEND_TARGETS)[number]

const LOGIND = {
  service: 'org.freedesktop.login1',
  path: '/org/freedesktop/login1',
  interface: 'org.freedesktop.login1.Manager'
}

let known: Promise<SuspendTarget[]> | undefined

/** Ways the host can sleep, asked of logind once; none if it does not answer (virNodeSuspendGetTargetMask). */
export function suspendTargets(): Promise<SuspendTarget[]> {
  known ??= Promise.all(
    SUSPEND_TARGETS.map(async target => {
      const ask = callService({ ...LOGIND, member: target.ask, signature: '', args: [] })
      const [answer] = await ask.catch(() => [])
      return answer === 'yes' || answer === 'challenge' ? [target] : []
    })
  ).then(found => found.flat())
  return known
}
