// <redirdev>: a USB device of a client, redirected over a character device.
import type { DomainDef } from '../domain-def.ts'
import { custom, type Def, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf } from '../scalar.ts'
import { type ChardevSource, chardevSourceField, sameChardevSource } from './chardev-source.ts'
import { validateChardevSource } from './chardev-source-validate.ts'
import { fitsAddress } from './device-address.ts'
import { deviceBoot, deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'
import { named } from './named.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const bus = named('bus', enumOf('usb'), 'unknown redirdev bus')
const source = chardevSourceField({
  missing: ['VIR_ERR_INTERNAL_ERROR', 'missing type in redirdev'],
  unknown: type => `unknown redirdev character device type '${type}'`
})
const DBUS_CHANNEL = 'org.qemu.usbredir'

export const redirdevFields = {
  bus: custom<'usb'>({
    names: bus.names,
    parse: (node, context) => bus.parse(node, context) ?? 'usb',
    format: bus.format
  }),
  source: custom<ChardevSource>({
    ...source,
    parse(node, context) {
      const parsed = source.parse(node, context)
      if (parsed.type === 'dbus') parsed.channel ??= DBUS_CHANNEL
      return parsed
    }
  }),
  ...deviceBoot,
  ...deviceInfo
} satisfies Fields
export type RedirdevDef = Def<typeof redirdevFields>

/** True if the guest has any USB (virDomainDefHasUSB). */
export function hasUsb({ devices }: DomainDef): boolean {
  return devices.controllers.some(({ type, model }) => type === 'usb' && model !== 'none')
}

export const redirdev = deviceFamily({
  element: 'redirdev',
  fields: redirdevFields,
  checkRead({ address }) {
    if (address && address.type !== 'usb') throw fail('VIR_ERR_XML_ERROR', 'Invalid address for a USB device')
  },
  validate(dev, def) {
    if (!hasUsb(def)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'cannot add redirected USB device: USB is disabled for this domain')
    }
    validateChardevSource(dev.source, def)
  },
  same: (wanted, there) =>
    sameChardevSource(wanted.source, there.source) &&
    fitsAddress(wanted, there) &&
    (wanted.alias === undefined || wanted.alias === there.alias),
  isUsb: () => true
})
