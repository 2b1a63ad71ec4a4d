// Firmware below <os>: chosen by its properties (firmware=, <firmware>) or named (<loader>, <nvram>).
import {
  attr,
  custom,
  type Def,
  type Fields,
  formatFields,
  type ParseContext,
  parseFields,
  readFirst,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, yesNo } from '../scalar.ts'
import { type StorageSource, typedSource } from '../storage/source.ts'
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
    format(value, into) {
      if (value !== undefined) into.attributes.firmware = value
    }
  }),
  firmwareFeatures: custom<FirmwareFeatures | undefined>({
    names: [['firmware', { feature: { names: [['feature', feature]], parse: () => undefined, format: () => {} } }]],
    parse(node, context) {
      const nodes = childElements(node, 'firmware').flatMap(one => childElements(one, 'feature'))
      // Migratable XML of libvirt 8.6 to 9.1 has the features and not the attribute; there they mean nothing.
      if (nodes.length === 0 || (!node.attributes.firmware && !context.inactive)) return undefined
      const out: FirmwareFeatures = {}
      for (const one of nodes) {
        const { name, enabled } = parseFields(one, feature, context)
        out[name] = enabled
      }
      return out
    },
    format(value, into) {
      if (value === undefined) return
      const features = firmwareFeature.values.flatMap(name => {
        const enabled = value[name]
        return enabled === undefined ? [] : [element('feature', { enabled: yesNo.format(enabled), name })]
      })
      into.children.push(element('firmware', {}, features))
    }
  })
} satisfies Fields

const loaderAttributes = {
  readonly: attr('readonly', yesNo),
  secure: attr('secure', yesNo),
  type: attr('type', enumOf('rom', 'pflash')),
  stateless: attr('stateless', yesNo)
} satisfies Fields

const loaderAsRead = readFirst(loaderAttributes, 'readonly', 'type')

/** The variable store of UEFI. */
export interface NvramDef {
  /** written as `type=` and `<source>` rather than as a path */
  typed: boolean
  source: StorageSource
}

/** `<loader>` and `<nvram>`: there if either element is. */
export interface LoaderDef extends Def<typeof loaderAttributes> {
  path?: string
  /** file the variable store is made from */
  nvramTemplate?: string
  nvram?: NvramDef
}

const nvramSource = typedSource()
const nvramTable = { template: attr('template', string), source: nvramSource }

function parseNvram(node: XmlElement, context: ParseContext): Pick<LoaderDef, 'nvramTemplate' | 'nvram'> {
  const { template } = node.attributes
  const nvramTemplate = template === undefined ? {} : { nvramTemplate: template }
  if (node.attributes.type === undefined) {
    const path = textOf(node)
    return { ...nvramTemplate, ...(path !== '' && { nvram: { typed: false, source: { type: 'file', path } } }) }
  }
  // Differs from libvirt, which fails without saying why
  if (!firstChild(node, 'source')) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing <source> in <nvram>')
  const source = nvramSource.parse(node, context)
  return { ...nvramTemplate, ...(source && { nvram: { typed: true, source } }) }
}

export const loaderFields = custom<LoaderDef | undefined>({
  names: [
    ['loader', loaderAttributes],
    ['nvram', nvramTable]
  ],
  parse(node, context) {
    const loader = firstChild(node, 'loader')
    const nvram = firstChild(node, 'nvram')
    if (!loader && !nvram) return undefined
    const store = nvram ? parseNvram(nvram, context) : {}
    if (!loader) return store
    const path = textOf(loader)
    return { ...parseFields(loader, loaderAsRead, context), ...(path !== '' && { path }), ...store }
  },
  format(value, into, context) {
    if (value === undefined) return
    const loader = formatFields('loader', value, loaderAttributes, context)
    if (value.path !== undefined) loader.children.push(value.path)
    const nvram = element('nvram', { template: value.nvramTemplate })
    if (value.nvram?.typed) {
      nvramSource.format(value.nvram.source, nvram, context)
    } else if (value.nvram?.source.type === 'file') nvram.children.push(value.nvram.source.path ?? '')
    for (const node of [loader, nvram]) {
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
  os: { firmware?: FirmwareKind; firmwareFeatures?: FirmwareFeatures; loader?: LoaderDef }
}

/** Fills in implied features and the default type of loader (virDomainDefPostParseOs). @throws VIR_ERR_XML_DETAIL */
export function postParseFirmware({ os: { firmwareFeatures: features, loader } }: Firmware): void {
  if (features?.['enrolled-keys']) {
    if (features['secure-boot'] === false) {
      throw fail(
        'VIR_ERR_XML_DETAIL',
        "firmware feature 'enrolled-keys' cannot be enabled when firmware feature 'secure-boot' is disabled"
      )
    }
    features['secure-boot'] = true
  }
  if (loader?.path !== undefined) loader.type ??= 'rom'
}

/**
 * Checks firmware that is chosen automatically, which can have few settings, and firmware that the user names
 * (virDomainDefOSValidate). @throws VIR_ERR_XML_DETAIL
 */
export function validateFirmware({ os: { firmware, firmwareFeatures, loader } }: Firmware): void {
  const wrong = (message: string) => fail('VIR_ERR_XML_DETAIL', message)
  if (!firmware && firmwareFeatures)
    throw wrong('cannot use feature-based firmware autoselection when firmware autoselection is disabled')
  if (!loader) return
  if (firmware) {
    const given: [boolean, string][] = [
      [loader.readonly !== undefined, "loader attribute 'readonly'"],
      [loader.type !== undefined, "loader attribute 'type'"],
      [loader.path !== undefined, 'loader path'],
      [loader.nvramTemplate !== undefined, "nvram attribute 'template'"],
      // 'yes' was once the way to ask for Secure Boot, so it has to stay
      [loader.secure === false, "loader attribute 'secure'"]
    ]
    const [, named] = given.find(([is]) => is) ?? []
    if (named) throw wrong(`${named} cannot be specified when firmware autoselection is enabled`)
    if (loader.nvram && firmware !== 'efi') throw wrong(`firmware type '${firmware}' does not support nvram`)
  } else if (loader.path === undefined) throw wrong('no loader path specified and firmware auto selection disabled')
  if (loader.stateless) {
    if (loader.nvramTemplate !== undefined) throw wrong('NVRAM template is not permitted when loader is stateless')
    if (loader.nvram) throw wrong('NVRAM is not permitted when loader is stateless')
  } else if (loader.stateless === false) {
    if (!firmware && loader.type !== 'pflash') throw wrong('Only pflash loader type permits NVRAM')
    if (firmware && firmware !== 'efi') throw wrong('Only EFI firmware permits NVRAM')
  }
}
