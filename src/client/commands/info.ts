// Commands that show or change what a guest is called and described as.
import { type Commands, impact, impactFlags, onDomain, option } from '../command.ts'
import { editXml } from '../editor.ts'
import { ClientError, saying } from '../failure.ts'
import { dumped, xpathOptions } from '../xpath.ts'
import { METADATA_TYPES, metadataText } from './monitor.ts'

const XML_FLAGS = { 'security-info': 1, inactive: 2, 'update-cpu': 4, migratable: 8 }
const HOSTNAME_SOURCES = new Map([
  ['lease', 1],
  ['agent', 2]
])

export const info: Commands = {
  desc: onDomain(
    "show or set domain's description or title",
    {
      ...impact,
      title: option.bool('modify/get the title instead of description'),
      'new-desc': option.argv('message')
    },
    async ({ shim, given, session, name }) => {
      const flags = impactFlags(given)
      const kind = given.has('title') ? 'TITLE' : 'DESCRIPTION'
      const noun = kind.toLowerCase()
      if (given.has('new-desc')) {
        const metadata = given.all('new-desc').join(' ')
        const call = shim.call('virDomainSetMetadata', { type: METADATA_TYPES[kind], metadata, flags })
        await saying(`Failed to set new domain ${noun}`, call)
        return session.printExtra(`Domain ${noun} updated successfully`)
      }
      const text = await metadataText(shim, kind, { flags })
      if (text) session.print(text)
      else session.printExtra(`No ${noun} for domain: ${name}`)
    }
  ),

  domhostname: onDomain(
    "print the domain's hostname",
    { source: option.text('from where to get the hostname: agent|lease', { values: Object.keys(HOSTNAME_SOURCES) }) },
    async ({ shim, given, session }) => {
      const source = given.text('source')
      const flags = source === undefined ? 0 : HOSTNAME_SOURCES.get(source)
      if (flags === undefined) throw new ClientError(`Unknown data source '${source}'`)
      const { hostname } = await saying('failed to get hostname', shim.call('virDomainGetHostname', { flags }))
      session.print(`${hostname}\n`)
    }
  ),

  domid: onDomain(
    'convert a domain name or UUID to domain id',
    {},
    async ({ session, id }) => session.print(`${id === -1 ? '-' : id}\n`),
    { id: false }
  ),

  domname: onDomain(
    'convert a domain id or UUID to domain name',
    {},
    async ({ session, name }) => session.print(`${name}\n`),
    { name: false }
  ),

  domuuid: onDomain('convert a domain name or id to domain UUID', {}, async ({ session, uuid }) =>
    session.print(`${uuid}\n`)
  ),

  dumpxml: onDomain(
    'domain information in XML',
    {
      inactive: option.bool('show inactive defined XML'),
      'security-info': option.bool('include security sensitive information in XML dump'),
      'update-cpu': option.bool('update guest CPU according to host CPU'),
      migratable: option.bool('provide XML suitable for migrations'),
      ...xpathOptions
    },
    async ({ shim, given, session }) => {
      const flags = Object.entries(XML_FLAGS).reduce((bits, [name, bit]) => bits | (given.has(name) ? bit : 0), 0)
      session.print(dumped((await shim.call('virDomainGetXMLDesc', { flags })).xml, given))
    }
  ),

  metadata: onDomain(
    "show or set domain's custom XML metadata",
    {
      uri: option.text('URI of the namespace', { required: true }),
      ...impact,
      edit: option.bool('use an editor to change the metadata'),
      key: option.text('key to be used as a namespace identifier'),
      set: option.text('new metadata to set'),
      remove: option.bool('remove the metadata corresponding to an uri')
    },
    async ({ shim, given, session }) => {
      given.exclusive(['edit', 'set'], ['remove', 'set'], ['remove', 'edit'])
      const flags = impactFlags(given)
      const uri = given.text('uri')
      const key = given.text('key')
      const metadata = given.text('set')
      if ((metadata !== undefined || given.has('edit')) && key === undefined) {
        throw new ClientError('namespace key is required when modifying metadata')
      }
      if (metadata !== undefined || given.has('remove')) {
        await shim.call('virDomainSetMetadata', { type: METADATA_TYPES.ELEMENT, metadata, key, uri, flags })
        return session.printExtra(`Metadata ${given.has('remove') ? 'removed' : 'modified'}\n`)
      }
      const get = async () => (await metadataText(shim, 'ELEMENT', { uri, flags })) ?? ''
      if (!given.has('edit')) return session.print(`${await get()}\n`)
      const type = METADATA_TYPES.ELEMENT
      const define = (metadata: string) => shim.call('virDomainSetMetadata', { type, metadata, key, uri, flags })
      session.printExtra((await editXml(session, { get, define })) ? 'Metadata modified\n' : 'Metadata not changed')
    }
  )
}
