// Settings of a guest's threads: CPUs, time, policy and nodes of memory of each (qemuProcessSetupPid).
import type { Scheduling } from '../../../../conf/domain/cputune.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { type Bandwidth, bandwidth, cpuset, groupWith } from '../../../../host/cgroup.ts'
import { setAffinity, setScheduling } from '../../../../host/thread.ts'
import { hostCpus } from '../../../../host/topology.ts'
import type { QemuDomain } from '../../domain/domain.ts'
import { asksForThreads } from './demands.ts'
import { cpusAtStart, nodesOf, pinOf } from './placement.ts'
import {
  divideThread,
  divideThreads,
  emulatorOf,
  type GuestThread,
  iothreadsOf,
  type ThreadKind,
  threadGroup,
  vcpusOf
} from './threads.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Most programs that are run for a guest's threads at a time. */
const AT_ONCE = 8

/** Time that a thread of a kind may have; 0 where the definition is silent. */
export function bandwidthOf({ cputune }: DomainDef, kind: ThreadKind): Bandwidth {
  const [period, quota] = {
    emulator: [cputune?.emulatorPeriod, cputune?.emulatorQuota],
    vcpu: [cputune?.period, cputune?.quota],
    iothread: [cputune?.iothreadPeriod, cputune?.iothreadQuota]
  }[kind]
  return { period: period ?? 0n, quota: quota ?? 0n }
}

function schedulingOf({ cputune }: DomainDef, kind: ThreadKind, id: number): Scheduling | undefined {
  if (kind === 'emulator') return cputune?.emulatorsched
  if (kind === 'vcpu') return cputune?.vcpuscheds.find(({ vcpu }) => vcpu === id)
  return cputune?.iothreadscheds.find(({ iothread }) => iothread === id)
}

/**
 * Carries out what the definition says of the threads of a guest that is about to run.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED without a controller it needs, VIR_ERR_SYSTEM_ERROR
 */
export async function tuneThreads(domain: QemuDomain): Promise<void> {
  const { def } = domain
  const threads = [emulatorOf(domain), ...vcpusOf(domain), ...(await iothreadsOf(domain))]
  for (const { kind } of threads) checkBandwidth(domain, kind)
  await divideThreads(domain)
  const queue = [...threads]
  const work = async () => {
    for (let thread = queue.shift(); thread; thread = queue.shift()) await tune(domain, thread)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  // last, or the other threads would have had it from their creator
  const { emulatorsched } = def.cputune ?? {}
  if (emulatorsched) await setScheduling(emulatorOf(domain).tid, emulatorsched.scheduler, emulatorsched.priority)
}

/** The same for a thread that is new: a vCPU or an IOThread that was plugged. @throws as tuneThreads */
export async function tuneNewThread(domain: QemuDomain, thread: GuestThread): Promise<void> {
  if (asksForThreads(domain.def)) {
    checkBandwidth(domain, thread.kind)
    await divideThreads(domain)
  }
  await divideThread(domain, thread)
  await tune(domain, thread)
}

function checkBandwidth({ def, running }: QemuDomain, kind: ThreadKind): void {
  const { period, quota } = bandwidthOf(def, kind)
  if ((period !== 0n || quota !== 0n) && !groupWith(running.cgroups, 'cpu')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'cgroup cpu is required for scheduler tuning')
  }
}

async function tune(domain: QemuDomain, thread: GuestThread): Promise<void> {
  const { def } = domain
  const { kind, id, tid } = thread
  const pin = pinOf(def, kind, id)
  const nodes = nodesOf(def, kind, id)
  const set = threadGroup(domain, thread, 'cpuset')
  if (set && pin !== undefined) await cpuset.setCpus(set, pin)
  if (set && nodes !== undefined) {
    await cpuset.migrateMemory(set)
    await cpuset.setNodes(set, nodes)
  }
  const cpu = threadGroup(domain, thread, 'cpu')
  if (cpu) await bandwidth.set(cpu, bandwidthOf(def, kind))
  await placeThread(def, thread, pin)
  const scheduling = kind === 'emulator' ? undefined : schedulingOf(def, kind, id)
  if (scheduling) await setScheduling(tid, scheduling.scheduler, scheduling.priority)
}

/** A thread has the CPUs of the one that made it, which are the emulator's, until it gets its own. */
async function placeThread(def: DomainDef, { kind, tid }: GuestThread, pin: string | undefined): Promise<void> {
  const inherited = cpusAtStart(def)
  if (kind === 'emulator' || pin === inherited) return
  if (pin !== undefined) return setAffinity(tid, pin)
  // to have all is a wish: we may not have them ourselves
  await setAffinity(tid, hostCpus().online.join(',')).catch(() => undefined)
}
