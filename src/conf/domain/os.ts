// <os>: what boots the guest, and from where.
import {
  attr,
  child,
  childAlways,
  childAttr,
  children,
  childText,
  custom,
  type Def,
  type Fields,
  required,
  text,
  wrapped
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, int, string, uint, yesNo } from '../scalar.ts'
import { firstChild } from '../xml.ts'
import { osType } from './os-type.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export const bootDevice = enumOf('fd', 'hd', 'cdrom', 'network')

const osTable = {
  firmware: attr('firmware', enumOf('bios', 'efi')),
  typeElement: osType,
  firmwareFeatures: wrapped('firmware', 'feature', {
    enabled: required(attr('enabled', yesNo)),
    name: required(attr('name', enumOf('enrolled-keys', 'secure-boot')))
  }),
  loader: childAlways('loader', {
    readonly: attr('readonly', yesNo),
    secure: attr('secure', yesNo),
    type: attr('type', enumOf('rom', 'pflash')),
    stateless: attr('stateless', yesNo),
    path: text(string)
  }),
  nvram: childAlways('nvram', { template: attr('template', string), path: text(string) }),
  kernel: childText('kernel', string),
  initrd: childText('initrd', string),
  cmdline: childText('cmdline', string),
  dtb: childText('dtb', string),
  acpiTable: child('acpi', { table: child('table', { type: attr('type', enumOf('slic')), path: text(string) }) }),
  bootDevices: children('boot', { dev: required(attr('dev', bootDevice)) }),
  bootmenu: child('bootmenu', { enable: attr('enable', yesNo), timeout: attr('timeout', uint) }),
  bios: child('bios', { useserial: attr('useserial', yesNo), rebootTimeout: attr('rebootTimeout', int) }),
  smbios: childAttr('smbios', 'mode', enumOf('emulate', 'host', 'sysinfo'))
} satisfies Fields

/** `<os>` with the contents of its `<type>` at hand. */
export type OsDef = Omit<Def<typeof osTable>, 'typeElement'> & { type: string; arch?: string; machine?: string }

const nested = childAlways('os', osTable)

export const osFields = {
  bootloader: childText('bootloader', string),
  bootloaderArgs: childText('bootloader_args', string),
  os: custom<OsDef>({
    names: nested.names,
    parse(node, context) {
      const parsed = nested.parse(node, context)
      if (!parsed) {
        if (firstChild(node, 'bootloader')) return { type: 'linux', bootDevices: [] }
        throw fail('VIR_ERR_XML_ERROR', 'an os <type> must be specified')
      }
      const { typeElement, ...rest } = parsed
      return { ...rest, ...typeElement }
    },
    format(value, into, context) {
      const { type, arch, machine, ...rest } = value
      nested.format({ ...rest, typeElement: { type, arch, machine } }, into, context)
    }
  })
} satisfies Fields
