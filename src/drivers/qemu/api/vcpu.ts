// vCPUs: how many, which, and where they run.
import { cpus as hostCpus } from 'node:os'
import { parseBitmap } from '../../../conf/bitmap.ts'
import { currentVcpuCount } from '../../../conf/domain/vcpu.ts'
import {
  virDomainModificationImpact,
  virDomainSetVcpuFlags,
  virDomainVcpuFlags,
  virVcpuState
} from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { array, bool, flags, int, nonZero, struct, text, uhyper, uint } from '../../../conf/wire.ts'
import { allowedCpus, cpuTimes } from '../../../host/proc.ts'
import { exclusive, methodFor, requires } from '../../method.ts'
import { availableAgent } from '../agent/channel.ts'
import { guestVcpus, setGuestVcpus, vcpusForCount } from '../agent/vcpus.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { setVcpuCount, setVcpuMax, setVcpus } from '../hotplug/vcpus.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = argumentErrorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_AFFECT_CONFIG } = virDomainModificationImpact
const { VIR_DOMAIN_VCPU_MAXIMUM, VIR_DOMAIN_VCPU_GUEST, VIR_DOMAIN_VCPU_HOTPLUGGABLE, VIR_DOMAIN_VCPU_ASYNC_UNPLUG } =
  virDomainVcpuFlags
const { VIR_DOMAIN_SETVCPU_ASYNC_UNPLUG } = virDomainSetVcpuFlags

/** vCPUs a call may name are numbered below this (QEMU_GUEST_VCPU_MAX_ID). */
const VCPU_MAX_ID = 4096

const change = { on: 'domain', acl: 'domain:write', ret: {} } as const

/** @throws VIR_ERR_INVALID_ARG for more than are plugged in, and what its agent says (qemuDomainSetVcpusAgent) */
async function setCountInGuest(domain: QemuDomain, count: number): Promise<void> {
  const agent = availableAgent(domain)
  const plugged = currentVcpuCount(domain.def)
  if (count > plugged) {
    const what = `requested vcpu count is greater than the count of enabled vcpus in the domain: ${count} > ${plugged}`
    throw fail('VIR_ERR_INVALID_ARG', what)
  }
  await setGuestVcpus(agent, vcpusForCount(await guestVcpus(agent), count))
}

