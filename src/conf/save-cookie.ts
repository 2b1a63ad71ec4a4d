// <cookie>: facts needed beside the domain to restore a saved guest (qemuDomainSaveCookie).
import { type CpuDef, cpuFields, formatCpu } from './domain/cpu.ts'
import { errorsFrom } from './error.ts'
import { element, firstChild, formatXml, parseXml, type XmlElement } from './xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export interface SaveCookie {
  /** the CPU that QEMU had made for the guest; its definition has the one it was asked for */
  cpu?: CpuDef
  /** its user networking ran in a process of its own */
  slirpHelper?: true
}

/** The `<cpu>` in a cookie, of a saved guest or one that migrates; NUMA cells are the definition's alone. */
export function parseCookieCpu(cookie: XmlElement): CpuDef | undefined {
  const cpu = cpuFields.cpu.parse(cookie, { inactive: true, status: false })
  if (cpu) delete cpu.numa
  return cpu
}

/** `<cpu>` for a cookie; undefined for one that says nothing. */
export function formatCookieCpu({ numa: _, ...cpu }: CpuDef): XmlElement | undefined {
  const node = formatCpu(cpu)
  return Object.keys(node.attributes).length + node.children.length > 0 ? node : undefined
}

function fromElement(node: XmlElement): SaveCookie {
  const cpu = parseCookieCpu(node)
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
  return element('cookie', {}, [cpu && formatCookieCpu(cpu), slirpHelper && element('slirpHelper')])
}

/** The cookie as a document of its own, for a save image. */
export function formatSaveCookieDocument(cookie: SaveCookie): string {
  return formatXml(formatSaveCookie(cookie))
}
