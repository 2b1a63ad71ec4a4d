// What a guest may take of the host: CPUs, CPU time, memory, block I/O; and its performance counters.
import { parseBitmap } from '../../../conf/bitmap.ts'
import { NUMATUNE_MODES } from '../../../conf/domain/numatune.ts'
import { PERF_EVENTS } from '../../../conf/domain/perf.ts'
import { virDomainModificationImpact } from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import {
  array,
  bool,
  flags,
  int,
  type TypedParams,
  text,
  typed,
  typedInput,
  typedParams,
  uint
} from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const method = methodFor<QemuDomain>()

/** libvirt's REMOTE_VCPUINFO_MAX, and bits of its REMOTE_CPUMAP_MAX. */
const MAPS_MAX = 16384
const cpumap = array(bool, MAPS_MAX)

const impactFlags = flags(virDomainModificationImpact)

/** Refuses a map without entries (virCheckPositiveArgGoto). */
const mapIn = (api: string) => (args: { cpumap: boolean[] }) => {
  if (args.cpumap.length === 0) throw badArgument(`maplen in ${api} must be greater than zero`)
}

const scheduler = typedInput({
  cpu_shares: 'ullong',
  vcpu_period: 'ullong',
  vcpu_quota: 'llong',
  global_period: 'ullong',
  global_quota: 'llong',
  emulator_period: 'ullong',
  emulator_quota: 'llong',
  iothread_period: 'ullong',
  iothread_quota: 'llong'
})

const perfInput = typedInput(
  Object.fromEntries(PERF_EVENTS.map(name => [name, 'boolean'])) as Record<(typeof PERF_EVENTS)[number], 'boolean'>
)

/** @throws VIR_ERR_INVALID_ARG for a mode or list that makes no sense, VIR_ERR_OPERATION_INVALID for an empty one */
function checkNuma({ numa_mode: number, numa_nodeset: list }: { numa_mode?: number; numa_nodeset?: string }): void {
  if (number !== undefined && NUMATUNE_MODES[number] === undefined)
    throw fail('VIR_ERR_INVALID_ARG', `unsupported numatune mode: '${number}'`)
  if (list !== undefined && parseBitmap(list) === 0n)
    throw fail('VIR_ERR_OPERATION_INVALID', `Invalid nodeset of 'numatune': ${list}`)
}

