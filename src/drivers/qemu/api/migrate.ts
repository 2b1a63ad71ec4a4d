// Migration: the phases of libvirt's protocol, each a call of its own. They are in no header of libvirt's, but in its
// protocol; clients make virDomainMigrate* of them. All of it is loaded when it is called for.
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { bytes, defaulted, flags, int, optional, text, uhyper } from '../../../conf/wire.ts'
import { type Connect, domainHandle } from '../../connection.ts'
import { methodFor } from '../../method.ts'
import { type MigrationParams, migrationParams } from '../../migration.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { checkToUri } from '../migration/checks.ts'
import { decodeCookie, encodeCookie } from '../migration/cookie.ts'
import type { Asked, PhaseCall } from '../migration/phases.ts'

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

/** Arguments of what has a guest waited for. */
const phaseArguments = { params, cookie_in: cookieIn, flags: migrateFlags }

const noTunnel = () => errorsFrom('VIR_FROM_QEMU')('VIR_ERR_ARGUMENT_UNSUPPORTED', "a tunnel takes libvirt's protocol")

const leaving = () => import('../migration/source.ts')
const confirming = () => import('../migration/confirm.ts')

/** The same by the calls of before 1.1.0, which have no typed parameters. */
const older = {
  flags: uhyper('virDomainMigrateFlags'),
  dname: optional(text('its name there')),
  resource: uhyper('MiB/s; 0: no limit of its own')
}
const xmlin = optional(text('domain XML for the other side, instead of that of the guest'))
const uri = optional(text('where QEMU waits for the guest'))
const bandwidth = defaulted(uhyper('MiB/s; 0: no limit of its own'), 0n)
const olderCancelled = int('not 0: the phases before have failed')

/** The newer names, by which a shim is asked. */
const PREPARE = 'virDomainMigratePrepare3Params'
const FINISH = 'virDomainMigrateFinish3Params'

interface Older {
  flags: bigint
  dname?: string | undefined
  resource?: bigint
}

/** What such a call asks for. @param more parameters that the call has by another name */
function askedBy({ flags: bits, dname, resource }: Older, more: MigrationParams = {}): Asked {
  const given = { ...more, destination_name: dname, bandwidth: resource || undefined }
  return {
    params: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    flags: migrateFlags.fromJson(Number(bits), 'flags')
  }
}

