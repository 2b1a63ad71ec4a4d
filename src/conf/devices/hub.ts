// <hub>: a USB hub.
import { custom, type Def, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { isUsbDisabled } from './controller.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export const hubFields = {
  type: custom<'usb'>({
    names: ['@type'],
    parse({ attributes: { type } }) {
      if (type === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing hub device type')
      if (type !== 'usb') throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown hub device type '${type}'`)
      return type
    },
    format(value, into) {
      into.attributes.type = value
    }
  }),
  ...deviceInfo
} satisfies Fields
export type HubDef = Def<typeof hubFields>

export const hub = deviceFamily({
  element: 'hub',
  fields: hubFields,
  checkRead(_dev, { controllers }) {
    if (isUsbDisabled(controllers)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "Can't add USB hub: USB is disabled for this domain")
    }
  },
  isUsb: () => true
})
