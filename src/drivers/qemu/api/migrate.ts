// Migration: the phases of libvirt's protocol, each a call of its own. They are in no header of libvirt's, but in its
// protocol; clients make virDomainMigrate* of them. All of it is loaded when it is called for.
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { bytes, defaulted, flags, int, optional, text } from '../../../conf/wire.ts'
import { type Connect, domainHandle } from '../../connection.ts'
import { methodFor } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { decodeCookie, encodeCookie } from '../migration/cookie.ts'
import { migrationParams } from '../migration/params.ts'

const method = methodFor<QemuDomain>()
const onConnect = methodFor<Connect>()

const params = migrationParams
const migrateFlags = flags(virDomainMigrateFlags)
const cookieIn = optional(bytes("the other side's cookie, <qemu-migration>, ended by a NUL"))
const cookieOut = bytes("this side's cookie")
const cancelled = defaulted(int('not 0: the phases before have failed'), 0)

const migrates = { since: '1.1.0', acl: 'domain:migrate' } as const
const source = { ...migrates, on: 'domain' } as const
const destination = { ...migrates, on: 'connect' } as const

const leaving = () => import('../migration/source.ts')

export const migrate = {
  /** Whether the guest can go, and what it is. Source: qemuDomainMigrateBegin3Params. */
  virDomainMigrateBegin3Params: method({
    ...source,
    args: { params, flags: migrateFlags },
    ret: { cookie_out: cookieOut, xml: text() },
    keeps: ({ flags: bits }) => (bits & virDomainMigrateFlags.VIR_MIGRATE_CHANGE_PROTECTION) !== 0,
    async run(domain, asked, call) {
      const { xml, cookie } = await (await leaving()).beginMigration(domain, asked, call)
      return { xml, cookie_out: encodeCookie(cookie) }
    }
  }),

  /** Has a guest waited for on this side. Source: qemuDomainMigratePrepare3Params. */
  virDomainMigratePrepare3Params: onConnect({
    ...destination,
    args: { params, cookie_in: cookieIn, flags: migrateFlags },
    ret: { cookie_out: cookieOut, uri_out: optional(text()) },
    keeps: () => true,
    async run(connect, { cookie_in: cookie, ...asked }, { api, connection }) {
      const { cookie: answer, uri } = await connect.prepareMigration({ ...asked, cookie }, api, connection)
      return { cookie_out: answer, uri_out: uri }
    }
  }),

  /** Sends the guest. Source: qemuDomainMigratePerform3Params. */
  virDomainMigratePerform3Params: method({
    ...source,
    args: {
      dconnuri: optional(text('URI of the other side, for a guest that is to drive its migration itself')),
      params,
      cookie_in: cookieIn,
      flags: migrateFlags
    },
    ret: { cookie_out: cookieOut },
    keeps: () => true,
    async run(domain, { dconnuri, cookie_in, ...asked }, call) {
      const cookie = decodeCookie(cookie_in)
      const answer = await (await leaving()).performMigration(domain, asked, { cookie, dconnuri }, call)
      return { cookie_out: answer === undefined ? Buffer.alloc(0) : encodeCookie(answer) }
    }
  }),

  /** Lets the guest run that has come, or gives it up. Source: qemuDomainMigrateFinish3Params. */
  virDomainMigrateFinish3Params: onConnect({
    ...destination,
    args: { params, cookie_in: cookieIn, flags: migrateFlags, cancelled },
    ret: { dom: domainHandle, cookie_out: cookieOut },
    async run(connect, { cookie_in: cookie, cancelled: gone, ...asked }, { api }) {
      const { dom, cookie: answer } = await connect.finishMigration({ ...asked, cookie, cancelled: gone !== 0 }, api)
      return { dom, cookie_out: answer }
    }
  }),

  /** Ends the guest here, or lets it run on. Source: qemuDomainMigrateConfirm3Params. */
  virDomainMigrateConfirm3Params: method({
    ...source,
    args: { params, cookie_in: cookieIn, flags: migrateFlags, cancelled },
    ret: {},
    async run(domain, { cookie_in: cookie, cancelled: gone, ...asked }) {
      await (await leaving()).confirmMigration(domain, asked, decodeCookie(cookie), gone !== 0)
      return {}
    }
  })
}
