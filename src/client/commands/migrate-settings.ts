// Commands on limits of a guest's migration, and on its switch to post-copy.
import { virDomainMigrateMaxSpeedFlags } from '../../conf/enums.ts'
import type { Given } from '../arguments.ts'
import { prettyCapacity } from '../capacity.ts'
import { type Commands, onDomain, option } from '../command.ts'
import { ClientError } from '../failure.ts'

const { VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY } = virDomainMigrateMaxSpeedFlags

const speedFlags = (given: Given) => (given.has('postcopy') ? VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY : 0)

export const migrateSettings: Commands = {
  'migrate-setmaxdowntime': onDomain(
    'set maximum tolerable downtime',
    { downtime: option.int('maximum tolerable downtime (in milliseconds) for migration', { required: true }) },
    async ({ shim, given }) => {
      const downtime = given.ulonglong('downtime')!
      if (downtime < 1n) throw new ClientError('migrate: Invalid downtime')
      await shim.call('virDomainMigrateSetMaxDowntime', { downtime })
    }
  ),
  'migrate-getmaxdowntime': onDomain('get maximum tolerable downtime', {}, async ({ shim, session }) => {
    session.print(`${(await shim.call('virDomainMigrateGetMaxDowntime', {})).downtime}\n`)
  }),
  'migrate-compcache': onDomain(
    'get/set compression cache size',
    { size: option.int('requested size of the cache (in bytes) used for compression', { named: true }) },
    async ({ shim, given, session }) => {
      const cacheSize = given.ulonglong('size')
      if (cacheSize !== undefined) await shim.call('virDomainMigrateSetCompressionCache', { cacheSize })
      const now = await shim.call('virDomainMigrateGetCompressionCache', {})
      session.print(`Compression cache: ${prettyCapacity(now.cacheSize)}`)
    }
  ),
  'migrate-setspeed': onDomain(
    'Set the maximum migration bandwidth',
    {
      bandwidth: option.int('migration bandwidth limit in MiB/s', { required: true }),
      postcopy: option.bool('set post-copy migration bandwidth')
    },
    async ({ shim, given }) => {
      const bandwidth = given.ulonglong('bandwidth', { wraps: true })!
      await shim.call('virDomainMigrateSetMaxSpeed', { bandwidth, flags: speedFlags(given) })
    }
  ),
  'migrate-getspeed': onDomain(
    'Get the maximum migration bandwidth',
    { postcopy: option.bool('get post-copy migration bandwidth') },
    async ({ shim, given, session }) => {
      const { bandwidth } = await shim.call('virDomainMigrateGetMaxSpeed', { flags: speedFlags(given) })
      session.print(`${bandwidth}\n`)
    }
  ),
  'migrate-postcopy': onDomain('Switch running migration from pre-copy to post-copy', {}, async ({ shim }) => {
    await shim.call('virDomainMigrateStartPostCopy', {})
  })
}
