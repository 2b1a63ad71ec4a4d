// Memory: its sizes, the balloon's statistics, its contents, how fast it changes.
import {
  virDomainDirtyRateCalcFlags,
  virDomainMemoryFlags,
  virDomainMemoryModFlags,
  virDomainMemoryStatTags,
  virDomainModificationImpact
} from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { array, bytes, flags, int, nonZero, struct, uhyper, uint } from '../../../conf/wire.ts'
import { exclusive, methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hasBalloon } from '../process/balloon.ts'
import { peekMemory } from '../process/memory-peek.ts'
import { balloonStats, FIELDS } from '../stats/balloon.ts'
import { checkDirtyRateSeconds, startDirtyRate } from '../stats/dirty-rate.ts'
import { setCurrentMemory, setInitialMemory, setStatsPeriod } from '../tuning/memory-size.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_MEM_MAXIMUM } = virDomainMemoryModFlags
const { VIR_MEMORY_VIRTUAL } = virDomainMemoryFlags
const MEMORIES = Object.keys(virDomainMemoryFlags)

/** More KiB than anybody has: 2^63 bytes. */
const MEMORY_MAX_KIB = 2n ** 53n - 1n

const change = { on: 'domain', acl: 'domain:write', job: 'modify', ret: {} } as const
const size = nonZero(uhyper('KiB'))

/** @throws VIR_ERR_OVERFLOW for a size that is none in bytes (virMemoryMaxValue) */
function checkSize({ memory }: { memory: bigint }): void {
  if (memory >= MEMORY_MAX_KIB) throw failDomain('VIR_ERR_OVERFLOW', `input too large: ${memory}`)
}

const { VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE, VIR_DOMAIN_MEMORY_STAT_RSS } =
  virDomainMemoryStatTags

export const memory = {
  virDomainGetMaxMemory: method({
    since: '0.0.1',
    on: 'domain',
    acl: 'domain:read',
    args: {},
    ret: { memory: uhyper('KiB') },
    run: domain => ({ memory: BigInt(domain.def.memoryKiB ?? 0) })
  }),

  /** Memory statistics by virDomainMemoryStatTags, KiB unless the tag counts events. */
  virDomainMemoryStats: method({
    since: '0.7.5',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { flags: flags() },
    ret: { stats: array(struct({ tag: int('virDomainMemoryStatTags'), val: uhyper() }), 1024) },
    async run(domain) {
      const { rssKiB, values } = await balloonStats(domain)
      domain.checkActive()
      const stats: { tag: number; val: bigint }[] = []
      if (hasBalloon(domain.def)) {
        stats.push({ tag: VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, val: BigInt(domain.def.currentMemoryKiB ?? 0) })
      }
      for (const { stat, tag } of FIELDS) if (values[stat] !== undefined) stats.push({ tag, val: values[stat] })
      if (values['last-update'] !== undefined)
        stats.push({ tag: VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE, val: values['last-update'] })
      stats.push({ tag: VIR_DOMAIN_MEMORY_STAT_RSS, val: rssKiB })
      return { stats }
    }
  }),

  /** Asks a running guest to make do with so much memory: its balloon takes the rest, as far as the guest lets it. */
  virDomainSetMemory: method({
    ...change,
    since: '0.1.1',
    needs: 'active',
    args: { memory: size },
    check: checkSize,
    async run(domain, { memory }) {
      await setCurrentMemory(domain, Number(memory), { live: domain.def })
      return {}
    }
  }),

  /**
   * Sets the memory the guest has to make do with, or with VIR_DOMAIN_MEM_MAXIMUM what it starts with.
   * Source: qemuDomainSetMemoryFlags.
   */
  virDomainSetMemoryFlags: method({
    ...change,
    since: '0.9.0',
    impact: 'both',
    args: { memory: size, flags: flags(virDomainModificationImpact, virDomainMemoryModFlags) },
    check: checkSize,
    async run(domain, { memory, flags: bits }, meant) {
      if ((bits & VIR_DOMAIN_MEM_MAXIMUM) !== 0) setInitialMemory(domain, Number(memory), meant)
      else await setCurrentMemory(domain, Number(memory), meant)
      return {}
    }
  }),

  /** Sets the memory that a guest which is shut off starts with. */
  virDomainSetMaxMemory: method({
    ...change,
    since: '0.0.1',
    impact: 'both',
    args: { memory: size },
    check: checkSize,
    run(domain, { memory }, meant) {
      setInitialMemory(domain, Number(memory), meant)
      return {}
    }
  }),

  /** Sets how often the guest reports its use of memory, 0 for never. Source: qemuDomainSetMemoryStatsPeriod. */
  virDomainSetMemoryStatsPeriod: method({
    ...change,
    since: '1.1.1',
    impact: 'both',
    args: { period: int('s'), flags: flags(virDomainModificationImpact) },
    check({ period }) {
      if (period < 0) throw badArgument('period in virDomainSetMemoryStatsPeriod must be zero or greater')
    },
    async run(domain, { period }, meant) {
      await setStatsPeriod(domain, period, meant)
      return {}
    }
  }),

  /** Bytes of the guest's memory, at addresses of its first vCPU or physical ones. Source: qemuDomainMemoryPeek. */
  virDomainMemoryPeek: method({
    since: '0.4.2',
    on: 'domain',
    acl: 'domain:mem_read',
    job: 'query',
    needs: 'active',
    args: { start: uhyper(), size: uint('bytes'), flags: flags(virDomainMemoryFlags) },
    ret: { buffer: bytes() },
    check({ flags: bits }) {
      exclusive(bits, virDomainMemoryFlags)
      if (bits === 0) throw fail('VIR_ERR_INVALID_ARG', `flags parameter must be ${MEMORIES.join(' or ')}`)
    },
    async run(domain, { start, size, flags: bits }) {
      return { buffer: await peekMemory(domain, start, size, bits === VIR_MEMORY_VIRTUAL) }
    }
  }),

  /** Begins to measure how fast the guest changes its memory; virDomainListGetStats has the result. */
  virDomainStartDirtyRateCalc: method({
    ...change,
    since: '7.2.0',
    needs: 'active',
    args: { seconds: int('s'), flags: flags(virDomainDirtyRateCalcFlags) },
    check({ seconds, flags: bits }) {
      exclusive(bits, virDomainDirtyRateCalcFlags)
      checkDirtyRateSeconds(seconds)
    },
    async run(domain, { seconds, flags: bits }) {
      await startDirtyRate(domain, seconds, bits)
      return {}
    }
  })
}
