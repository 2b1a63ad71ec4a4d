// <rng>: QEMU's defaults, checks and arguments.
import type { RngBackend, RngDef } from '../../../conf/devices/rng.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Capability } from '../capabilities/signs.ts'
import type { Command } from '../command/command.ts'
import { addressProps, virtioProps } from '../parts/address.ts'
import { addChardev, validateQemuChardevSource } from './chardev/backend.ts'
import type { QemuFamily } from './family.ts'

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
  }
}

/** Milliseconds a rate counts for where the user names none. */
const DEFAULT_PERIOD_MS = 1000

export function rngsArgs(command: Command): void {
  for (const dev of command.def.devices.rngs) {
    const id = `obj${dev.alias}`
    const { backend, rate } = dev
    if (backend.model === 'egd') {
      addChardev(command, backend.source, `char${dev.alias}`)
      command.object({ 'qom-type': 'rng-egd', id, chardev: `char${dev.alias}` })
    } else if (backend.model === 'builtin') command.object({ 'qom-type': 'rng-builtin', id })
    else command.object({ 'qom-type': 'rng-random', id, filename: backend.path })
    command.device({
      ...virtioProps('virtio-rng', dev.model, dev.address, dev.driver),
      rng: id,
      id: dev.alias,
      'max-bytes': rate?.bytes,
      period: rate && (rate.period ?? DEFAULT_PERIOD_MS),
      ...addressProps(command, dev)
    })
  }
}
