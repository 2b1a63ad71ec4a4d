// <cookie>: facts needed beside the domain to restore a saved guest (qemuDomainSaveCookie).
import { type CpuDef, cpuFields } from './domain/cpu.ts'
import { errorsFrom } from './error.ts'
import { element, firstChild, formatXml, parseXml, type XmlElement } from './xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export interface SaveCookie {
  /** the CPU that QEMU had made for the guest; its definition has the one it was asked for */
  cpu?: CpuDef
  /** its user networking ran in a process of its own */
  slirpHelper?: true
}

function fromElement(node: XmlElement): SaveCookie {
  const cpu = cpuFields.cpu.parse(node, { inactive: true, status: false })
  return { ...(cpu && { cpu }), ...(firstChild(node, 'slirpHelper') && { slirpHelper: true }) }
}

/** The `<cookie>` below an element, if there is one. */
export function parseSaveCookie(parent: XmlElement): SaveCookie | undefined {
  const node = firstChild(parent, 'cookie')
  return node && fromElement(node)
}

/** The cookie of a save image, a document of its own. @throws VIR_ERR_XML_DETAIL, VIR_ERR_XML_ERROR */
export function parseSaveCookieDocument(text: string): SaveCookie {
  const root = parseXml(text, '(save cookie)')
  if (root.name !== 'cookie') throw fail('VIR_ERR_XML_ERROR', `expecting root element of 'cookie', not '${root.name}'`)
  return fromElement(root)
}

/** `<cookie>`, for a snapshot. */
export function formatSaveCookie({ cpu, slirpHelper }: SaveCookie): XmlElement {
  const node = element('cookie')
  cpuFields.cpu.format(cpu, node, { inactive: true, secure: false, migratable: false, status: false })
  if (slirpHelper) node.children.push(element('slirpHelper'))
  return node
}

/** The cookie as a document of its own, for a save image. */
export function formatSaveCookieDocument(cookie: SaveCookie): string {
  return formatXml(formatSaveCookie(cookie))
}
