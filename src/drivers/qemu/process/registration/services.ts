// Guests as systemd and systemd-machined know them. Loaded only where there is one of these, or was when the guest started.
import { readFileSync } from 'node:fs'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { NoBus, namesOnBus } from '../../../../host/bus.ts'
import { helpersIn } from '../../../../host/helper-process.ts'
import type { ProcessIdentity, Registration } from '../../../../state/status.ts'
import type { QemuDomain } from '../../domain/domain.ts'
import { enterGroups } from './cgroup.ts'
import { groupsOf } from './hierarchy.ts'
import { machineName } from './machine-name.ts'
import { createMachine, MACHINED, terminateMachine } from './machined.ts'
import { DEFAULT_PARTITION, scopeName } from './partition.ts'
import { SYSTEMD, startScope, stopScope } from './systemd.ts'

type Kind = Registration['kind']

/** Name of each kind's service on the bus. */
export const SERVICES: Record<Kind, string> = { machined: MACHINED, systemd: SYSTEMD }

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

/** Registers with the first of these that the host has; false if it has none. */
export async function knownTo(kinds: Kind[], domain: QemuDomain, qemu: ProcessIdentity): Promise<boolean> {
  let names: Set<string>
  try {
    names = await namesOnBus()
  } catch (error) {
    if (!(error instanceof NoBus)) throw error
    domain.log.debug({ err: error }, 'no system bus')
    return false
  }
  const kind = kinds.find(one => names.has(SERVICES[one]))
  if (kind) await registerWith(kind, domain, qemu)
  return kind !== undefined
}

async function registerWith(kind: Kind, domain: QemuDomain, qemu: ProcessIdentity): Promise<void> {
  const { def, root, rootByName } = domain
  const machine = machineName({ id: domain.id, name: def.name, root: rootByName ? undefined : root.dir })
  const partition = def.resource?.partition ?? DEFAULT_PARTITION
  const helpers = helpersIn(domain.context.paths.libDir).map(({ pid }) => pid)
  domain.running.registration = { kind, machine }
  domain.save()
  try {
    if (kind === 'machined') {
      const interfaces = interfaceIndexes(def)
      await createMachine({
        name: machine,
        uuid: def.uuid,
        leader: qemu.pid,
        interfaceIndexes: interfaces,
        partition
      })
    } else await startScope({ machine, pids: [qemu.pid, ...helpers], partition })
  } catch (error) {
    // refused: a machine of that name is another's, and not ours to end
    domain.running.registration = undefined
    throw error
  }
  const groups = groupsOf(qemu.pid).filter(path => path.includes(`/${scopeName(machine)}`))
  if (kind === 'machined' && groups.length > 0) {
    await enterGroups(groups, helpers, { partition, wanted: false })
  }
  domain.running.cgroups = groups
}

/** Ends a guest's machine or scope. */
export async function endRegistration({ kind, machine }: Registration): Promise<void> {
  const end = kind === 'machined' ? terminateMachine : stopScope
  await end(machine)
}
