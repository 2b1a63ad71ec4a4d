// <rng>: QEMU's defaults, checks and arguments.
import { hasDeviceAt } from '../../../conf/devices/index.ts'
import type { RngBackend, RngDef, RngModel } from '../../../conf/devices/rng.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { checkThere } from '../../../host/there.ts'
import type { Capability } from '../capabilities/signs.ts'
import { addressProps, virtioProps } from '../parts/address.ts'
import type { Builder } from '../parts/builder.ts'
import { addChardev, prepareChardevSource, validateQemuChardevSource } from './chardev/backend.ts'
import { freely, leave, missing, type QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const BACKENDS: Record<RngBackend['model'], Capability> = {
  random: 'rng-random',
  egd: 'rng-egd',
  builtin: 'rng-builtin'
}

export const qemuRng: QemuFamily<RngDef> = {
  validate({ model, backend }, def, { qemu }) {
    const needs = BACKENDS[backend.model]
    if (!qemu.has(needs)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `this qemu doesn't support the ${needs} backend`)
    if (backend.model === 'egd') validateQemuChardevSource(backend.source, def, qemu)
    if (!qemu.has('virtio-rng') || (model !== 'virtio' && !qemu.has('virtio-pci-non-transitional'))) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `domain configuration does not support rng model '${model}'`)
    }
  },
  prepare({ backend }, _def, context) {
    if (backend.model === 'egd') prepareChardevSource(backend.source, context)
    if (backend.model === 'random' && !context.pretend) checkThere(backend.path)
  },
  add: addRng,
  unplug: leave('rngs'),
  config: {
    attach(dev, def) {
      if (dev.address && hasDeviceAt(def, dev.address)) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'a device with the same address already exists ')
      }
      def.devices.rngs.push(dev)
    },
    noneToDetach: missing('no matching RNG device was found')
  },
  live: {
    attach: freely,
    detach: freely,
    noneToDetach: missing(({ model }) => `model '${MISNAMED[model]}' RNG device not present in domain configuration`)
  }
}

/** Names that libvirt's error gives the models: those of the backends. */
const MISNAMED: Record<RngModel, string> = {
  virtio: 'random',
  'virtio-transitional': 'egd',
  'virtio-non-transitional': 'builtin'
}

/** Milliseconds a rate counts for where the user names none. */
const DEFAULT_PERIOD_MS = 1000

function addRng(to: Builder, dev: RngDef): void {
  const { alias, backend, rate } = dev
  const id = `obj${alias}`
  if (backend.model === 'egd') {
    addChardev(to, backend.source, `char${alias}`)
    to.object({ 'qom-type': 'rng-egd', id, chardev: `char${alias}` })
  } else if (backend.model === 'builtin') to.object({ 'qom-type': 'rng-builtin', id })
  else to.object({ 'qom-type': 'rng-random', id, filename: backend.path })
  to.device({
    ...virtioProps('virtio-rng', dev.model, dev.address, dev.driver),
    rng: id,
    id: alias,
    'max-bytes': rate?.bytes,
    period: rate && (rate.period ?? DEFAULT_PERIOD_MS),
    ...addressProps(to, dev)
  })
}
