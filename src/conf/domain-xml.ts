// <domain> as text: parse to the typed definition, format back to libvirt's canonical XML.
import { linkVcpuPlacement } from './domain/vcpu.ts'
import { type DomainDef, domainFields, domainFieldsAsRead } from './domain-def.ts'
import {
  type Fields,
  type FormatContext,
  formatContext,
  formatFields,
  type ParseContext,
  parseFields
} from './element.ts'
import { errorsFrom } from './error.ts'
import { addHostdevControllers } from './implicit-devices.ts'
import { unknownName } from './unknown-name.ts'
import { formatXml, parseXml, type XmlElement } from './xml.ts'

const fail = errorsFrom('VIR_FROM_XML')

export interface ParseOptions extends Partial<ParseContext> {
  /** refuse elements and attributes that are not known (VIR_DOMAIN_DEFINE_VALIDATE) */
  validate?: boolean
}

/** Consequences of one element for others, drawn once all are read. */
const LINKS: ((def: DomainDef) => void)[] = [linkVcpuPlacement, addHostdevControllers]

/**
 * Reads domain XML as the user wrote it; defaults are filled in by postParse.
 * @throws VIR_ERR_XML_DETAIL (not well formed), VIR_ERR_XML_ERROR (wrong values), VIR_ERR_XML_INVALID_SCHEMA
 */
export function parseDomain(text: string, options: ParseOptions = {}): DomainDef {
  const root = parseXml(text, '(domain_definition)')
  if (root.name.replace(/^.*:/, '') !== 'domain') {
    throw fail('VIR_ERR_XML_ERROR', `expecting root element of 'domain', not '${root.name}'`)
  }
  if (options.validate) checkNames(root, domainFields, 'domain.rng')
  return parseDomainNode(root, options)
}

/** As `parseDomain`, of an element that is a domain under whatever name: documents hold domains too. */
export function parseDomainNode(node: XmlElement, options: Partial<ParseContext> = {}): DomainDef {
  const def = parseFields(node, domainFieldsAsRead, {
    inactive: options.inactive ?? true,
    abiUpdate: options.abiUpdate ?? true,
    status: options.status ?? false
  })
  for (const link of LINKS) link(def)
  return def
}

/** Refuses what no field of the table knows, as validation against libvirt's schema does. @throws VIR_ERR_XML_INVALID_SCHEMA */
export function checkNames(root: XmlElement, fields: Fields, schema: string): void {
  const unknown = unknownName(root, fields)
  if (unknown)
    throw fail('VIR_ERR_XML_INVALID_SCHEMA', `Unable to validate doc against ${schema}\n${unknown} is not known`)
}

/** Writes a definition as libvirt would. The default is what `virsh dumpxml --inactive` shows. */
export function formatDomain(def: DomainDef, options: Partial<FormatContext> = {}): string {
  return formatXml(formatDomainNode(def, options))
}

/** As `formatDomain`, as an element of that name. */
export function formatDomainNode(def: DomainDef, options: Partial<FormatContext> = {}, name = 'domain'): XmlElement {
  const context = formatContext(options)
  return formatFields(name, def, domainFields, context)
}
