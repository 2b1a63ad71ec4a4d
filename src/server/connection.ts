// A shim's connection: exactly its one guest.
import { existsSync } from 'node:fs'
import { pciAddressText } from '../conf/devices/device-address.ts'
import { hostDevices } from '../conf/devices/hostdev-validate.ts'
import type { Host } from '../drivers/connection.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { recordOf } from '../drivers/qemu/stats/record.ts'

import { thisHost } from './this-host.ts'

const hosts = new WeakMap<QemuDomain, Host>()

/** The connection-level side of a shim. */
export function hostOf(domain: QemuDomain): Host {
  const known = hosts.get(domain)
  if (known) return known
  const host: Host = {
    ...thisHost(),
    guests() {
      const { name, uuid, id, state, isPersistent, autostart, root, moments } = domain
      return [
        {
          name,
          uuid,
          id,
          state,
          persistent: isPersistent,
          autostart,
          managedSave: existsSync(root.managedSave),
          snapshots: moments.snapshots.count > 0,
          checkpoints: moments.checkpoints.count > 0
        }
      ]
    },
    define: async (xml, flags) => (await import('../drivers/qemu/domain/define.ts')).redefine(domain, xml, flags),
    create: async (xml, flags) => (await import('../drivers/qemu/process/create.ts')).createFrom(domain, xml, flags),
    stats: (of, wanted) => Promise.all(of.map(() => recordOf(domain, wanted))),
    qemu: async () => domain.context.qemu,
    holderOf(device) {
      if (!domain.isActive) return undefined
      const held = hostDevices(domain.def.devices).some(
        ({ source }) => source.type === 'pci' && pciAddressText(source.place) === pciAddressText(device)
      )
      return held ? domain.name : undefined
    }
  }
  hosts.set(domain, host)
  return host
}
