// A shim's connection: exactly its one guest.
import { existsSync } from 'node:fs'
import { pciAddressText } from '../conf/devices/device-address.ts'
import { hostDevices } from '../conf/devices/hostdev-validate.ts'
import type { Connect, GuestEntry } from '../drivers/connection.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { recordOf } from '../drivers/qemu/stats/record.ts'
import type { Activity } from './activity.ts'
import type { Served } from './dispatch.ts'
import { shimRows } from './rows.ts'
import { thisConnect } from './this-host.ts'

/** The guest as listings see it. */
export function entryOf({ name, uuid, id, state, isPersistent, autostart, root, moments }: QemuDomain): GuestEntry {
  return {
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
}

/** The services of a shim: its guest, and a connection with no other. */
export function servedBy(domain: QemuDomain, activity?: Activity): Served & { domain: QemuDomain } {
  const connect: Connect = {
    ...thisConnect(),
    guests: () => [entryOf(domain)],
    define: async (xml, flags) => (await import('../drivers/qemu/domain/define.ts')).defineDomain(domain, xml, flags),
    create: async (xml, flags, connection) =>
      (await import('../drivers/qemu/process/create.ts')).createFrom(domain, xml, flags, connection),
    restore: async (options, api) =>
      (await import('../drivers/qemu/save/restore.ts')).restoreFrom(domain, api, options),
    prepareMigration: async (phase, api, connection) =>
      (await import('../drivers/qemu/migration/destination.ts')).prepareMigration(domain, phase, { api, connection }),
    prepareTunnel: async (phase, api, connection) =>
      (await import('../drivers/qemu/migration/destination.ts')).prepareTunnel(domain, phase, { api, connection }),
    finishMigration: async phase =>
      (await import('../drivers/qemu/migration/destination.ts')).finishMigration(domain, phase),
    contextFor: domain.contextFor,
    stats: (of, wanted, flags) => Promise.all(of.map(() => recordOf(domain, wanted, flags))),
    qemu: async () => domain.context.qemu,
    holderOf(device) {
      if (!domain.isActive) return undefined
      const held = hostDevices(domain.def.devices).some(
        ({ source }) => source.type === 'pci' && pciAddressText(source.place) === pciAddressText(device)
      )
      return held ? domain.name : undefined
    }
  }
  return { connect, domain, rows: shimRows, ...(activity && { activity }) }
}
