// IOThreads and the host CPUs they may run on.
import { bitsOf, parseBitmap } from '../../../conf/bitmap.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainModificationImpact } from '../../../conf/enums.ts'
import { array, bool, flags, struct, uint } from '../../../conf/wire.ts'
import { allowedCpus } from '../../../host/proc.ts'
import { hostCpus } from '../../../host/topology.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const method = methodFor<QemuDomain>()

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
  const threads = await domain.qmp.execute<{ id: string; 'thread-id': number }[]>('query-iothreads')
  return threads.flatMap(({ id, 'thread-id': tid }) => {
    const number = /^iothread(\d+)$/.exec(id)?.[1]
    return number === undefined ? [] : [infoOf(Number(number), allowedCpus(pid, tid))]
  })
}

/** Those of a definition, with the CPUs they are pinned to (virDomainDriverGetIOThreadsConfig). */
function configInfo({ iothreads, cputune, vcpu }: DomainDef): IothreadInfo[] {
  const pins = new Map(cputune?.iothreadpins.map(({ iothread, cpuset }) => [iothread, cpuset]))
  return iothreads.map(({ id }) => {
    const cpuset = pins.get(id) ?? vcpu.cpuset
    return infoOf(id, cpuset === undefined ? hostCpus().online : bitsOf(parseBitmap(cpuset)))
  })
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
  })
}
