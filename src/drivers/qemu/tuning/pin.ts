// Pinning of a guest's threads to host CPUs: of the running ones by affinity, and by their control groups where they
// have some of their own; in definitions as <cputune> has it.
import { existsSync } from 'node:fs'
import { type Bitmap, bitsOf, formatBitmap, parseBitmap } from '../../../conf/bitmap.ts'
import type { CputuneDef } from '../../../conf/domain/cputune.ts'
import { currentVcpuCount } from '../../../conf/domain/vcpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { typed } from '../../../conf/wire.ts'
import { cpuset } from '../../../host/cgroup.ts'
import { allowedCpus } from '../../../host/proc.ts'
import { setAffinity } from '../../../host/thread.ts'
import { hostCpus } from '../../../host/topology.ts'
import type { Meant } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { pinOf } from '../process/tuning/placement.ts'
import { emulatorThreads, iothreadsOf, type ThreadKind, threadGroup } from '../process/tuning/threads.ts'
import { inSteps } from './steps.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A <cputune> that says nothing. */
export const NO_CPUTUNE: CputuneDef = {
  vcpupins: [],
  iothreadpins: [],
  vcpuscheds: [],
  iothreadscheds: [],
  resctrls: []
}

/** A set of CPUs as the API has it, one entry a CPU. */
export type CpuMap = readonly boolean[]

/** The set as a definition has it. @throws VIR_ERR_INVALID_ARG for none, with `empty` */
function listOf(map: CpuMap, empty: string): string {
  let bits: Bitmap = 0n
  map.forEach((on, cpu) => {
    if (on) bits |= 1n << BigInt(cpu)
  })
  if (bits === 0n) throw fail('VIR_ERR_INVALID_ARG', empty)
  return formatBitmap(bits)
}

/** The CPUs a thread of a definition may use, as the API has them: as many entries as the host has CPUs. */
export function pinMap(def: DomainDef, kind: ThreadKind, id: number): boolean[] {
  const pin = pinOf(def, kind, id)
  const cpus = new Set(pin === undefined ? hostCpus().online : bitsOf(parseBitmap(pin)))
  return Array.from({ length: hostCpus().present }, (_, cpu) => cpus.has(cpu))
}

/** Pins one vCPU (qemuDomainPinVcpuFlags). @throws VIR_ERR_INVALID_ARG, VIR_ERR_SYSTEM_ERROR */
export async function pinVcpu(domain: QemuDomain, vcpu: number, map: CpuMap, meant: Meant): Promise<void> {
  const { live, config } = meant
  if (config && vcpu >= config.vcpu.max) {
    const count = currentVcpuCount(config)
    throw fail('VIR_ERR_INVALID_ARG', `vcpu ${vcpu | 0} is out of range of persistent cpu count ${count}`)
  }
  const cpus = listOf(map, 'Empty cpu list for pinning')
  if (live && vcpu >= live.vcpu.max) {
    throw fail('VIR_ERR_INVALID_ARG', `vcpu ${vcpu | 0} is out of range of live cpu count ${live.vcpu.max}`)
  }
  const tid = live && domain.running.vcpuThreads.get(vcpu)
  await pin(domain, { kind: 'vcpu', id: vcpu, tids: tid === undefined ? [] : [tid], cpus, meant }, cputune => ({
    vcpupins: [...cputune.vcpupins.filter(one => one.vcpu !== vcpu), { vcpu, cpuset: cpus }].sort(
      (a, b) => a.vcpu - b.vcpu
    )
  }))
}

/** Pins all threads of QEMU that are no vCPU's and no IOThread's (qemuDomainPinEmulator). @throws as pinVcpu */
export async function pinEmulator(domain: QemuDomain, map: CpuMap, meant: Meant): Promise<void> {
  const cpus = listOf(map, 'Empty cpu list for pinning')
  const tids = meant.live ? await emulatorThreads(domain) : []
  await pin(domain, { kind: 'emulator', id: 0, tids, cpus, meant }, () => ({ emulatorpin: cpus }))
}

/** Pins one IOThread (qemuDomainPinIOThread). @throws as pinVcpu */
export async function pinIothread(domain: QemuDomain, id: number, map: CpuMap, meant: Meant): Promise<void> {
  const { live, config } = meant
  const cpus = listOf(map, 'Empty iothread cpumap list for pinning')
  const isThere = ({ iothreads }: DomainDef) => iothreads.some(thread => thread.id === id)
  if (live && !isThere(live)) throw fail('VIR_ERR_INVALID_ARG', `iothread ${id} not found`)
  if (config && !isThere(config)) throw fail('VIR_ERR_INVALID_ARG', `iothreadid ${id} not found`)
  const thread = live && (await iothreadsOf(domain)).find(one => one.id === id)
  await pin(domain, { kind: 'iothread', id, tids: thread ? [thread.tid] : [], cpus, meant }, (cputune, def) => {
    const pins = new Map(cputune.iothreadpins.map(one => [one.iothread, one.cpuset])).set(id, cpus)
    return {
      iothreadpins: def.iothreads.flatMap(one => {
        const set = pins.get(one.id)
        return set === undefined ? [] : [{ iothread: one.id, cpuset: set }]
      })
    }
  })
}

interface Pin {
  kind: ThreadKind
  id: number
  /** the kernel's threads, none where it does not run now */
  tids: readonly number[]
  cpus: string
  meant: Meant
}

/** Moves the threads, then changes the definitions; a failure leaves everything as it was. */
async function pin(
  domain: QemuDomain,
  { kind, id, tids, cpus, meant }: Pin,
  edit: (cputune: CputuneDef, def: DomainDef) => Partial<CputuneDef>
): Promise<void> {
  await inSteps(async step => {
    const group = tids.length > 0 ? threadGroup(domain, { kind, id }, 'cpuset') : undefined
    if (group) {
      const before = await cpuset.getCpus(group)
      await step(
        () => cpuset.setCpus(group, cpus),
        () => cpuset.setCpus(group, before)
      )
    }
    const { pid } = domain.process ?? {}
    for (const tid of tids) {
      const before = [...allowedCpus(pid!, tid)].join(',')
      await step(
        () =>
          setAffinity(tid, cpus).catch(error => {
            // a worker of the emulator's may have ended meanwhile
            if (kind !== 'emulator' || existsSync(`/proc/${pid}/task/${tid}`)) throw error
          }),
        () => setAffinity(tid, before)
      )
    }
    domain.change(meant, def => ({
      ...def,
      ...(kind === 'iothread' && { iothreads: def.iothreads.map(one => (one.id === id ? chosen(one) : one)) }),
      cputune: { ...NO_CPUTUNE, ...def.cputune, ...edit(def.cputune ?? NO_CPUTUNE, def) }
    }))
  })
  if (!meant.live) return
  const name = kind === 'emulator' ? 'emulatorpin' : `${kind}pin${id}`
  domain.events.emit('VIR_DOMAIN_EVENT_ID_TUNABLE', { params: { [`cputune.${name}`]: typed.string(cpus) } })
}

/** An IOThread that the user has said something about. */
function chosen<T extends { autofill?: true }>({ autofill: _, ...thread }: T): Omit<T, 'autofill'> {
  return thread
}
