// <os>: firmware, kernel and devices the guest boots from. The kind of guest in <type> decides which elements count.
import {
  attr,
  child,
  children,
  childText,
  custom,
  type Def,
  type Field,
  type Fields,
  type ParseContext,
  parseFields,
  readFirst,
  required,
  wrapped
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { sanitizePath } from '../path.ts'
import { enumOf, string } from '../scalar.ts'
import { childElements, element, firstChild, gathered, textOf, type XmlElement } from '../xml.ts'
import { bios, bootDevices, bootmenu, smbios } from './os-boot.ts'
import { firmwareFields, loaderFields } from './os-firmware.ts'
import { type OsTypeDef, osType } from './os-type.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** The field is read for these kinds of guest only. */
function only<T>(kinds: string[], field: Field<T | undefined>): Field<T | undefined> {
  const isKind = (node: XmlElement) => kinds.includes(textOf(firstChild(node, 'type') ?? element('type')))
  return { ...field, parse: (node, context) => (isKind(node) ? field.parse(node, context) : undefined) }
}

/** All `<initarg>` or `<initenv>`: each must have content. */
function initStrings<F extends Fields>(name: string, fields: F, missing: (node: XmlElement) => string | undefined) {
  const list = children(name, fields)
  return custom<Def<F>[] | undefined>({
    ...list,
    parse(node, context) {
      for (const one of node.children) {
        const reason = typeof one !== 'string' && one.name === name && missing(one)
        if (reason) throw fail('VIR_ERR_XML_ERROR', reason)
      }
      const values = list.parse(node, context)
      return values.length > 0 ? values : undefined
    },
    format(values, into, context) {
      if (values) list.format(values, into, context)
    }
  })
}

const content = custom<string>({
  names: [],
  parse: textOf,
  format(value, into) {
    into.children.push(value)
  }
})

const initargs = initStrings('initarg', { value: content }, node =>
  textOf(node) === '' ? 'No data supplied for <initarg> element' : undefined
)
const initenvs = initStrings('initenv', { name: required(attr('name', string)), value: content }, node => {
  if (node.attributes.name === undefined) return 'No name supplied for <initenv> element'
  return textOf(node) === '' ? `No value supplied for <initenv name='${node.attributes.name}'> element` : undefined
})

const acpiTable = { type: required(attr('type', enumOf('raw', 'rawset', 'slic', 'msdm'))), path: content }
const acpiTableList = wrapped('acpi', 'table', acpiTable)

/** `<acpi><table type=…>PATH</table></acpi>`: raw ones have their signature in themselves, of others there is one each. */
const acpiTables = custom<Def<typeof acpiTable>[] | undefined>({
  ...acpiTableList,
  parse(node, context) {
    const nodes = childElements(node, 'acpi').flatMap(one => childElements(one, 'table'))
    const seen = new Set<string>()
    const tables = nodes.map(one => {
      const { type, path } = parseFields(one, acpiTable, context)
      if (type !== 'raw' && seen.has(type))
        throw fail('VIR_ERR_XML_ERROR', `ACPI table type '${type}' may only appear once`)
      seen.add(type)
      return { type, path: sanitizePath(path) }
    })
    return tables.length > 0 ? tables : undefined
  }
})

const BOOTS_KERNEL = ['hvm', 'xen', 'xenpvh', 'uml']

const osTable = {
  firmware: only(['hvm'], firmwareFields.firmware),
  typeElement: osType,
  firmwareFeatures: only(['hvm'], firmwareFields.firmwareFeatures),
  init: only(['exe'], childText('init', string)),
  initargs: only(['exe'], initargs),
  initenvs: only(['exe'], initenvs),
  initdir: only(['exe'], childText('initdir', string)),
  inituser: only(['exe'], childText('inituser', string)),
  initgroup: only(['exe'], childText('initgroup', string)),
  loader: only(BOOTS_KERNEL, loaderFields),
  kernel: only(BOOTS_KERNEL, childText('kernel', string)),
  initrd: only(BOOTS_KERNEL, childText('initrd', string)),
  cmdline: only([...BOOTS_KERNEL, 'exe'], childText('cmdline', string)),
  shim: only(BOOTS_KERNEL, childText('shim', string)),
  dtb: only(BOOTS_KERNEL, childText('dtb', string)),
  root: only(BOOTS_KERNEL, childText('root', string)),
  acpiTables: only(['hvm'], acpiTables),
  bootDevices,
  bootmenu: only(['hvm'], bootmenu),
  bios: only(['hvm'], bios),
  smbios
} satisfies Fields

/** `<os>` with the contents of its `<type>` at hand. */
export type OsDef = Omit<Def<typeof osTable>, 'typeElement'> & OsTypeDef

const nested = child('os', osTable)

/** No `<type>`, but a bootloader: a guest of Xen. */
function isBootloaderGuest(domain: XmlElement): boolean {
  const bootloader = firstChild(domain, 'bootloader')
  const os = gathered(domain, 'os')
  const type = os && firstChild(os, 'type')
  return bootloader !== undefined && textOf(bootloader) !== '' && (!type || textOf(type) === '')
}

/** Reads some fields of `<os>` from `<domain>`. */
function parseOs<F extends Fields>(domain: XmlElement, fields: F, context: ParseContext): Def<F> {
  const os = gathered(domain, 'os')
  if (!os) throw fail('VIR_ERR_XML_ERROR', 'an os <type> must be specified')
  return parseFields(os, fields, context)
}

/** The kind of guest, from `<domain>`: the first of `<os>` that is read (virDomainDefParseCaps). */
export const osKind = custom<OsTypeDef>({
  names: [],
  parse(node, context) {
    return isBootloaderGuest(node) ? { type: 'xen' } : parseOs(node, { type: osType }, context).type
  },
  format: () => undefined
})

const { smbios: _late, ...bootTable } = readFirst(osTable, 'firmwareFeatures', 'firmware')

/** Boot options, from `<domain>`: read before the devices (virDomainDefParseBootOptions). */
export const osBoot = custom<unknown>({
  names: [],
  parse: (node, context) => isBootloaderGuest(node) || parseOs(node, bootTable, context),
  format: () => undefined
})

export const osFields = {
  bootloader: childText('bootloader', string),
  bootloaderArgs: childText('bootloader_args', string),
  os: custom<OsDef>({
    names: nested.names,
    parse(node, context) {
      if (isBootloaderGuest(node)) return { type: 'xen', bootDevices: [] }
      const { typeElement, ...rest } = parseOs(node, osTable, context)
      return { ...rest, ...typeElement }
    },
    format(value, into, context) {
      const { type, arch, machine, ...rest } = value
      nested.format({ ...rest, typeElement: { type, arch, machine } }, into, context)
    }
  })
} satisfies Fields

/** Containers need a program to run. @throws VIR_ERR_XML_ERROR */
export function requireInit({ os }: { os: OsDef }): void {
  if (os.type === 'exe' && os.init === undefined) throw fail('VIR_ERR_XML_ERROR', 'init binary must be specified')
}
