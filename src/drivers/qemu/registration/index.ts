// How a guest is known to its host: <resource register=…> (virDomainCgroupInitCgroup, virCgroupNewMachine).
import { readFileSync } from 'node:fs'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { ProcessIdentity, Registration } from '../../../state/status.ts'
import type { QemuDomain } from '../domain.ts'
import { helpersIn } from '../helper-process.ts'
import { HostBus, mayHaveSystemd, NoBus } from './bus.ts'
import { enterGroups, groupName, groupPaths, leaveGroups } from './cgroup.ts'
import { groupsOf } from './hierarchy.ts'
import { machineName } from './machine-name.ts'
import { createMachine, MACHINED, terminateMachine } from './machined.ts'
import { DEFAULT_PARTITION, partitionGroups, scopeName } from './partition.ts'
import { SYSTEMD, startScope, stopScope } from './systemd.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

type Kind = Registration['kind']

/** What is called where: each kind by its service. */
const SERVICES: Record<Kind, string> = { machined: MACHINED, systemd: SYSTEMD }

/** Index of an interface's end on the host, if it has one. */
function interfaceIndexes({ devices }: DomainDef): number[] {
  return devices.interfaces.flatMap(({ target }) => {
    try {
      return target?.dev ? [Number(readFileSync(`/sys/class/net/${target.dev}/ifindex`, 'utf8'))] : []
    } catch {
      return []
    }
  })
}

/**
 * Makes the guest known to the host as its definition says, without which the host's best is taken: machined, systemd,
 * groups of its own, or nothing. What is made is in the status before it is.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_SYSTEM_ERROR, VIR_ERR_DBUS_SERVICE, VIR_ERR_OPERATION_TIMEOUT
 */
export async function registerGuest(domain: QemuDomain, qemu: ProcessIdentity): Promise<void> {
  const { resource } = domain.def
  const register = resource?.register
  if (register === 'none') return
  partitionGroups(resource?.partition ?? DEFAULT_PARTITION)
  if (register === 'machined' || register === 'systemd') {
    const known = await knownTo([register], domain, qemu)
    if (!known) {
      const reason = `'${SERVICES[register]}' is not on this host's D-Bus`
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `resource registration '${register}' is not available: ${reason}`)
    }
  } else if (register === undefined && domain.context.privileged && mayHaveSystemd()) {
    await knownTo(['machined', 'systemd'], domain, qemu)
  }
  // systemd may know of the guest and yet leave its groups to us
  if (domain.cgroups.length === 0) await makeGroups(domain, qemu, register === 'cgroup' || register === 'direct')
  if (domain.cgroups.length > 0) domain.def.resource = { partition: DEFAULT_PARTITION, ...domain.def.resource }
}

/** Registers with the first of these that the host has; false if it has none. */
async function knownTo(kinds: Kind[], domain: QemuDomain, qemu: ProcessIdentity): Promise<boolean> {
  try {
    return await HostBus.use(async bus => {
      for (const kind of kinds) {
        if (!(await bus.has(SERVICES[kind]))) continue
        await registerWith(bus, kind, domain, qemu)
        return true
      }
      return false
    })
  } catch (error) {
    // what they refuse is refused, but a host without a bus has none of them
    if (!(error instanceof NoBus)) throw error
    domain.log.debug({ err: error }, 'no system bus')
    return false
  }
}

async function registerWith(bus: HostBus, kind: Kind, domain: QemuDomain, qemu: ProcessIdentity): Promise<void> {
  const { def, root, rootByName } = domain
  const machine = machineName({ id: domain.id, name: def.name, root: rootByName ? undefined : root.dir })
  const partition = def.resource?.partition ?? DEFAULT_PARTITION
  const helpers = helpersIn(domain.context.paths.libDir).map(({ pid }) => pid)
  domain.registration = { kind, machine }
  domain.save()
  try {
    if (kind === 'machined') {
      const interfaces = interfaceIndexes(def)
      await createMachine(bus, {
        name: machine,
        uuid: def.uuid,
        leader: qemu.pid,
        interfaceIndexes: interfaces,
        partition
      })
    } else await startScope(bus, { machine, pids: [qemu.pid, ...helpers], partition })
  } catch (error) {
    // refused: a machine of that name is somebody else's, and not ours to end
    domain.registration = undefined
    throw error
  }
  const groups = groupsOf(qemu.pid).filter(path => path.includes(`/${scopeName(machine)}`))
  if (kind === 'machined' && groups.length > 0) {
    await enterGroups(groups, helpers, { partition, wanted: false })
  }
  domain.cgroups = groups
}

async function makeGroups(domain: QemuDomain, qemu: ProcessIdentity, asked: boolean): Promise<void> {
  const { resource, name } = domain.def
  const partition = resource?.partition ?? DEFAULT_PARTITION
  domain.cgroups = groupPaths(groupName(name, qemu.pid), partition)
  if (domain.cgroups.length === 0 && asked) {
    throw fail(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `no cgroup hierarchy can be written for resource registration '${resource?.register}'`
    )
  }
  domain.save()
  const helpers = helpersIn(domain.context.paths.libDir)
  const pids = [qemu, ...helpers].map(({ pid }) => pid)
  domain.cgroups = await enterGroups(domain.cgroups, pids, { partition, wanted: asked })
}

/** Undoes registerGuest when QEMU is gone. What is left is told to `warn`. */
export async function unregisterGuest(domain: QemuDomain): Promise<void> {
  const { registration, cgroups, log } = domain
  if (registration) {
    const end = registration.kind === 'machined' ? terminateMachine : stopScope
    await HostBus.use(bus => end(bus, registration.machine)).catch(error =>
      log.warn({ err: error, ...registration }, 'the guest may still be registered with the host')
    )
    domain.registration = undefined
  }
  const busy = await leaveGroups(cgroups)
  if (busy.length > 0) log.warn({ cgroups: busy }, 'cgroups are still in use')
  domain.cgroups = []
}
