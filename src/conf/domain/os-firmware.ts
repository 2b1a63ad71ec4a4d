// Firmware below <os>: chosen by its properties (firmware=, <firmware>) or named (<loader>, <nvram>).
import {
  attr,
  claim,
  custom,
  type Def,
  type Field,
  type Fields,
  type FormatContext,
  formatFields,
  type ParseContext,
  parseAttribute,
  parseFields,
  readFirst,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, yesNo } from '../scalar.ts'
import {
  formatStorageSource,
  parseStorageSource,
  type StorageSource,
  shownSource,
  storageFormat,
  storageType
} from '../storage/source.ts'
import { childElements, element, firstChild, textOf, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const firmwareKind = enumOf('bios', 'efi')
export type FirmwareKind = (typeof firmwareKind.values)[number]

const firmwareFeature = enumOf('enrolled-keys', 'secure-boot')
/** Features asked for (true) or refused (false). */
export type FirmwareFeatures = { [K in (typeof firmwareFeature.values)[number]]?: boolean }

const feature = { name: required(attr('name', firmwareFeature)), enabled: required(attr('enabled', yesNo)) }

export const firmwareFields = {
  firmware: custom<FirmwareKind | undefined>({
    names: ['@firmware'],
    parse(node) {
      const text = node.attributes.firmware
      if (!text) return undefined
      const kind = firmwareKind.parse(text)
      if (kind === undefined) throw fail('VIR_ERR_XML_ERROR', `unknown firmware value ${text}`)
      return kind
    },
    // the files are named, and an older libvirt would choose again
    format(value, into, { migratable }) {
      if (value !== undefined && !migratable) into.attributes.firmware = value
    }
  }),
  firmwareFeatures: custom<FirmwareFeatures | undefined>({
    names: [['firmware', { feature: { names: [['feature', feature]], parse: () => undefined, format: () => {} } }]],
    parse(node, context) {
      const nodes = childElements(node, 'firmware').flatMap(one => childElements(one, 'feature'))
      // Migratable XML of libvirt 8.6 to 9.1 has the features and not the attribute; there they mean nothing.
      if (nodes.length === 0 || (!node.attributes.firmware && !context.abiUpdate)) return undefined
      const out: FirmwareFeatures = {}
      for (const one of nodes) {
        const { name, enabled } = parseFields(one, feature, context)
        out[name] = enabled
      }
      return out
    },
    format(value, into, { migratable }) {
      if (value === undefined || migratable) return
      const features = firmwareFeature.values.flatMap(name => {
        const enabled = value[name]
        return enabled === undefined ? [] : [element('feature', { enabled: yesNo.format(enabled), name })]
      })
      into.children.push(element('firmware', {}, features))
    }
  })
} satisfies Fields

/** The formats images of firmware and variables can have. */
export const FIRMWARE_FORMATS = ['raw', 'qcow2'] as const
export type FirmwareFormat = (typeof FIRMWARE_FORMATS)[number]

const anyFormat = enumOf('none', ...storageFormat.values)

/** The format of one of the images. @throws VIR_ERR_XML_ERROR for the formats of other images */
function imageFormat(name: string, image: string): Field<FirmwareFormat | undefined> {
  return custom<FirmwareFormat | undefined>({
    names: [`@${name}`],
    parse(node) {
      const format = parseAttribute(node, name, anyFormat)
      if (format === undefined || format === 'none') return undefined
      const known = FIRMWARE_FORMATS.find(one => one === format)
      if (!known) throw fail('VIR_ERR_XML_ERROR', `Unsupported ${image} format '${format}'`)
      return known
    },
    format(value, into) {
      if (value !== undefined) into.attributes[name] = value
    }
  })
}

const loaderAttributes = {
  readonly: attr('readonly', yesNo),
  secure: attr('secure', yesNo),
  type: attr('type', enumOf('rom', 'pflash')),
  stateless: attr('stateless', yesNo),
  format: imageFormat('format', 'loader')
} satisfies Fields

const loaderAsRead = readFirst(loaderAttributes, 'readonly', 'type')

/** The variable store of UEFI. */
export interface NvramDef {
  /** written as `type=` and `<source>` rather than as a path */
  typed: boolean
  /** its path is absent where it is yet to be chosen */
  source: StorageSource
}

/** `<loader>` and `<nvram>`: there if either element is. */
export interface LoaderDef extends Def<typeof loaderAttributes> {
  path?: string
  /** file the variable store is made from */
  nvramTemplate?: string
  nvramTemplateFormat?: FirmwareFormat
  nvram?: NvramDef
}

const nvramAttributes = {
  nvramTemplate: attr('template', string),
  nvramTemplateFormat: imageFormat('templateFormat', 'nvram template'),
  format: imageFormat('format', 'nvram'),
  type: attr('type', enumOf('none', ...storageType.values))
} satisfies Fields

/** The store, its template, and its format as if it was the loader's. */
function parseNvram(node: XmlElement, context: ParseContext): LoaderDef {
  const { format, type, ...template } = parseFields(node, nvramAttributes, context)
  const path = textOf(node)
  const found = firstChild(node, 'source')
  // Differs from libvirt, which fails without saying why
  if (type && !found) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing <source> in <nvram>')
  const source: StorageSource =
    type && found ? parseStorageSource(type, found, context) : { type: 'file', ...(path !== '' && { path }) }
  return { ...template, format, nvram: { typed: type !== undefined, source: format ? { ...source, format } : source } }
}

function formatNvram({ nvram, ...rest }: LoaderDef, context: FormatContext): XmlElement {
  const { nvramTemplate: template, nvramTemplateFormat: templateFormat } = rest
  const { typed = false, source } = nvram ?? {}
  const type = typed && source ? shownSource(source).type : undefined
  const node = element('nvram', { template, templateFormat, type, format: source?.format })
  const inside = typed
    ? source && formatStorageSource('source', source, context)
    : source?.type === 'file' && source.path
  if (inside) node.children.push(inside)
  return node
}

export const loaderFields = custom<LoaderDef | undefined>({
  names: [
    ['loader', loaderAttributes],
    ['nvram', { ...nvramAttributes, source: claim(['source', null]) }]
  ],
  parse(node, context) {
    const loader = firstChild(node, 'loader')
    const nvram = firstChild(node, 'nvram')
    if (!loader && !nvram) return undefined
    const { format, ...store }: LoaderDef = nvram ? parseNvram(nvram, context) : {}
    // where only the store has a format, the code is to have the same
    if (!loader) return { ...store, format }
    const path = textOf(loader)
    return { ...store, ...parseFields(loader, loaderAsRead, context), ...(path !== '' && { path }) }
  },
  format(value, into, context) {
    if (value === undefined) return
    const loader = formatFields('loader', value, loaderAttributes, context)
    if (value.path !== undefined) loader.children.push(value.path)
    for (const node of [loader, formatNvram(value, context)]) {
      if (Object.keys(node.attributes).length + node.children.length > 0) into.children.push(node)
    }
  }
})

/** True for UEFI named by its path, in flash (virDomainDefHasOldStyleUEFI). */
export function usesPflash({ os }: { os: { loader?: LoaderDef } }): boolean {
  return os.loader?.type === 'pflash'
}

/**
 * True for UEFI in flash whose code the guest cannot write: its variables are kept apart
 * (virDomainDefHasOldStyleROUEFI).
 */
export function usesReadonlyPflash(def: { os: { loader?: LoaderDef } }): boolean {
  return usesPflash(def) && def.os.loader?.readonly === true
}

interface Firmware {
  os: {
    firmware?: FirmwareKind
    firmwareFeatures?: FirmwareFeatures
    loader?: LoaderDef
    shim?: string
    kernel?: string
  }
}

/** Gives a named loader its default type (virDomainDefPostParseOs). */
export function postParseLoader({ os: { loader } }: Firmware): void {
  if (loader?.path !== undefined) loader.type ??= 'rom'
}

/**
 * Checks what is asked of firmware that is chosen automatically and of firmware that the user names
 * (virDomainDefOSValidate). @throws VIR_ERR_XML_DETAIL, VIR_ERR_CONFIG_UNSUPPORTED
 */
export function validateFirmware({ os }: Firmware): void {
  const { firmware, firmwareFeatures, loader } = os
  const wrong = (message: string) => fail('VIR_ERR_XML_DETAIL', message)
  if (!firmware && firmwareFeatures)
    throw wrong('cannot use feature-based firmware autoselection when firmware autoselection is disabled')
  if (firmwareFeatures?.['enrolled-keys'] && firmwareFeatures['secure-boot'] === false) {
    throw wrong("firmware feature 'enrolled-keys' cannot be enabled when firmware feature 'secure-boot' is disabled")
  }
  if (!loader) return
  if (firmware && loader.nvram && firmware !== 'efi') throw wrong(`firmware type '${firmware}' does not support nvram`)
  if (!firmware && loader.path === undefined)
    throw wrong('no loader path specified and firmware auto selection disabled')
  if (loader.stateless) {
    if (loader.nvramTemplate !== undefined) throw wrong('NVRAM template is not permitted when loader is stateless')
    if (loader.nvram) throw wrong('NVRAM is not permitted when loader is stateless')
  } else if (loader.stateless === false) {
    if (!firmware && loader.type !== 'pflash') throw wrong('Only pflash loader type permits NVRAM')
    if (firmware && firmware !== 'efi') throw wrong('Only EFI firmware permits NVRAM')
  }
  if (os.shim !== undefined && os.kernel === undefined)
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'shim only allowed with kernel option')
}
