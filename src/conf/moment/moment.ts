// Moments, the common part of snapshots and checkpoints: name, time and parent (virDomainMomentDef), and the disks that
// take part.
import type { DiskDef } from '../devices/disk.ts'
import type { DomainDef } from '../domain-def.ts'
import { formatDomainNode, parseDomainNode } from '../domain-xml.ts'
import { errorsFrom } from '../error.ts'
import { longlong } from '../scalar.ts'
import { storagePath } from '../storage/source.ts'
import { element, firstChild, textOf, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export interface MomentDef {
  name: string
  description?: string
  /** seconds since 1970 */
  creationTime: bigint
  /** the moment it came after */
  parentName?: string
  /** the guest as it was */
  dom?: DomainDef
}

export interface MomentParseOptions {
  /** an existing moment is described, with name, time, parent and domain */
  redefine?: boolean
  /** fills the defaults into a domain found in the document */
  complete?(def: DomainDef): void
}

/** Text of a child, undefined if it is absent or empty. */
export function momentText(node: XmlElement, name: string): string | undefined {
  const found = firstChild(node, name)
  return (found && textOf(found)) || undefined
}

/** A domain in the document, completed. */
export function parseMomentDomain(node: XmlElement, { complete }: MomentParseOptions): DomainDef {
  const def = parseDomainNode(node, { abiUpdate: false })
  complete?.(def)
  return def
}

/**
 * Name, description, time and parent. What is new gets the present time, and that as its name if it has none
 * (virDomainMomentDefPostParse).
 * @param kind for messages: snapshot, checkpoint
 */
export function parseMoment(node: XmlElement, kind: string, { redefine }: MomentParseOptions): MomentDef {
  const name = momentText(node, 'name')
  const description = momentText(node, 'description')
  const described = description === undefined ? {} : { description }
  if (!redefine) {
    const creationTime = BigInt(Math.floor(Date.now() / 1000))
    return { name: name ?? String(creationTime), ...described, creationTime }
  }
  if (name === undefined) throw fail('VIR_ERR_XML_ERROR', `a redefined ${kind} must have a name`)
  const creationTime = longlong.parse(momentText(node, 'creationTime') ?? '')
  if (creationTime === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `missing creationTime from existing ${kind}`)
  const parent = firstChild(node, 'parent')
  const parentName = parent && momentText(parent, 'name')
  return { name, ...described, creationTime, ...(parentName !== undefined && { parentName }) }
}

const textElement = (name: string, text: string | bigint | undefined) =>
  text === undefined ? undefined : element(name, {}, [String(text)])

/** The elements every moment begins with; `state` stands between them on snapshots. */
export function formatMoment({ name, description, parentName, creationTime }: MomentDef, state?: string) {
  return [
    textElement('name', name),
    textElement('description', description),
    textElement('state', state),
    parentName === undefined ? undefined : element('parent', {}, [textElement('name', parentName)]),
    creationTime === 0n ? undefined : textElement('creationTime', creationTime)
  ]
}

/** The domain of a moment as it is written: not that of a running guest. */
export function formatMomentDomain(dom: DomainDef, secure: boolean, name?: string): XmlElement {
  return formatDomainNode(dom, { inactive: true, secure }, name)
}

/** All elements below `<disks>`, or another list of such, whatever they are called. */
export function momentDisks(node: XmlElement, list = 'disks'): XmlElement[] {
  return node.children
    .flatMap(child => (typeof child !== 'string' && child.name === list ? child.children : []))
    .filter((child): child is XmlElement => typeof child !== 'string')
}

/** A disk by its target, or by the path of its image where only one has that (virDomainDiskByName). */
export function diskByName({ devices: { disks } }: DomainDef, name: string): DiskDef | undefined {
  if (!name.startsWith('/')) return disks.find(({ target }) => target?.dev === name)
  const [found, ...more] = disks.filter(({ source }) => storagePath(source) === name)
  return more.length === 0 ? found : undefined
}

/**
 * The disks a moment names, by target; what it calls them becomes the target's name.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for disks the domain does not have and for those named twice
 */
export function matchDisks<T extends { name: string }>(
  wanted: T[],
  dom: DomainDef,
  kind: 'snapshot' | 'checkpoint',
  check: (wanted: T, disk: DiskDef) => void
): Map<string, T> {
  const domain = kind === 'snapshot' ? 'VIR_FROM_DOMAIN_SNAPSHOT' : 'VIR_FROM_DOMAIN_CHECKPOINT'
  const unsupported = (message: string) => errorsFrom(domain)('VIR_ERR_CONFIG_UNSUPPORTED', message)
  if (wanted.length > dom.devices.disks.length) throw unsupported(`too many disk ${kind} requests for domain`)
  const found = new Map<string, T>()
  for (const one of wanted) {
    const disk = diskByName(dom, one.name)
    const target = disk?.target?.dev
    if (!disk || target === undefined) throw unsupported(`no disk named '${one.name}'`)
    if (found.has(target)) throw unsupported(`disk '${one.name}' specified twice`)
    check(one, disk)
    one.name = target
    found.set(target, one)
  }
  return found
}
