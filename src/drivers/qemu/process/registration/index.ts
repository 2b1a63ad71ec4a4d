// Registration of a guest with its host: <resource register=…> (virDomainCgroupInitCgroup, virCgroupNewMachine).
import { existsSync } from 'node:fs'
import { errorsFrom } from '../../../../conf/error.ts'
import { helpersIn } from '../../../../host/helper-process.ts'
import type { ProcessIdentity } from '../../../../state/status.ts'
import type { QemuDomain } from '../../domain/domain.ts'
import { asksForLimits, asksForThreads } from '../tuning/demands.ts'
import { enterGroups, groupName, groupPaths, leaveGroups } from './cgroup.ts'
import { DEFAULT_PARTITION, partitionGroups } from './partition.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** True where the services may be there: on hosts with systemd, and where the environment names a system bus. */
const mayHaveSystemd = (): boolean =>
  process.env.DBUS_SYSTEM_BUS_ADDRESS !== undefined || existsSync('/run/systemd/system')

/**
 * Registers the guest as its definition says, without which the first is taken that the host has: machined, systemd,
 * groups of its own, or nothing. The status has it before it is made, so that a new shim can undo it.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_SYSTEM_ERROR, VIR_ERR_DBUS_SERVICE, VIR_ERR_OPERATION_TIMEOUT
 */
export async function registerGuest(domain: QemuDomain, qemu: ProcessIdentity): Promise<void> {
  const { resource } = domain.def
  const register = resource?.register
  if (register === 'none') return
  partitionGroups(resource?.partition ?? DEFAULT_PARTITION)
  if (register === 'machined' || register === 'systemd') {
    const { knownTo, SERVICES } = await import('./services.ts')
    const known = await knownTo([register], domain, qemu)
    if (!known) {
      const reason = `'${SERVICES[register]}' is not on this host's D-Bus`
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `resource registration '${register}' is not available: ${reason}`)
    }
  } else if (register === undefined && domain.context.privileged && mayHaveSystemd()) {
    const { knownTo } = await import('./services.ts')
    await knownTo(['machined', 'systemd'], domain, qemu)
  }
  // systemd may have the guest registered and yet leave its groups to us
  if (domain.running.cgroups.length === 0)
    await makeGroups(domain, qemu, register === 'cgroup' || register === 'direct')
  if (domain.running.cgroups.length > 0) domain.def.resource = { partition: DEFAULT_PARTITION, ...domain.def.resource }
}

async function makeGroups(domain: QemuDomain, qemu: ProcessIdentity, asked: boolean): Promise<void> {
  const { resource, name } = domain.def
  const partition = resource?.partition ?? DEFAULT_PARTITION
  domain.running.cgroups = groupPaths(groupName(name, qemu.pid), partition)
  if (domain.running.cgroups.length === 0 && asked) {
    throw fail(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `no cgroup hierarchy can be written for resource registration '${resource?.register}'`
    )
  }
  domain.save()
  const helpers = helpersIn(domain.context.paths.libDir)
  const pids = [qemu, ...helpers].map(({ pid }) => pid)
  domain.running.cgroups = await enterGroups(domain.running.cgroups, pids, {
    partition,
    wanted: asked,
    controllers: asksForLimits(domain.def) || asksForThreads(domain.def)
  })
}

/** Undoes registerGuest when QEMU is gone. The log has what could not be undone. */
export async function unregisterGuest(domain: QemuDomain): Promise<void> {
  const { run, log } = domain
  if (!run) return
  const { registration, cgroups } = run
  if (registration) {
    const { endRegistration } = await import('./services.ts')
    await endRegistration(registration).catch(error =>
      log.warn({ err: error, ...registration }, 'the guest may still be registered with the host')
    )
    run.registration = undefined
  }
  const busy = await leaveGroups(cgroups)
  if (busy.length > 0) log.warn({ cgroups: busy }, 'cgroups are still in use')
  run.cgroups = []
}
