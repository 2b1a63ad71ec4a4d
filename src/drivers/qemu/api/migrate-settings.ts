// Limits of a guest's migration, the one under way or those to come, and its switch to post-copy.
import { virDomainMigrateFlags, virDomainMigrateMaxSpeedFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { flags, uhyper } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import {
  currentParameters,
  knownCapabilities,
  MIB,
  migrationSpeed,
  SPEED_MAX_MIB,
  setParameters
} from '../migration/params.ts'

const method = methodFor<QemuDomain>()
const fail = errorsFrom('VIR_FROM_QEMU')
const refuse = (message: string) => fail('VIR_ERR_OPERATION_INVALID', message)

const { VIR_MIGRATE_POSTCOPY } = virDomainMigrateFlags
const { VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY } = virDomainMigrateMaxSpeedFlags

const isPostcopy = (bits: number) => (bits & VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY) !== 0

/** @throws VIR_ERR_OPERATION_UNSUPPORTED */
async function checkCompression(domain: QemuDomain): Promise<void> {
  if ((await knownCapabilities(domain)).has('xbzrle')) return
  throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'Compressed migration is not supported by QEMU binary')
}

const set = { on: 'domain', acl: 'domain:migrate', job: 'migration-op', needs: 'active', ret: {} } as const
const get = { on: 'domain', acl: 'domain:migrate', job: 'query', needs: 'active', args: { flags: flags() } } as const

export const migrateSettings = {
  /** How long the guest may stand still at the end of its migration. */
  virDomainMigrateSetMaxDowntime: method({
    ...set,
    since: '0.8.0',
    args: { downtime: uhyper('ms'), flags: flags() },
    async run(domain, { downtime }) {
      await setParameters(domain, { 'downtime-limit': downtime })
      return {}
    }
  }),

  virDomainMigrateGetMaxDowntime: method({
    ...get,
    since: '3.7.0',
    ret: { downtime: uhyper('ms') },
    async run(domain) {
      const { 'downtime-limit': limit } = await currentParameters(domain)
      if (limit === undefined) throw refuse('Querying migration downtime is not supported by QEMU binary')
      return { downtime: BigInt(limit) }
    }
  }),

  /** Memory for what was sent last, of compression by xbzrle. */
  virDomainMigrateSetCompressionCache: method({
    ...set,
    since: '1.0.3',
    args: { cacheSize: uhyper('bytes'), flags: flags() },
    async run(domain, { cacheSize }) {
      await checkCompression(domain)
      await setParameters(domain, { 'xbzrle-cache-size': cacheSize })
      return {}
    }
  }),

  virDomainMigrateGetCompressionCache: method({
    ...get,
    since: '1.0.3',
    ret: { cacheSize: uhyper('bytes') },
    async run(domain) {
      await checkCompression(domain)
      const { 'xbzrle-cache-size': size = 0 } = await currentParameters(domain)
      return { cacheSize: BigInt(size) }
    }
  }),

  /** What a migration may send in a second; VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY: once it is in post-copy. */
  virDomainMigrateSetMaxSpeed: method({
    since: '0.9.0',
    on: 'domain',
    acl: 'domain:migrate',
    job: 'migration-op',
    needs: ({ flags: bits }) => (isPostcopy(bits) ? 'active' : undefined),
    args: { bandwidth: uhyper('MiB/s'), flags: flags(virDomainMigrateMaxSpeedFlags) },
    ret: {},
    check({ bandwidth, flags: bits }) {
      const max = isPostcopy(bits) ? (2n ** 64n - 1n) / MIB : SPEED_MAX_MIB
      if (bandwidth > max) throw fail('VIR_ERR_OVERFLOW', `bandwidth must be less than ${max + 1n}`)
    },
    async run(domain, { bandwidth, flags: bits }) {
      const parameter = isPostcopy(bits) ? 'max-postcopy-bandwidth' : 'max-bandwidth'
      if (domain.isActive) await setParameters(domain, { [parameter]: bandwidth * MIB })
      if (isPostcopy(bits)) return {}
      domain.migrationSpeedMiB = bandwidth < SPEED_MAX_MIB ? Number(bandwidth) : undefined
      domain.save()
      return {}
    }
  }),

  virDomainMigrateGetMaxSpeed: method({
    since: '0.9.5',
    on: 'domain',
    acl: 'domain:migrate',
    job: ({ flags: bits }) => (isPostcopy(bits) ? 'query' : undefined),
    needs: ({ flags: bits }) => (isPostcopy(bits) ? 'active' : undefined),
    args: { flags: flags(virDomainMigrateMaxSpeedFlags) },
    ret: { bandwidth: uhyper('MiB/s') },
    async run(domain, { flags: bits }) {
      if (!isPostcopy(bits)) return { bandwidth: migrationSpeed(domain) }
      const { 'max-postcopy-bandwidth': speed } = await currentParameters(domain)
      if (speed !== undefined) return { bandwidth: BigInt(speed) / MIB }
      throw refuse('querying maximum post-copy migration speed is not supported by QEMU binary')
    }
  }),

  /** Has the guest go on at its destination, which fetches the rest of its memory from here. */
  virDomainMigrateStartPostCopy: method({
    ...set,
    since: '1.3.3',
    args: { flags: flags() },
    async run({ jobs, qmp }) {
      if (jobs.async?.kind !== 'migration-out') {
        throw refuse('post-copy can only be started while outgoing migration is in progress')
      }
      if ((jobs.async.flags & VIR_MIGRATE_POSTCOPY) === 0) {
        throw refuse('switching to post-copy requires migration to be started with VIR_MIGRATE_POSTCOPY flag')
      }
      await qmp.execute('migrate-start-postcopy')
      return {}
    }
  })
}