/** Sends the guest to a daemon; the guest drives its migration itself. */
async function toUri(domain: QemuDomain, dconnuri: string, asked: Asked, call: PhaseCall) {
  checkToUri(asked.flags, dconnuri)
  await (await leaving()).performMigration(domain, asked, { cookie: undefined, dconnuri }, call)
  return {}
}

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
    args: phaseArguments,
    ret: { cookie_out: cookieOut, uri_out: optional(text()) },
    keeps: () => true,
    brings: ({ params, flags: bits }) => ({ ...params, flags: bits }),
    async run(connect, { cookie_in: cookie, ...asked }, { api, connection }) {
      const { cookie: answer, uri } = await connect.prepareMigration({ ...asked, cookie }, api, connection)
      return { cookie_out: answer, uri_out: uri }
    }
  }),

  /** The same for a guest whose bytes come behind the call. Source: qemuDomainMigratePrepareTunnel3Params. */
  virDomainMigratePrepareTunnel3Params: onConnect({
    ...destination,
    stream: 'upload',
    args: phaseArguments,
    ret: { cookie_out: cookieOut },
    keeps: () => true,
    brings: ({ params, flags: bits }) => ({ ...params, flags: bits }),
    async run(connect, { cookie_in: cookie, ...asked }, { api, connection }) {
      if (!connect.prepareTunnel) throw noTunnel()
      const { cookie: answer, channel } = await connect.prepareTunnel({ ...asked, cookie }, api, connection)
      return { cookie_out: answer, channel }
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
    brings: ({ params: { destination_name }, flags: bits }) => ({ destination_name, flags: bits }),
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
      await (await confirming()).confirmMigration(domain, asked, decodeCookie(cookie), gone !== 0)
      return {}
    }
  }),

  virDomainMigrateBegin3: method({
    ...source,
    since: '0.9.2',
    args: { xmlin, ...older },
    ret: { cookie_out: cookieOut, xml: text() },
    keeps: ({ flags: bits }) => (Number(bits) & virDomainMigrateFlags.VIR_MIGRATE_CHANGE_PROTECTION) !== 0,
    async run(domain, { xmlin: destination_xml, ...given }, call) {
      const { xml, cookie } = await (await leaving()).beginMigration(domain, askedBy(given, { destination_xml }), call)
      return { xml, cookie_out: encodeCookie(cookie) }
    }
  }),

  virDomainMigratePrepare3: onConnect({
    ...destination,
    since: '0.9.2',
    args: { cookie_in: cookieIn, uri_in: uri, ...older, dom_xml: text('domain XML') },
    ret: { cookie_out: cookieOut, uri_out: optional(text()) },
    keeps: () => true,
    brings: ({ dom_xml: destination_xml, dname: destination_name, flags: bits }) => ({
      destination_xml,
      destination_name,
      flags: Number(bits)
    }),
    async run(connect, { cookie_in: cookie, uri_in: migrate_uri, dom_xml: destination_xml, ...given }, call) {
      const phase = { ...askedBy(given, { migrate_uri, destination_xml }), cookie }
      const prepared = await connect.prepareMigration(phase, PREPARE, call.connection)
      return { cookie_out: prepared.cookie, uri_out: prepared.uri }
    }
  }),

  virDomainMigratePerform3: method({
    ...source,
    since: '0.9.2',
    args: { xmlin, cookie_in: cookieIn, dconnuri: optional(text()), uri, ...older },
    ret: { cookie_out: cookieOut },
    keeps: () => true,
    async run(domain, { xmlin: destination_xml, cookie_in, dconnuri, uri: migrate_uri, ...given }, call) {
      const asked = askedBy(given, { migrate_uri, destination_xml })
      const cookie = decodeCookie(cookie_in)
      const answer = await (await leaving()).performMigration(domain, asked, { cookie, dconnuri }, call)
      return { cookie_out: answer === undefined ? Buffer.alloc(0) : encodeCookie(answer) }
    }
  }),

  virDomainMigrateFinish3: onConnect({
    ...destination,
    since: '0.9.2',
    args: {
      dname: text('its name here'),
      cookie_in: cookieIn,
      dconnuri: optional(text()),
      uri,
      flags: older.flags,
      cancelled: olderCancelled
    },
    ret: { dom: domainHandle, cookie_out: cookieOut },
    brings: ({ dname: destination_name, flags: bits }) => ({ destination_name, flags: Number(bits) }),
    async run(connect, { dname, cookie_in: cookie, flags: bits, cancelled: gone }) {
      const phase = { ...askedBy({ dname, flags: bits }), cookie, cancelled: gone !== 0 }
      const { dom, cookie: answer } = await connect.finishMigration(phase, FINISH)
      return { dom, cookie_out: answer }
    }
  }),

  virDomainMigrateConfirm3: method({
    ...source,
    since: '0.9.2',
    args: { cookie_in: cookieIn, flags: older.flags, cancelled: olderCancelled },
    ret: {},
    async run(domain, { cookie_in: cookie, flags: bits, cancelled: gone }) {
      await (await confirming()).confirmMigration(domain, askedBy({ flags: bits }), decodeCookie(cookie), gone !== 0)
      return {}
    }
  }),

  /** Moves the guest to the host of another daemon. */
  virDomainMigrateToURI: method({
    ...source,
    since: '0.7.2',
    args: { duri: text('URI of its daemon'), flags: migrateFlags, dname: older.dname, bandwidth },
    ret: {},
    run: (domain, { duri, flags: bits, dname, bandwidth: resource }, call) =>
      toUri(domain, duri, askedBy({ flags: BigInt(bits), dname, resource }), call)
  }),

  /** The same, with other XML and a way of its own. */
  virDomainMigrateToURI2: method({
    ...source,
    since: '0.9.2',
    args: {
      dconnuri: text('URI of its daemon'),
      miguri: uri,
      dxml: xmlin,
      flags: migrateFlags,
      dname: older.dname,
      bandwidth
    },
    ret: {},
    run: (domain, { dconnuri, miguri: migrate_uri, dxml: destination_xml, flags: bits, dname, bandwidth }, call) => {
      const asked = askedBy({ flags: BigInt(bits), dname, resource: bandwidth }, { migrate_uri, destination_xml })
      return toUri(domain, dconnuri, asked, call)
    }
  }),

  /** The same, with all that can be said of it. */
  virDomainMigrateToURI3: method({
    ...source,
    since: '1.1.0',
    args: { dconnuri: text('URI of its daemon'), params, flags: migrateFlags },
    ret: {},
    run: (domain, { dconnuri, ...asked }, call) => toUri(domain, dconnuri, asked, call)
  })
}
