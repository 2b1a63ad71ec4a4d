// The aggregator's connection: every guest of the host.
import { pciAddressText } from '../../conf/devices/device-address.ts'
import { parseJson } from '../../conf/json.ts'
import type { TypedParams, WireValue } from '../../conf/wire.ts'
import { type GuestEntry, handleOf, type statsRecord } from '../../drivers/connection.ts'
import type { Qemu } from '../../drivers/qemu/capabilities/qemu.ts'
import { cacheDirectory } from '../../state/root.ts'
import { ask } from '../raw-http.ts'
import { thisConnect } from '../this-host.ts'
import type { Discovery } from './discovery.ts'
import type { Guests } from './guests.ts'
import type { KnownGuest, Registry } from './registry.ts'
import type { AggregatorConnect } from './rows.ts'

/** A guest that does not tell its statistics in this time is left out. */
const STATS_LIMIT_MS = 5000
/** Shims asked for statistics at a time. */
const STATS_AT_ONCE = 64
const DEFAULT_EMULATOR = '/usr/bin/qemu-system-x86_64'

type Record = WireValue<typeof statsRecord>

/** A guest as listings see it. */
function entryOf({ report }: KnownGuest): GuestEntry {
  const { name, uuid, id, state, persistent, autostart, managedSave, snapshots, checkpoints } = report
  return { name, uuid, id, state, persistent, autostart, managedSave, snapshots, checkpoints }
}

/** Every guest of the host as one connection. */
export function connectOf(registry: Registry, guests: Guests, discovery: Discovery): AggregatorConnect {
  return {
    ...thisConnect(),
    guests: () => Array.from(registry.guests(), entryOf),
    async stats(of, wanted) {
      const records = new Array<Record | undefined>(of.length)
      let next = 0
      const work = async () => {
        for (let i = next++; i < of.length; i = next++) records[i] = await statsOf(registry, of[i]!, wanted)
      }
      await Promise.all(Array.from({ length: Math.min(STATS_AT_ONCE, of.length) }, work))
      return records.filter(record => record !== undefined)
    },
    define: (xml, flags) => guests.define(xml, flags),
    create: (xml, flags, connection) => guests.create(xml, flags, connection),
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

/** Statistics of one guest, undefined when its shim does not tell. */
async function statsOf(
  registry: Registry,
  { name, uuid, id }: GuestEntry,
  wanted: number
): Promise<Record | undefined> {
  const guest = registry.byUuid(uuid)
  if (guest?.socket === undefined || guest.unreachableSince !== undefined) return undefined
  const path = `/v1/stats?stats=${wanted}`
  const answer = await ask(guest.socket, { method: 'GET', path, timeoutMs: STATS_LIMIT_MS }).catch(() => undefined)
  if (answer?.status !== 200) return undefined
  return { dom: { name, uuid, id }, params: parseJson(answer.body) as TypedParams }
}
