// APIs of a shim that libvirt does not have: over HTTP alone.
import { virDomainMigrateFlags } from '../conf/enums.ts'
import { bytes, flags, type JsonValues, optional, text } from '../conf/wire.ts'
import { type Method, methodFor } from '../drivers/method.ts'
import { findings, migrationParams } from '../drivers/migration.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import type { Api } from '../drivers/qemu/index.ts'

const method = methodFor<QemuDomain>()

/** Rows with their names, as the API table has them. */
export const named = <R extends Record<string, Method<never>>>(rows: R): Readonly<Record<keyof R, Api>> =>
  Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, { name, ...row }])) as never

const rows = {
  /**
   * The dry run of a migration at its source: all that speaks against it, and what its destination is to be asked with, by
   * virDomainQemuMigrateCheckPrepare. Nothing is started or changed.
   */
  virDomainQemuMigrateCheckBegin: method({
    since: '0.1.0',
    on: 'domain',
    acl: 'domain:migrate',
    args: {
      dconnuri: optional(text('URI of the other side, for a guest that is to drive its migration itself')),
      params: migrationParams,
      flags: flags(virDomainMigrateFlags)
    },
    ret: {
      findings,
      xml: optional(text('the definition that goes there')),
      cookie_out: optional(bytes("this side's cookie"))
    },
    async run(domain, { dconnuri, ...asked }) {
      const { checkBeginPhase } = await import('../drivers/qemu/migration/check-begin.ts')
      const { encodeCookie } = await import('../drivers/qemu/migration/cookie.ts')
      const { findings: found, xml, cookie } = await checkBeginPhase(domain, asked, dconnuri)
      return { findings: found, xml, cookie_out: cookie === undefined ? undefined : encodeCookie(cookie) }
    }
  })
}

export const shimRows = named(rows)

type Row = (typeof rows)['virDomainQemuMigrateCheckBegin']
export type CheckBeginArgs = JsonValues<Row['args']>
export type CheckBeginRet = JsonValues<Row['ret']>
