// Boot devices, boot menu, BIOS and SMBIOS settings below <os>.
import { attr, child, childAlways, childAttr, children, custom, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, int, uint, yesNo } from '../scalar.ts'
import { childElements, firstChild, textOf, xpathAttribute } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export const bootDevice = enumOf('fd', 'cdrom', 'hd', 'network')
export type BootDevice = (typeof bootDevice.values)[number]

const bootList = children('boot', { dev: required(attr('dev', bootDevice)) })

/** `<boot dev=…/>`: as many as there are kinds, more are not looked at. */
export const bootDevices = custom<{ dev: BootDevice }[]>({
  ...bootList,
  parse(node, context) {
    const type = firstChild(node, 'type')
    if (!type || textOf(type) !== 'hvm') return []
    const boots = childElements(node, 'boot').slice(0, bootDevice.values.length)
    return bootList.parse({ ...node, children: boots }, context)
  }
})

const menu = { enable: attr('enable', yesNo), timeout: attr('timeout', uint) }

/** `<bootmenu>`; the timeout in ms counts only where the menu is on. */
export const bootmenu = custom<{ enable?: boolean; timeout?: number } | undefined>({
  ...childAlways('bootmenu', menu),
  parse(node, context) {
    const found = firstChild(node, 'bootmenu')
    const enable = found && menu.enable.parse(found, context)
    if (!found || enable === undefined) return undefined
    const timeout = enable ? menu.timeout.parse(found, context) : undefined
    return { enable, ...(timeout !== undefined && { timeout }) }
  }
})

const useserial = attr('useserial', yesNo)

/** `<bios>`: serial console and the time in ms until a reboot after a failed boot, -1 for never. */
export const bios = child('bios', {
  useserial: custom<boolean | undefined>({
    ...useserial,
    parse(node) {
      const text = node.attributes.useserial
      return text === undefined ? undefined : (yesNo.parse(text) ?? false)
    }
  }),
  rebootTimeout: attr('rebootTimeout', int)
})

const smbiosMode = enumOf('emulate', 'host', 'sysinfo')

/** `<smbios mode=…>`: where the guest's SMBIOS blocks come from. */
export const smbios = custom<(typeof smbiosMode.values)[number] | undefined>({
  ...childAttr('smbios', 'mode', smbiosMode),
  parse(node) {
    const text = xpathAttribute(node, 'smbios', 'mode')
    if (!text || text === 'none') return undefined
    const mode = smbiosMode.parse(text)
    if (mode === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown smbios mode '${text}'`)
    return mode
  }
})

/** Checks the times of boot menu and BIOS (virDomainDefBootValidate). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateBoot({
  os
}: {
  os: { bootmenu?: { timeout?: number }; bios?: { rebootTimeout?: number } }
}): void {
  const timeout = os.bootmenu?.timeout ?? 0
  if (timeout > 65535) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'invalid value for boot menu timeout, must be in range [0,65535]')
  }
  const reboot = os.bios?.rebootTimeout ?? 0
  if (reboot < -1 || reboot > 65535) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'invalid value for rebootTimeout, must be in range [-1,65535]')
  }
}
