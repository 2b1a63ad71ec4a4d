// IOThreads: which there are, how they work, and the host CPUs they may run on.
import { bitsOf, parseBitmap } from '../../../conf/bitmap.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainModificationImpact } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { array, bool, flags, nonZero, struct, typedInput, uint } from '../../../conf/wire.ts'
import { allowedCpus } from '../../../host/proc.ts'
import { hostCpus } from '../../../host/topology.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { addIothread, deleteIothread, setIothread } from '../hotplug/iothreads.ts'
import { queryIothreads } from '../process/iothreads.ts'

const method = methodFor<QemuDomain>()
const fail = errorsFrom('VIR_FROM_QEMU')

/** libvirt's REMOTE_IOTHREAD_INFO_MAX. */
const LIST_MAX = 16384

interface IothreadInfo {
  iothread_id: number
  /** as long as its last CPU wants it */
  cpumap: boolean[]
}

function infoOf(id: number, cpus: Iterable<number>): IothreadInfo {
  const set = new Set(cpus)
  return { iothread_id: id, cpumap: Array.from({ length: Math.max(0, ...set) + 1 }, (_, cpu) => set.has(cpu)) }
}

/** The threads that QEMU has (qemuDomainGetIOThreadsLive). */
async function liveInfo(domain: QemuDomain): Promise<IothreadInfo[]> {
  const { pid } = domain.process!
  return [...(await queryIothreads(domain.qmp))].map(([id, tid]) => infoOf(id, allowedCpus(pid, tid)))
}

/** Those of a definition, with the CPUs they are pinned to (virDomainDriverGetIOThreadsConfig). */
function configInfo({ iothreads, cputune, vcpu }: DomainDef): IothreadInfo[] {
  const pins = new Map(cputune?.iothreadpins.map(({ iothread, cpuset }) => [iothread, cpuset]))
  return iothreads.map(({ id }) => {
    const cpuset = pins.get(id) ?? vcpu.cpuset
    return infoOf(id, cpuset === undefined ? hostCpus().online : bitsOf(parseBitmap(cpuset)))
  })
}

const change = { on: 'domain', acl: 'domain:write', job: 'modify', impact: 'both', ret: {} } as const

/** @throws VIR_ERR_INVALID_ARG for the number that no thread has */
function checkNumber({ iothread_id: id }: { iothread_id: number }): void {
  if (id === 0) throw fail('VIR_ERR_INVALID_ARG', 'invalid value of 0 for iothread_id')
}

export const iothread = {
  /** The guest's IOThreads and the host CPUs they may run on. Source: qemuDomainGetIOThreadInfo. */
  virDomainGetIOThreadInfo: method({
    since: '1.2.14',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { flags: flags(virDomainModificationImpact) },
    ret: { info: array(struct({ iothread_id: uint(), cpumap: array(bool, LIST_MAX) }), LIST_MAX) },
    run: async (domain, _args, { live, def }) => ({ info: live ? await liveInfo(domain) : configInfo(def) })
  }),

  /** Makes an IOThread of that number. */
  virDomainAddIOThread: method({
    ...change,
    since: '1.2.15',
    args: { iothread_id: uint(), flags: flags(virDomainModificationImpact) },
    check: checkNumber,
    async run(domain, { iothread_id: id }, meant) {
      await addIothread(domain, id, meant)
      return {}
    }
  }),

  /** Removes an IOThread that no disk or controller uses. */
  virDomainDelIOThread: method({
    ...change,
    since: '1.2.15',
    args: { iothread_id: nonZero(uint()), flags: flags(virDomainModificationImpact) },
    async run(domain, { iothread_id: id }, meant) {
      await deleteIothread(domain, id, meant)
      return {}
    }
  }),

  /** Sets how long an IOThread polls (ns), and the size of its pool of workers. */
  virDomainSetIOThreadParams: method({
    ...change,
    since: '4.10.0',
    args: {
      iothread_id: uint(),
      params: typedInput({
        poll_max_ns: 'ullong',
        poll_grow: 'uint',
        poll_shrink: 'uint',
        poll_weight: 'uint',
        thread_pool_min: 'int',
        thread_pool_max: 'int'
      }),
      flags: flags(virDomainModificationImpact)
    },
    check: checkNumber,
    async run(domain, { iothread_id: id, params }, meant) {
      await setIothread(domain, id, params, meant)
      return {}
    }
  })
}
