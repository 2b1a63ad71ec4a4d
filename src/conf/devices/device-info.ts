// Fields every device has: alias, guest address, ROM, boot order, ACPI index (virDomainDeviceInfoParseXML).
import {
  attr,
  childAttr,
  custom,
  type Def,
  type Field,
  type Fields,
  nonZero,
  parseFields,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { onOff, string, uint, yesNo } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { address } from './device-address.ts'

export {
  type Address,
  type AddressOf,
  type AddressType,
  addressKinds,
  isPciAddressEmpty,
  type PciAddress
} from './device-address.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Aliases a user may give begin so; every other alias is ours. */
export const USER_ALIAS_PREFIX = 'ua-'
const USER_ALIAS = /^ua-[A-Za-z0-9_-]*$/

/** True for an alias that came from the user (virDomainDeviceAliasIsUserAlias). */
export function isUserAlias(alias: string | undefined): boolean {
  return alias?.startsWith(USER_ALIAS_PREFIX) ?? false
}

/** `<alias>`: ours on a running guest; from a user only names beginning with ua- count. */
const alias: Field<string | undefined> = {
  ...childAttr('alias', 'name', string),
  parse(node, context) {
    const name = firstChild(node, 'alias')?.attributes.name
    return name && (!context.inactive || USER_ALIAS.test(name)) ? name : undefined
  },
  format(value, into, context) {
    if (value !== undefined && (!context.inactive || context.aliases || isUserAlias(value))) {
      into.children.push(element('alias', { name: value }))
    }
  }
}

/** ICH9 companion USB controllers: the first port of the master they serve. */
const masterStartPort: Field<number | undefined> = {
  ...childAttr('master', 'startport', uint),
  parse(node, context) {
    const found = firstChild(node, 'master')
    return found && (attr('startport', uint).parse(found, context) ?? 0)
  }
}

const acpiIndex: Field<number | undefined> = {
  ...childAttr('acpi', 'index', uint),
  parse(node, context) {
    const found = firstChild(node, 'acpi')
    return found && nonZero(attr('index', uint)).parse(found, context)
  }
}

const romFields = {
  enabled: attr('enabled', yesNo),
  bar: attr('bar', onOff),
  file: attr('file', string)
} satisfies Fields

/** `<rom>`: the option ROM of a PCI device. */
const rom: Field<Def<typeof romFields> | undefined> = custom<Def<typeof romFields> | undefined>({
  names: [['rom', romFields]],
  parse(node, context) {
    const found = firstChild(node, 'rom')
    if (!found) return undefined
    const parsed = parseFields(found, romFields, context)
    if (parsed.enabled === false && (parsed.bar !== undefined || parsed.file !== undefined)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'ROM tuning is not supported when ROM is disabled')
    }
    return Object.keys(parsed).length > 0 ? parsed : undefined
  },
  format(value, into) {
    if (value === undefined) return
    const { enabled, bar, file } = value
    into.children.push(
      element('rom', {
        enabled: enabled === undefined ? undefined : yesNo.format(enabled),
        bar: bar === undefined ? undefined : onOff.format(bar),
        file
      })
    )
  }
})

/** The fields every device has. Put last into its table: libvirt writes them last. */
export const deviceInfo = { alias, masterStartPort, acpiIndex, address } satisfies Fields

/** As `deviceInfo`, for network cards and host devices, which may have an option ROM. */
export const deviceInfoWithRom = { alias, masterStartPort, rom, acpiIndex, address } satisfies Fields

const LOADPARM = /^[A-Za-z0-9. ]*$/

/** `<boot order=…/>` of devices a guest can boot from; goes before the device's `deviceInfo`. */
export const deviceBoot = {
  boot: custom<{ order: number; loadparm?: string } | undefined>({
    names: [['boot', { order: attr('order', uint), loadparm: attr('loadparm', string) }]],
    parse(node, context) {
      const found = firstChild(node, 'boot')
      if (!found) return undefined
      const order = required(nonZero(attr('order', uint))).parse(found, context)
      // virStringToUpper makes a minus an underscore as well, which is none of the characters either
      const loadparm = found.attributes.loadparm?.toUpperCase().replaceAll('-', '_')
      if (loadparm === undefined) return { order }
      if (loadparm === '' || loadparm.length > 8) {
        throw fail('VIR_ERR_INTERNAL_ERROR', `loadparm value '${loadparm}' must be between 1 and 8 characters`)
      }
      if (!LOADPARM.test(loadparm)) {
        throw fail(
          'VIR_ERR_INTERNAL_ERROR',
          `invalid loadparm value '${loadparm}', expecting chars in set of [a-zA-Z0-9.] and blank spaces`
        )
      }
      return { order, loadparm }
    },
    format(value, into) {
      if (value) into.children.push(element('boot', { order: value.order, loadparm: value.loadparm }))
    }
  })
} satisfies Fields

/** The `<driver>` attributes common to virtio devices. */
export const virtioDriver = {
  iommu: attr('iommu', onOff),
  ats: attr('ats', onOff),
  packed: attr('packed', onOff),
  pagePerVq: attr('page_per_vq', onOff)
} satisfies Fields

/** Fields that code which walks all devices may look for on any of them. */
export type DeviceInfo = Def<typeof deviceInfoWithRom> & Partial<Def<typeof deviceBoot>>
