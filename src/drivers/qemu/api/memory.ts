// Memory sizes and the balloon's statistics.
import { virDomainMemoryStatTags } from '../../../conf/enums.ts'
import { array, flags, int, struct, uhyper } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { balloonStats, FIELDS } from '../stats/balloon.ts'

const method = methodFor<QemuDomain>()

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
      const stats = [
        { tag: VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON as number, val: BigInt(domain.def.currentMemoryKiB ?? 0) }
      ]
      for (const { stat, tag } of FIELDS) if (values[stat] !== undefined) stats.push({ tag, val: values[stat] })
      if (values['last-update'] !== undefined)
        stats.push({ tag: VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE, val: values['last-update'] })
      stats.push({ tag: VIR_DOMAIN_MEMORY_STAT_RSS, val: rssKiB })
      return { stats }
    }
  })
}
