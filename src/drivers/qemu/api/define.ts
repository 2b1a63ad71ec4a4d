// Guests that become known and are forgotten: define, create from XML, undefine, rename.
import { virDomainCreateFlags, virDomainDefineFlags, virDomainUndefineFlagsValues } from '../../../conf/enums.ts'
import { argumentErrorsFrom } from '../../../conf/error.ts'
import { flags, optional, text } from '../../../conf/wire.ts'
import { type Connect, domainHandle } from '../../connection.ts'
import { type CallOf, methodFor, noFlags } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { renameDomain } from '../domain/rename.ts'
import { undefineDomain } from '../domain/undefine.ts'
import { asksForTie } from '../process/auto-destroy.ts'

const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')
const onConnect = methodFor<Connect>()
const onDomain = methodFor<QemuDomain>()

const { VIR_DOMAIN_START_PAUSED, VIR_DOMAIN_START_AUTODESTROY, VIR_DOMAIN_START_VALIDATE } = virDomainCreateFlags
const { VIR_DOMAIN_START_RESET_NVRAM } = virDomainCreateFlags

/** Flags of a guest created from XML; a saved image or a forced boot need one that is kept. */
export const createXmlFlags = {
  VIR_DOMAIN_START_PAUSED,
  VIR_DOMAIN_START_AUTODESTROY,
  VIR_DOMAIN_START_VALIDATE,
  VIR_DOMAIN_START_RESET_NVRAM
}

const createXml = {
  on: 'connect',
  acl: 'domain:start',
  tied: asksForTie,
  args: { xmlDesc: text('domain XML'), flags: flags(createXmlFlags) },
  ret: { dom: domainHandle },
  run: async (
    connect: Connect,
    { xmlDesc, flags: bits }: { xmlDesc: string; flags: number },
    { connection }: CallOf<undefined>
  ) => ({ dom: await connect.create(xmlDesc, bits, connection) })
} as const

export const define = {
  /** Starts a guest from XML. It is transient, unless it is a guest that is kept and shut off. */
  virDomainCreateXML: onConnect({ ...createXml, since: '0.5.0' }),

  /** The old name of virDomainCreateXML. */
  virDomainCreateLinux: onConnect({ ...createXml, since: '0.0.3' }),

  /** Makes a guest known, or changes the persistent definition of one; a running guest has it from its next start. */
  virDomainDefineXML: onConnect({
    since: '0.1.1',
    on: 'connect',
    acl: 'domain:write',
    args: { xml: text('domain XML') },
    ret: { dom: domainHandle },
    run: async (connect, { xml }) => ({ dom: await connect.define(xml, 0) })
  }),

  /** As virDomainDefineXML; VIR_DOMAIN_DEFINE_VALIDATE refuses elements and attributes that are not known. */
  virDomainDefineXMLFlags: onConnect({
    since: '1.2.12',
    on: 'connect',
    acl: 'domain:write',
    args: { xml: text('domain XML'), flags: flags(virDomainDefineFlags) },
    ret: { dom: domainHandle },
    run: async (connect, { xml, flags: bits }) => ({ dom: await connect.define(xml, bits) })
  }),

  /** Forgets a guest that is shut off; one that runs becomes transient. */
  virDomainUndefine: onDomain({
    since: '0.1.1',
    on: 'domain',
    acl: 'domain:delete',
    job: 'modify',
    args: {},
    ret: {},
    run: domain => undefineDomain(domain, 0)
  }),

  /** As virDomainUndefine; flags say what may go with it: saved image, metadata of moments, UEFI variables, TPM. */
  virDomainUndefineFlags: onDomain({
    since: '0.9.4',
    on: 'domain',
    acl: 'domain:delete',
    job: 'modify',
    args: { flags: flags(virDomainUndefineFlagsValues) },
    ret: {},
    run: (domain, { flags: bits }) => undefineDomain(domain, bits)
  }),

  /** Gives a guest that is shut off another name; its directory, if it was named after it, goes along. */
  virDomainRename: onDomain({
    since: '1.2.19',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    needs: { inactive: 'cannot rename active domain' },
    args: { new_name: optional(text()), ...noFlags },
    ret: {},
    check({ new_name: name }) {
      if (name === undefined) throw badArgument('new_name in virDomainRename must not be NULL')
      if (name === '') throw badArgument('string new_name in virDomainRename must not be empty')
    },
    run: (domain, args) => renameDomain(domain, args.new_name!)
  })
}