export const vcpu = {
  /** vCPUs the running guest may have. */
  virDomainGetMaxVcpus: method({
    since: '0.2.1',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: {},
    ret: { num: int() },
    run: domain => ({ num: domain.def.vcpu.max })
  }),

  /** vCPUs now, or with VIR_DOMAIN_VCPU_MAXIMUM at most, of the live or the persistent definition. */
  virDomainGetVcpusFlags: method({
    since: '0.8.5',
    on: 'domain',
    acl: 'domain:read',
    job: ({ flags: bits }) => ((bits & VIR_DOMAIN_VCPU_GUEST) !== 0 ? { agent: 'query' } : undefined),
    impact: 'one',
    args: { flags: flags(virDomainModificationImpact, { VIR_DOMAIN_VCPU_MAXIMUM, VIR_DOMAIN_VCPU_GUEST }) },
    ret: { num: int() },
    async run(domain, { flags: bits }, { def }) {
      if ((bits & VIR_DOMAIN_VCPU_GUEST) !== 0) {
        if (!domain.isActive) {
          const what = 'vCPU count provided by the guest agent can only be requested for live domains'
          throw fail('VIR_ERR_INVALID_ARG', what)
        }
        const list = await guestVcpus(availableAgent(domain))
        return {
          num: (bits & VIR_DOMAIN_VCPU_MAXIMUM) !== 0 ? list.length : list.filter(({ online }) => online).length
        }
      }
      if ((bits & VIR_DOMAIN_VCPU_MAXIMUM) !== 0) return { num: def.vcpu.max }
      return { num: currentVcpuCount(def) }
    }
  }),

  /** State, CPU time and place of each vCPU, and the host CPUs it may run on. */
  virDomainGetVcpus: method({
    since: '0.1.4',
    on: 'domain',
    acl: 'domain:read',
    needs: { active: 'cannot retrieve vcpu information for inactive domain' },
    args: {},
    ret: {
      info: array(
        struct({ number: uint(), state: int('virVcpuState'), cpuTime: uhyper('ns'), cpu: int('host CPU') }),
        16384
      ),
      cpumaps: array(array(bool, 16384), 16384)
    },
    run(domain) {
      const { pid } = domain.process!
      const host = hostCpus().length
      const vcpus = [...domain.running.vcpuThreads].map(([number, tid]) => ({ number, tid, times: cpuTimes(pid, tid) }))
      return {
        info: vcpus.map(({ number, times }) => ({
          number,
          state: virVcpuState.VIR_VCPU_RUNNING,
          cpuTime: times.totalNs,
          cpu: times.cpu
        })),
        cpumaps: vcpus.map(({ tid }) => {
          const allowed = allowedCpus(pid, tid)
          return Array.from({ length: host }, (_, cpu) => allowed.has(cpu))
        })
      }
    }
  }),

  /** Plugs vCPUs into a running guest, or has it give some up, until there are so many. */
  virDomainSetVcpus: method({
    ...change,
    since: '0.1.4',
    job: 'modify',
    needs: 'active',
    args: { nvcpus: nonZero(uint()) },
    async run(domain, { nvcpus }) {
      await setVcpuCount(domain, nvcpus, { live: domain.def }, { isHotpluggable: false, isAsync: false })
      return {}
    }
  }),

  /**
   * Sets how many vCPUs there are, or with VIR_DOMAIN_VCPU_MAXIMUM can be. VIR_DOMAIN_VCPU_GUEST only has the guest's
   * agent turn them on or off; VIR_DOMAIN_VCPU_ASYNC_UNPLUG does not wait until the guest has given them up.
   */
  virDomainSetVcpusFlags: method({
    ...change,
    since: '0.8.5',
    job: ({ flags: bits }) => ((bits & VIR_DOMAIN_VCPU_GUEST) !== 0 ? { agent: 'modify' } : 'modify'),
    impact: 'both',
    args: { nvcpus: nonZero(uint()), flags: flags(virDomainModificationImpact, virDomainVcpuFlags) },
    check({ flags: bits }) {
      requires(bits, { VIR_DOMAIN_VCPU_MAXIMUM, VIR_DOMAIN_AFFECT_CONFIG })
      exclusive(bits, { VIR_DOMAIN_VCPU_GUEST, VIR_DOMAIN_AFFECT_CONFIG })
    },
    async run(domain, { nvcpus, flags: bits }, meant) {
      const has = (bit: number) => (bits & bit) !== 0
      if (has(VIR_DOMAIN_VCPU_GUEST)) await setCountInGuest(domain, nvcpus)
      else if (has(VIR_DOMAIN_VCPU_MAXIMUM)) setVcpuMax(domain, nvcpus, meant)
      else {
        const isHotpluggable = has(VIR_DOMAIN_VCPU_HOTPLUGGABLE)
        await setVcpuCount(domain, nvcpus, meant, { isHotpluggable, isAsync: has(VIR_DOMAIN_VCPU_ASYNC_UNPLUG) })
      }
      return {}
    }
  }),

  /** Plugs or unplugs single vCPUs, `1-3,^2`: in a running guest those that come and go together. */
  virDomainSetVcpu: method({
    ...change,
    since: '3.1.0',
    job: 'modify',
    impact: 'both',
    args: {
      vcpumap: text('set of vCPUs'),
      state: int('1: plugged in, 0: not'),
      flags: flags(virDomainModificationImpact, virDomainSetVcpuFlags)
    },
    check({ vcpumap, state }) {
      if (state !== 0 && state !== 1) throw badArgument('unsupported state value')
      if (parseBitmap(vcpumap, VCPU_MAX_ID) === 0n) {
        throw fail('VIR_ERR_INVALID_ARG', 'no vcpus selected for modification')
      }
    },
    async run(domain, { vcpumap, state, flags: bits }, meant) {
      const isAsync = (bits & VIR_DOMAIN_SETVCPU_ASYNC_UNPLUG) !== 0
      await setVcpus(domain, parseBitmap(vcpumap, VCPU_MAX_ID), state === 1, meant, { isAsync })
      return {}
    }
  })
}
