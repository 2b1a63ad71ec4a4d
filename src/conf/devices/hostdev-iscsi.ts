// <source protocol='iscsi'> of <hostdev>: a unit of an iSCSI target, reached by QEMU itself.
import {
  attr,
  type Def,
  type Fields,
  type FormatContext,
  formatFields,
  type ParseContext,
  parseFields,
  requiredOr
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string } from '../scalar.ts'
import { type StorageAuth, storageAuth } from '../storage/secret.ts'
import { storageHosts, storageInitiator } from '../storage/source-network.ts'
import type { XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const bad = (message: string) => fail('VIR_ERR_XML_ERROR', message)

export const iscsiFields = {
  protocol: requiredOr(attr('protocol', enumOf('iscsi')), () => bad('missing protocol')),
  /** target and unit, `iqn…/1` */
  name: requiredOr(attr('name', string), () => bad('missing iSCSI hostdev source path name')),
  hosts: storageHosts,
  auth: storageAuth,
  /** name the guest's host has towards the target */
  initiator: storageInitiator
} satisfies Fields
export type IscsiSource = Def<typeof iscsiFields>

const SECRET_TYPES = ['none', 'volume', 'ceph', 'iscsi', 'tls', 'vtpm']

/** virDomainHostdevSubsysSCSIiSCSIDefParseXML. */
export function parseIscsi(node: XmlElement, context: ParseContext): IscsiSource {
  const source = parseFields(node, iscsiFields, context)
  if (source.hosts.length === 0) throw bad('missing the host address for the iSCSI hostdev')
  if (source.hosts.length > 1) throw bad('only one source host address may be specified for the iSCSI hostdev')
  if (source.auth) checkSecret(source.auth)
  return source
}

function checkSecret({ secret }: StorageAuth): void {
  const { type } = secret
  if (type === undefined || !SECRET_TYPES.includes(type)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `invalid secret type ${type ?? '(null)'}`)
  }
  if (type !== 'iscsi') throw fail('VIR_ERR_INTERNAL_ERROR', `hostdev invalid secret type '${type}'`)
}

/** Only name and port of the host are kept. */
export function formatIscsi(source: IscsiSource, context: FormatContext): XmlElement {
  const hosts = source.hosts.map(({ name, port }) => ({ name, port, transport: 'tcp' as const }))
  return formatFields('source', { ...source, hosts }, iscsiFields, context)
}
