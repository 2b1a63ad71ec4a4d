// <memballoon>: QEMU's defaults, checks and arguments.
import type { MemballoonDef } from '../../../conf/devices/memballoon.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps, virtioProps } from '../parts/address.ts'
import type { Builder } from '../parts/builder.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Interval in which QEMU fetches memory statistics from the guest, in seconds. */
const POLL_S = 5

export const qemuMemballoon: QemuFamily<MemballoonDef> = {
  validate({ model, autodeflate, freePageReporting }, _def, { qemu }) {
    if (model === 'none') return
    if (model === 'xen') {
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        `Memory balloon device type '${model}' is not supported by this version of qemu`
      )
    }
    if (autodeflate !== undefined && !qemu.has('virtio-balloon-pci.deflate-on-oom')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'deflate-on-oom is not supported by this QEMU binary')
    }
    if (freePageReporting !== undefined && !qemu.has('virtio-balloon.free-page-reporting')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'freePageReporting is not supported by this QEMU binary')
    }
  },
  add: addMemballoon,
  // qemuProcessSetupBalloon
  async update({ model, alias, statsPeriod = POLL_S }, qmp, before) {
    if (!model?.startsWith('virtio') || (before && (before.statsPeriod ?? POLL_S) === statsPeriod)) return
    const property = 'guest-stats-polling-interval'
    await qmp.execute('qom-set', { path: `/machine/peripheral/${alias}`, property, value: statsPeriod })
  }
}

function addMemballoon(to: Builder, dev: MemballoonDef): void {
  if (dev.model === 'none') return
  to.device({
    ...virtioProps('virtio-balloon', dev.model, dev.address, dev.driver),
    id: dev.alias,
    'deflate-on-oom': dev.autodeflate,
    'free-page-reporting': dev.freePageReporting,
    ...addressProps(to, dev)
  })
}
