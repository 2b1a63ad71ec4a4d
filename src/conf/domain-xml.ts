// <domain> as text: parse to the typed definition, format back to libvirt's canonical XML.
import { linkNuma } from './domain/numa.ts'
import { linkVcpuPlacement } from './domain/vcpu.ts'
import { type DomainDef, domainFields } from './domain-def.ts'
import { type FormatContext, formatFields, type ParseContext, parseFields, unknownName } from './element.ts'
import { errorsFrom } from './error.ts'
import { addHostdevControllers } from './implicit-devices.ts'
import { formatXml, parseXml } from './xml.ts'

const fail = errorsFrom('VIR_FROM_XML')

export interface ParseOptions extends Partial<ParseContext> {
  /** refuse elements and attributes that are not known (VIR_DOMAIN_DEFINE_VALIDATE) */
  validate?: boolean
}

/** What one element says of another, once both are read. */
const LINKS: ((def: DomainDef) => void)[] = [linkNuma, linkVcpuPlacement, addHostdevControllers]

/**
 * Reads domain XML as the user wrote it; defaults are filled in by postParse.
 * @throws VIR_ERR_XML_DETAIL (not well formed), VIR_ERR_XML_ERROR (wrong values), VIR_ERR_XML_INVALID_SCHEMA
 */
export function parseDomain(text: string, options: ParseOptions = {}): DomainDef {
  const root = parseXml(text, '(domain_definition)')
  if (root.name !== 'domain') {
    throw fail('VIR_ERR_XML_ERROR', `expecting root element of 'domain', not '${root.name}'`)
  }
  // A default namespace makes every child some other element of that name
  if (root.namespace !== undefined) throw fail('VIR_ERR_NO_NAME')
  if (options.validate) {
    const unknown = unknownName(root, domainFields)
    if (unknown) throw fail('VIR_ERR_XML_INVALID_SCHEMA', `${unknown} is not known`)
  }
  const def = parseFields(root, domainFields, { inactive: options.inactive ?? true, status: options.status ?? false })
  for (const link of LINKS) link(def)
  return def
}

/** Writes a definition as libvirt would. The default is what `virsh dumpxml --inactive` shows. */
export function formatDomain(def: DomainDef, options: Partial<FormatContext> = {}): string {
  const context = {
    inactive: options.inactive ?? true,
    secure: options.secure ?? false,
    migratable: options.migratable ?? false,
    status: options.status ?? false
  }
  return formatXml(formatFields('domain', def, domainFields, context))
}
