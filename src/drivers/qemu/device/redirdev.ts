// <redirdev>, <redirfilter>: QEMU's checks and arguments.
import type { RedirdevDef } from '../../../conf/devices/redirdev.ts'
import type { RedirfilterDef } from '../../../conf/devices/redirfilter.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps } from '../parts/address.ts'
import { bootIndex } from '../parts/boot-index.ts'
import type { Builder } from '../parts/builder.ts'
import { addChardev, prepareChardevSource, validateQemuChardevSource } from './chardev/backend.ts'
import { freely, join, leave, missing, type QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuRedirdev: QemuFamily<RedirdevDef> = {
  validate({ source }, def, { qemu }) {
    validateQemuChardevSource(source, def, qemu)
    if (!qemu.has('usb-redir')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'USB redirection is not supported by this version of QEMU')
    }
    const [filter] = def.devices.redirfilters
    if (filter && filter.usbdevs.length > 0 && !qemu.has('usb-redir.filter')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'USB redirection filter is not supported by this version of QEMU')
    }
  },
  prepare: ({ source }, _def, context) => prepareChardevSource(source, context),
  add: addRedirdev,
  unplug: leave('redirdevs'),
  config: { attach: join('redirdevs'), noneToDetach: missing('no matching redirdev was not found') },
  live: {
    attach: freely,
    detach: freely,
    noneToDetach: missing('no matching redirdev was not found', 'VIR_ERR_OPERATION_INVALID')
  }
}

/** Rules as QEMU reads them: class:vendor:product:version:allow, -1 for any, `|` between them. */
function filterRules({ usbdevs }: RedirfilterDef): string {
  const hex = (value: number | undefined, digits: number) =>
    value === undefined ? '-1' : `0x${value.toString(16).toUpperCase().padStart(digits, '0')}`
  return usbdevs
    .map(({ class: kind, vendor, product, version, allow }) =>
      [hex(kind, 2), hex(vendor, 4), hex(product, 4), hex(version, 4), allow ? 1 : 0].join(':')
    )
    .join('|')
}

function addRedirdev(to: Builder, dev: RedirdevDef): void {
  const chardev = `char${dev.alias}`
  const [filter] = to.def.devices.redirfilters
  addChardev(to, dev.source, chardev, { spicevmc: 'usbredir' })
  to.device({
    driver: 'usb-redir',
    chardev,
    id: dev.alias,
    filter: filter && filter.usbdevs.length > 0 ? filterRules(filter) : undefined,
    bootindex: bootIndex(to, dev),
    ...addressProps(to, dev)
  })
}
