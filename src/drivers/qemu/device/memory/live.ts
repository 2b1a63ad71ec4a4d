// Memory devices of a guest that runs: modules and virtio memory that come and go, and the size virtio-mem is asked for
// (qemuDomainAttachMemory, qemuDomainDetachPrepMemory, qemuDomainChangeMemoryLive).
import { sameAddress } from '../../../../conf/devices/device-address.ts'
import { hasDeviceAt } from '../../../../conf/devices/index.ts'
import { type MemoryDef, memory } from '../../../../conf/devices/memory.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { QmpMonitor } from '../../monitor/qmp.ts'
import { freely, type LiveGuest, type LiveRules, missing } from '../family.ts'
import { alignMemoryDevice, validateMemoryHotplug } from './align.ts'
import { memoryBytes } from './backend.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failConf = errorsFrom('VIR_FROM_DOMAIN')

export const liveMemory: LiveRules<MemoryDef> = {
  attach(dev, { def }) {
    alignMemoryDevice(dev, def)
    validateMemoryHotplug(def, dev)
  },
  prepare(dev, { def }) {
    if (dev.address && hasDeviceAt(def, dev.address)) {
      throw failConf('VIR_ERR_OPERATION_INVALID', 'Domain already contains a device with the same address')
    }
  },
  insert(dev, def) {
    def.devices.memories.push(dev)
    def.memoryKiB += dev.target.sizeKiB
  },
  refresh: refreshMemory,
  addedAs: ({ alias }) => `mem${alias}`,
  find(dev, def) {
    alignMemoryDevice(dev, def)
    return def.devices.memories.find(one => memory.same?.(dev, one))
  },
  noneToDetach: missing(({ model }) => `model '${model}' memory device not present in the domain configuration`),
  detach: freely,
  // virDomainMemoryFindByDeviceInfo
  findToUpdate: ({ address, alias }, { devices }) =>
    devices.memories.find(one => sameAddress(one.address, address) && (alias === undefined || one.alias === alias)),
  noneToUpdate: missing(({ alias = '(null)' }) => `memory '${alias}' not found`, 'VIR_ERR_CONFIG_UNSUPPORTED'),
  update: changeRequestedSize
}

interface QmpMemoryDevice {
  data: { id?: string; slot?: number; addr?: number | bigint; memaddr?: number | bigint; size: number | bigint }
}

const kib = (bytes: number | bigint) => Number((BigInt(bytes) + 1023n) / 1024n)

/** Takes over the places QEMU has chosen, and the guest's present memory (qemuDomainUpdateMemoryDeviceInfo). */
async function refreshMemory(_dev: MemoryDef, def: DomainDef, qmp: QmpMonitor): Promise<void> {
  // told ahead of what the devices are
  await refreshBalloon(def, qmp)
  const found = await qmp.execute<QmpMemoryDevice[]>('query-memory-devices')
  for (const { data } of found) {
    const dev = def.devices.memories.find(({ alias }) => alias !== undefined && alias === data.id)
    if (!dev) continue
    const address = BigInt(data.addr ?? data.memaddr ?? 0)
    if (dev.model === 'dimm' || dev.model === 'nvdimm') {
      dev.address = { type: 'dimm', slot: data.slot ?? 0, ...(address > 0n && { base: address }) }
    } else dev.target.address = address
    if (dev.model === 'virtio-mem') dev.target.currentKiB = kib(data.size)
  }
}

/** qemuProcessRefreshBalloonState: QEMU's balloon does not know of virtio-mem, libvirt's current memory does. */
async function refreshBalloon(def: DomainDef, qmp: QmpMonitor): Promise<void> {
  const { memballoons, memories } = def.devices
  if (!memballoons.some(({ model }) => model !== 'none')) {
    def.currentMemoryKiB = def.memoryKiB
    return
  }
  const { actual } = await qmp.execute<{ actual: number | bigint }>('query-balloon')
  const plugged = memories.filter(({ model }) => model === 'virtio-mem').map(({ target }) => target.currentKiB ?? 0)
  def.currentMemoryKiB = plugged.reduce((sum, size) => sum + size, kib(actual))
}

type Value = string | number | bigint | undefined

/** What of a device stays, by libvirt's name of it (qemuDomainChangeMemoryLiveValidateChange). */
const FIXED: [name: string, value: (dev: MemoryDef) => Value, text?: (value: Value) => string][] = [
  ['model', ({ model }) => model],
  ['access', ({ access }) => access ?? 'default'],
  ['discard', ({ discard }) => (discard === undefined ? 'absent' : discard ? 'yes' : 'no')],
  ['source nodes', ({ source }) => source.nodemask],
  ['pagesize', ({ source }) => source.pagesizeKiB ?? 0],
  ['targetNode', ({ target }) => target.node ?? -1],
  ['size', ({ target }) => target.sizeKiB],
  ['block size', ({ target }) => target.blockKiB ?? 0],
  ['address', ({ target }) => target.address ?? 0n, value => `0x${value?.toString(16)}`]
]

/** Asks virtio-mem for another size; the guest plugs and unplugs up to it as it can. */
async function changeRequestedSize(dev: MemoryDef, there: MemoryDef, { qmp }: LiveGuest): Promise<void> {
  const refuse = (what: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `cannot modify memory ${what}`)
  if (there.model !== 'virtio-mem') throw refuse(`of model '${there.model}'`)
  for (const [name, value, text = String] of FIXED) {
    const [before, after] = [value(there), value(dev)]
    if (before === after) continue
    throw refuse(name === 'source nodes' ? name : `${name} from '${text(before)}' to '${text(after)}'`)
  }
  const { requestedKiB = 0 } = dev.target
  const value = memoryBytes(requestedKiB)
  await qmp.execute('qom-set', { path: `/machine/peripheral/${there.alias}`, property: 'requested-size', value })
  there.target.requestedKiB = requestedKiB
}
