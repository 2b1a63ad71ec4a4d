// Commands on what is kept of a guest: its definition, its name, its start with the host.
import { virDomainDefineFlags, virDomainUndefineFlagsValues, virDomainXMLFlags } from '../../conf/enums.ts'
import { decodeXml, firstChild, parseXml, textOf } from '../../conf/xml.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import type { Connection } from '../connection.ts'
import { editXml } from '../editor.ts'
import { ClientError, saying } from '../failure.ts'
import { readOrFail } from '../input.ts'
import type { Session } from '../session.ts'
import { type Filters, flagsIn } from './moment.ts'

const { VIR_DOMAIN_DEFINE_VALIDATE } = virDomainDefineFlags
const { VIR_DOMAIN_XML_INACTIVE, VIR_DOMAIN_XML_SECURE } = virDomainXMLFlags
const UNDEFINE = virDomainUndefineFlagsValues
const UNDEFINE_FLAGS: Filters = {
  'managed-save': UNDEFINE.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE,
  'snapshots-metadata': UNDEFINE.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
  'checkpoints-metadata': UNDEFINE.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA,
  nvram: UNDEFINE.VIR_DOMAIN_UNDEFINE_NVRAM,
  'keep-nvram': UNDEFINE.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM,
  tpm: UNDEFINE.VIR_DOMAIN_UNDEFINE_TPM,
  'keep-tpm': UNDEFINE.VIR_DOMAIN_UNDEFINE_KEEP_TPM
}

/** Gives a guest a definition. @param flags virDomainDefineFlags @returns the guest's name */
async function defineBy(connection: Connection, xml: string, flags: number): Promise<string> {
  const call =
    flags === 0
      ? connection.call('virDomainDefineXML', { xml })
      : connection.call('virDomainDefineXMLFlags', { xml, flags })
  return (await call).dom.name
}

/** Who defines a guest: the aggregator, or the shim that has it already. @throws ClientError where there is neither */
async function definerOf(session: Session, xml: string): Promise<Connection> {
  const central = await session.central()
  if (central) return central
  const name = firstChild(parseXml(xml), 'name')
  const known = (await session.guests()).find(({ report }) => name && report.name === textOf(name))
  const found = (await session.connections()).find(({ socket }) => socket === known?.shim.socket)
  if (found) return found
  throw new ClientError('a guest that has no process of its own is defined by the aggregator, which does not run')
}

async function edit({ shim, given, session, name }: DomainCall): Promise<void> {
  const flags = given.has('skip-validate') ? 0 : VIR_DOMAIN_DEFINE_VALIDATE
  const shown = VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE
  const definer = (await session.connections()).find(({ socket }) => socket === shim.socket)!
  let edited = name
  const isChanged = await editXml(session, {
    get: async () => (await shim.call('virDomainGetXMLDesc', { flags: shown })).xml,
    define: async xml => {
      edited = await defineBy(definer, xml, flags)
    }
  })
  session.printExtra(`Domain '${edited}' XML configuration ${isChanged ? 'edited' : 'not changed'}.\n`)
}

async function autostart({ shim, given, session, wanted }: DomainCall): Promise<void> {
  const verb = given.has('disable') ? 'unmark' : 'mark'
  const when = given.has('once') ? 'autostarted on next boot' : 'autostarted'
  const args = { autostart: given.has('disable') ? 0 : 1 }
  const call = given.has('once')
    ? shim.call('virDomainSetAutostartOnce', args)
    : shim.call('virDomainSetAutostart', args)
  await saying(`Failed to ${verb} domain '${wanted}' as ${when}`, call)
  session.printExtra(`Domain '${wanted}' ${verb}ed as ${when}\n`)
}

export const definitions: Commands = {
  autostart: {
    ...onDomain(
      'autostart a domain',
      { disable: option.bool('disable autostarting'), once: option.bool('control next boot state') },
      autostart
    ),
    description: 'Configure a domain to be automatically started at boot.'
  },

  define: {
    help: "define (but don't start) a domain from an XML file",
    description: 'Define a domain.',
    options: {
      file: option.text('file containing an XML domain description', { required: true }),
      validate: option.bool('validate the XML against the schema')
    },
    async run(session, given) {
      const file = given.text('file')!
      const xml = decodeXml(await readOrFail(file))
      const flags = given.has('validate') ? VIR_DOMAIN_DEFINE_VALIDATE : 0
      const defined = definerOf(session, xml).then(definer => defineBy(definer, xml, flags))
      session.printExtra(
        `Domain '${await saying(`Failed to define domain from ${file}`, defined)}' defined from ${file}\n`
      )
    }
  },

  domrename: {
    ...onDomain(
      'rename a domain',
      { 'new-name': option.text('new domain name', { required: true }) },
      async ({ shim, given, session }) => {
        await shim.call('virDomainRename', { new_name: given.text('new-name')! })
        session.printExtra('Domain successfully renamed\n')
      },
      { id: false }
    ),
    description: 'Rename an inactive domain.'
  },

  edit: {
    ...onDomain(
      'edit XML configuration for a domain',
      { 'skip-validate': option.bool('skip validation of the XML against the schema') },
      edit
    ),
    description: 'Edit the XML configuration for a domain.'
  },

  undefine: {
    ...onDomain(
      'undefine a domain',
      {
        'managed-save': option.bool('remove domain managed state file'),
        'snapshots-metadata': option.bool('remove all domain snapshot metadata (vm must be inactive)'),
        'checkpoints-metadata': option.bool('remove all domain checkpoint metadata (vm must be inactive)'),
        nvram: option.bool('remove nvram file'),
        'keep-nvram': option.bool('keep nvram file'),
        tpm: option.bool('remove TPM state'),
        'keep-tpm': option.bool('keep TPM state')
      },
      async ({ shim, given, session, wanted }) => {
        given.exclusive(['nvram', 'keep-nvram'], ['tpm', 'keep-tpm'])
        const call = shim.call('virDomainUndefineFlags', { flags: flagsIn(given, UNDEFINE_FLAGS) })
        await saying(`Failed to undefine domain '${wanted}'`, call)
        session.printExtra(`Domain '${wanted}' has been undefined\n`)
      }
    ),
    description: 'Undefine an inactive domain, or convert persistent to transient.'
  }
}
