// <sysinfo>: SMBIOS blocks of the user's own, and files handed to the firmware (fw_cfg).
import { attr, custom, type Field, type Fields, parseAttribute } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { sanitizePath } from '../path.ts'
import { enumOf, string, uuid } from '../scalar.ts'
import { childElements, element, firstChild, textOf, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Entries of each SMBIOS block, in the order they are written and handed to QEMU. */
export const smbiosEntries = {
  bios: ['vendor', 'version', 'date', 'release'],
  system: ['manufacturer', 'product', 'version', 'serial', 'uuid', 'sku', 'family'],
  baseBoard: ['manufacturer', 'product', 'version', 'serial', 'asset', 'location'],
  chassis: ['manufacturer', 'version', 'serial', 'asset', 'sku']
} as const
type Blocks = typeof smbiosEntries
export type SmbiosBlock<K extends keyof Blocks = keyof Blocks> = { [N in Blocks[K][number]]?: string }

export interface SmbiosInfo {
  type: 'smbios'
  bios?: SmbiosBlock<'bios'>
  system?: SmbiosBlock<'system'>
  baseBoards: SmbiosBlock<'baseBoard'>[]
  chassis?: SmbiosBlock<'chassis'>
  oemStrings?: string[]
}

/** A file of the firmware's configuration: its content here, or in a file of the host. */
export interface FwcfgEntry {
  name: string
  value?: string
  file?: string
}

export interface FwcfgInfo {
  type: 'fwcfg'
  entries: FwcfgEntry[]
}
export type SysinfoDef = SmbiosInfo | FwcfgInfo

/** The block's entries that have content; undefined if none has. */
function parseBlock<K extends keyof Blocks>(kind: K, node: XmlElement): SmbiosBlock<K> | undefined {
  const entries = childElements(node, 'entry')
  const out: Record<string, string> = {}
  for (const name of smbiosEntries[kind]) {
    const found = entries.find(entry => entry.attributes.name === name)
    const text = found && textOf(found)
    if (text) out[name] = text
  }
  return Object.keys(out).length > 0 ? (out as SmbiosBlock<K>) : undefined
}

function formatBlock(kind: keyof Blocks, block: SmbiosBlock | undefined): XmlElement[] {
  if (!block) return []
  const values: Record<string, string | undefined> = block
  const entries = smbiosEntries[kind].flatMap(name => {
    const value = values[name]
    return value === undefined ? [] : [element('entry', { name }, [value])]
  })
  return [element(kind, {}, entries)]
}

/** mm/dd/yyyy or mm/dd/yy, as SMBIOS has it. */
function isBiosDate(date: string): boolean {
  const match = /^\s*([+-]?\d+)\/\s*([+-]?\d+)\/\s*([+-]?\d+)$/.exec(date)
  if (!match) return false
  const [month, day, year] = match.slice(1).map(Number) as [number, number, number]
  return month >= 1 && month <= 12 && day >= 1 && day <= 31 && year >= 0 && (year < 100 || year >= 1900)
}

/** The uuid an SMBIOS system block gives; it stands for the domain's own where that is absent. */
export function sysinfoUuid(domain: XmlElement): string | undefined {
  for (const info of childElements(domain, 'sysinfo')) {
    const system = info.attributes.type === 'smbios' ? firstChild(info, 'system') : undefined
    const text = system && parseBlock('system', system)?.uuid
    const parsed = text && uuid.parse(text)
    if (parsed) return parsed
  }
  return undefined
}

function parseSmbios(node: XmlElement, domain: XmlElement): SmbiosInfo {
  const out: SmbiosInfo = { type: 'smbios', baseBoards: [] }
  const block = <K extends keyof Blocks>(kind: K) => {
    const found = firstChild(node, kind)
    return found && parseBlock(kind, found)
  }
  const bios = block('bios')
  if (bios?.date !== undefined && !isBiosDate(bios.date)) throw fail('VIR_ERR_XML_DETAIL', "Invalid BIOS 'date' format")
  if (bios) out.bios = bios
  const system = block('system')
  if (system?.uuid !== undefined) {
    const parsed = uuid.parse(system.uuid)
    if (parsed === undefined) throw fail('VIR_ERR_XML_DETAIL', 'malformed <sysinfo> uuid element')
    const own = firstChild(domain, 'uuid')
    const wanted = own && textOf(own) !== '' ? uuid.parse(textOf(own)) : sysinfoUuid(domain)
    if (parsed !== wanted) throw fail('VIR_ERR_XML_DETAIL', 'UUID mismatch between <uuid> and <sysinfo>')
    system.uuid = parsed
  }
  if (system) out.system = system
  out.baseBoards = childElements(node, 'baseBoard').flatMap(board => parseBlock('baseBoard', board) ?? [])
  const chassis = block('chassis')
  if (chassis) out.chassis = chassis
  const oem = firstChild(node, 'oemStrings')
  const strings = oem ? childElements(oem, 'entry').map(textOf) : []
  if (strings.length > 0) out.oemStrings = strings
  return out
}

function parseFwcfg(node: XmlElement): FwcfgInfo {
  const entries = childElements(node, 'entry').map((entry): FwcfgEntry => {
    const { name, file } = entry.attributes
    if (name === undefined) throw fail('VIR_ERR_XML_ERROR', "Firmware entry is missing 'name' attribute")
    const content = textOf(entry)
    const value = /^[ \t\n\v\f\r]*$/.test(content) ? {} : { value: content }
    if (!('value' in value) && file === undefined)
      throw fail('VIR_ERR_XML_ERROR', "Firmware entry must have either value or 'file' attribute")
    return { name, ...value, ...(file !== undefined && { file: sanitizePath(file) }) }
  })
  return { type: 'fwcfg', entries }
}

/** Writes `<sysinfo>`. */
export function formatSysinfo(info: SysinfoDef): XmlElement {
  const { type } = info
  if (type === 'fwcfg') {
    const entries = info.entries.map(({ name, value, file }) =>
      element('entry', { name, file }, file === undefined ? [value] : [])
    )
    return element('sysinfo', { type }, entries)
  }
  const oemStrings = info.oemStrings?.map(value => element('entry', {}, value === '' ? [] : [value]))
  return element('sysinfo', { type }, [
    ...formatBlock('bios', info.bios),
    ...formatBlock('system', info.system),
    ...info.baseBoards.flatMap(board => formatBlock('baseBoard', board)),
    ...formatBlock('chassis', info.chassis),
    oemStrings && element('oemStrings', {}, oemStrings)
  ])
}

const sysinfoType = enumOf('smbios', 'fwcfg')
const entry = attr('name', string)
/** Names for strict validation. */
const claimed: Field<undefined> = {
  names: [
    '@type',
    ['entry', { name: entry, file: attr('file', string) }],
    ...[...Object.keys(smbiosEntries), 'oemStrings'].map(name => [name, { entry: nested('entry', { entry }) }] as const)
  ],
  parse: () => undefined,
  format: () => {}
}
function nested(name: string, fields: Fields): Field<undefined> {
  return { names: [[name, fields]], parse: () => undefined, format: () => {} }
}

export const sysinfoFields = {
  sysinfo: custom<SysinfoDef[]>({
    names: [['sysinfo', { claimed }]],
    parse: node =>
      childElements(node, 'sysinfo').map(info => {
        const type = parseAttribute(info, 'type', sysinfoType)
        if (type === undefined)
          throw fail('VIR_ERR_XML_ERROR', "Missing required attribute 'type' in element 'sysinfo'")
        return type === 'fwcfg' ? parseFwcfg(info) : parseSmbios(info, node)
      }),
    format(values, into) {
      into.children.push(...values.map(formatSysinfo))
    }
  })
} satisfies Fields
