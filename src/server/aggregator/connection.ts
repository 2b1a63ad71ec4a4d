// The aggregator's connection: every guest of the host.
import { pciAddressText } from '../../conf/devices/device-address.ts'
import type { TypedParams } from '../../conf/wire.ts'
import { type GuestEntry, handleOf } from '../../drivers/connection.ts'
import type { Qemu } from '../../drivers/qemu/capabilities/qemu.ts'
import { cacheDirectory } from '../../state/root.ts'
import { thisConnect } from '../this-host.ts'
import type { ArrivalOptions } from './arrival.ts'
import { askGuests } from './ask-guests.ts'
import type { Discovery } from './discovery.ts'
import type { KnownGuest, Registry } from './registry.ts'
import type { AggregatorConnect } from './rows.ts'

const DEFAULT_EMULATOR = '/usr/bin/qemu-system-x86_64'

/** A guest as listings see it. */
function entryOf({ report }: KnownGuest): GuestEntry {
  const { name, uuid, id, state, persistent, autostart, managedSave, snapshots, checkpoints } = report
  return { name, uuid, id, state, persistent, autostart, managedSave, snapshots, checkpoints }
}

export interface ConnectOptions extends ArrivalOptions {
  registry: Registry
  discovery: Discovery
}

/** Every guest of the host as one connection. */
export function connectOf({ layout, registry, guests, discovery, ...host }: ConnectOptions): AggregatorConnect {
  return {
    ...thisConnect(),
    guests: () => Array.from(registry.guests(), entryOf),
    async stats(of, wanted, flags = 0) {
      const path = `/v1/stats?stats=${wanted}&flags=${flags}`
      const answers = await askGuests(registry, of, path)
      return answers.map(({ guest: { name, uuid, id }, body }) => ({
        dom: { name, uuid, id },
        params: body as TypedParams
      }))
    },
    define: (xml, flags) => guests.define(xml, flags),
    create: (xml, flags, connection) => guests.create(xml, flags, connection),
    restore: options => guests.restore(options),
    prepareMigration: (phase, api, connection) => guests.prepareMigration(phase, api, connection),
    arriving: (guest, call) => guests.arriving(guest, call),
    arrived: (guest, call) => guests.arrived(guest, call),
    finishMigration: (phase, api) => guests.finishMigration(phase, api),
    checkArrival: async phase => (await import('./arrival.ts')).checkArrival({ layout, guests, ...host }, phase),
    contextFor: async def => (await import('../guest-context.ts')).contextFor(def, layout.guest(def.name), undefined),
    add: async socket => handleOf((await discovery.add(socket)).report),
    async qemu(): Promise<Qemu> {
      const { qemuCapabilities } = await import('../../drivers/qemu/capabilities/qemu.ts')
      return qemuCapabilities(DEFAULT_EMULATOR, cacheDirectory(), 'qemu')
    },
    holderOf(device) {
      const key = pciAddressText(device)
      for (const { report } of registry.guests()) {
        if (report.allocations.some(held => held.kind === 'pci' && held.key === key)) return report.name
      }
      return undefined
    }
  }
}