export const tuning = {
  /** Pins a vCPU to host CPUs, of the running guest alone. */
  virDomainPinVcpu: method({
    since: '0.1.4',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    args: { vcpu: uint(), cpumap },
    ret: {},
    check: mapIn('virDomainPinVcpu'),
    async run(domain, { vcpu, cpumap }) {
      domain.checkActive()
      await (await import('../tuning/pin.ts')).pinVcpu(domain, vcpu, cpumap, { live: domain.def })
      return {}
    }
  }),

  /** Pins a vCPU to host CPUs. Source: qemuDomainPinVcpuFlags. */
  virDomainPinVcpuFlags: method({
    since: '0.9.3',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: { vcpu: uint(), cpumap, flags: impactFlags },
    ret: {},
    check: mapIn('virDomainPinVcpuFlags'),
    async run(domain, { vcpu, cpumap }, meant) {
      await (await import('../tuning/pin.ts')).pinVcpu(domain, vcpu, cpumap, meant)
      return {}
    }
  }),

  /** The host CPUs each vCPU that can be there may run on. */
  virDomainGetVcpuPinInfo: method({
    since: '0.9.3',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { flags: impactFlags },
    ret: { cpumaps: array(cpumap, MAPS_MAX) },
    async run(_, _args, { def }) {
      const { pinMap } = await import('../tuning/pin.ts')
      const count = Math.min(def.vcpu.max, MAPS_MAX)
      return { cpumaps: Array.from({ length: count }, (_, vcpu) => pinMap(def, 'vcpu', vcpu)) }
    }
  }),

  /** Pins the threads of QEMU that are no vCPU's and no IOThread's. */
  virDomainPinEmulator: method({
    since: '0.10.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: { cpumap, flags: impactFlags },
    ret: {},
    check: mapIn('virDomainPinEmulator'),
    async run(domain, { cpumap }, meant) {
      await (await import('../tuning/pin.ts')).pinEmulator(domain, cpumap, meant)
      return {}
    }
  }),

  virDomainGetEmulatorPinInfo: method({
    since: '0.10.0',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { flags: impactFlags },
    ret: { cpumap },
    run: async (_, _args, { def }) => ({ cpumap: (await import('../tuning/pin.ts')).pinMap(def, 'emulator', 0) })
  }),

  virDomainPinIOThread: method({
    since: '1.2.14',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: { iothread_id: uint(), cpumap, flags: impactFlags },
    ret: {},
    check: mapIn('virDomainPinIOThread'),
    async run(domain, { iothread_id, cpumap }, meant) {
      await (await import('../tuning/pin.ts')).pinIothread(domain, iothread_id, cpumap, meant)
      return {}
    }
  }),

  /** The scheduler's name, and how many parameters it has on this host. */
  virDomainGetSchedulerType: method({
    since: '0.2.3',
    on: 'domain',
    acl: 'domain:read',
    args: {},
    ret: { type: text(), nparams: int() },
    run: async domain => ({
      type: 'posix',
      nparams: (await import('../tuning/scheduler.ts')).schedulerParameterCount(domain)
    })
  }),

  /** As virDomainGetSchedulerParametersFlags without flags. */
  virDomainGetSchedulerParameters: method({
    since: '0.2.3',
    on: 'domain',
    acl: 'domain:read',
    args: {},
    ret: { params: typedParams },
    async run(domain) {
      const { schedulerParameters } = await import('../tuning/scheduler.ts')
      return {
        params: await schedulerParameters(domain, domain.isActive ? { live: domain.def } : { config: domain.def })
      }
    }
  }),

  /** Weight and CPU time (µs) of guest, vCPUs, emulator and IOThreads; of a running one as the kernel has them. */
  virDomainGetSchedulerParametersFlags: method({
    since: '0.9.2',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { flags: impactFlags },
    ret: { params: typedParams },
    run: async (domain, _args, meant) => ({
      params: await (await import('../tuning/scheduler.ts')).schedulerParameters(domain, meant)
    })
  }),

  /** As virDomainSetSchedulerParametersFlags without flags. */
  virDomainSetSchedulerParameters: method({
    since: '0.2.3',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    args: { params: scheduler },
    ret: {},
    async run(domain, { params }) {
      const { setSchedulerParameters } = await import('../tuning/scheduler.ts')
      const { def } = domain
      await setSchedulerParameters(domain, params, domain.isActive ? { live: def } : { config: def })
      return {}
    }
  }),

  virDomainSetSchedulerParametersFlags: method({
    since: '0.9.2',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: { params: scheduler, flags: impactFlags },
    ret: {},
    async run(domain, { params }, meant) {
      await (await import('../tuning/scheduler.ts')).setSchedulerParameters(domain, params, meant)
      return {}
    }
  }),

  /** Limits of the memory of QEMU's process, KiB; 9007199254740991 is none. */
  virDomainGetMemoryParameters: method({
    since: '0.8.5',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { flags: impactFlags },
    ret: { params: typedParams },
    run: async (domain, _args, meant) => ({
      params: await (await import('../tuning/memory.ts')).memoryParameters(domain, meant)
    })
  }),

  virDomainSetMemoryParameters: method({
    since: '0.8.5',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: {
      params: typedInput({ hard_limit: 'ullong', soft_limit: 'ullong', swap_hard_limit: 'ullong' }),
      flags: impactFlags
    },
    ret: {},
    async run(domain, { params }, meant) {
      await (await import('../tuning/memory.ts')).setMemoryParameters(domain, params, meant)
      return {}
    }
  }),

  /** Weight of the guest's block I/O, and limits of host devices as `PATH,VALUE,…`. */
  virDomainGetBlkioParameters: method({
    since: '0.9.0',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { flags: impactFlags },
    ret: { params: typedParams },
    run: async (domain, _args, meant) => ({
      params: await (await import('../tuning/blkio.ts')).blkioParameters(domain, meant.def, meant)
    })
  }),

  virDomainSetBlkioParameters: method({
    since: '0.9.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: {
      params: typedInput({
        weight: 'uint',
        device_weight: 'string',
        device_read_iops_sec: 'string',
        device_write_iops_sec: 'string',
        device_read_bytes_sec: 'string',
        device_write_bytes_sec: 'string'
      }),
      flags: impactFlags
    },
    ret: {},
    async run(domain, { params }, meant) {
      await (await import('../tuning/blkio.ts')).setBlkioParameters(domain, params, meant)
      return {}
    }
  }),

  /** Mode (virDomainNumatuneMemMode) and host nodes of the guest's memory. */
  virDomainGetNumaParameters: method({
    since: '0.9.9',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { flags: impactFlags },
    ret: { params: typedParams },
    run: async (_, _args, { def }) => ({ params: (await import('../tuning/numa.ts')).numaParameters(def) })
  }),

  virDomainSetNumaParameters: method({
    since: '0.9.9',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: { params: typedInput({ numa_mode: 'int', numa_nodeset: 'string' }), flags: impactFlags },
    ret: {},
    check: ({ params }) => checkNuma(params),
    async run(domain, { params }, meant) {
      await (await import('../tuning/numa.ts')).setNumaParameters(domain, params, meant)
      return {}
    }
  }),

  /** Which performance counters are enabled, by libvirt's names. Source: qemuDomainGetPerfEvents. */
  virDomainGetPerfEvents: method({
    since: '1.3.3',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { flags: impactFlags },
    ret: { params: typedParams },
    run({ run }, _args, { def, live }): { params: TypedParams } {
      const isEnabled = (name: (typeof PERF_EVENTS)[number]) =>
        live ? (run?.counters?.isEnabled(name) ?? false) : def.perf?.[name] === true
      return { params: Object.fromEntries(PERF_EVENTS.map(name => [name, typed.boolean(isEnabled(name))])) }
    }
  }),

  /** Enables and disables performance counters, all or none. Source: qemuDomainSetPerfEvents. */
  virDomainSetPerfEvents: method({
    since: '1.3.3',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: { params: perfInput, flags: impactFlags },
    ret: {},
    async run(domain, { params }, meant) {
      await (await import('../tuning/perf.ts')).setPerfEvents(domain, params, meant)
      return {}
    }
  })
}
