// The host resources a guest holds, read off its definition: what must not be given to two guests.
import { statSync } from 'node:fs'
import { pciAddressText } from '../conf/devices/device-address.ts'
import { listensOnPort } from '../conf/devices/graphics-server.ts'
import { hostDevices } from '../conf/devices/hostdev-validate.ts'
import type { DomainDef } from '../conf/domain-def.ts'
import { isLocalStorage } from '../conf/storage-source.ts'

/** One resource: identified by a key, or counted by an amount (KiB for memory, else a number). */
export interface Allocation {
  kind: string
  key?: string
  amount?: number
  mode: 'exclusive' | 'shared'
}

export interface RunFacts {
  active: boolean
  id: number
  cgroups: string[]
}

/** Everything the guest holds; a guest that is shut off holds its name and uuid. */
export function allocations(def: DomainDef, { active, id, cgroups }: RunFacts): Allocation[] {
  const out: Allocation[] = []
  const own = (kind: string, key: string | undefined) => key !== undefined && out.push({ kind, key, mode: 'exclusive' })
  own('name', def.name)
  own('uuid', def.uuid)
  if (!active) return out
  own('domain-id', String(id))
  out.push({ kind: 'memory', amount: def.memoryKiB ?? 0, mode: 'exclusive' })
  out.push({ kind: 'vcpu', amount: def.vcpu.current ?? def.vcpu.max, mode: 'shared' })
  for (const disk of def.devices.disks) {
    const { source } = disk
    const key = isLocalStorage(source) && source.type !== 'dir' && source.path && fileKey(source.path)
    if (key) out.push({ kind: 'disk', key, mode: disk.readonly || disk.shareable ? 'shared' : 'exclusive' })
  }
  for (const net of def.devices.interfaces) {
    own('mac', net.mac)
    own('tap', net.target?.dev)
  }
  for (const dev of def.devices.graphics) {
    if ((dev.type !== 'vnc' && dev.type !== 'spice') || !listensOnPort(dev)) continue
    const ports = [dev.port, dev.type === 'vnc' ? dev.websocket : dev.tlsPort]
    for (const port of ports) own('tcp-port', port ? String(port) : undefined)
  }
  for (const { cid } of def.devices.vsocks)
    own('vsock-cid', cid?.address === undefined ? undefined : String(cid.address))
  for (const { backend } of def.devices.tpms) if (backend.type === 'passthrough') own('tpm', backend.path)
  for (const { source } of hostDevices(def.devices)) {
    if (source.type === 'pci') own('pci', pciAddressText(source.place))
  }
  for (const group of cgroups) own('cgroup', group)
  return out
}

/** A file by what it is rather than how it is called: device and inode; a block device by its number. */
function fileKey(path: string): string | undefined {
  try {
    const { dev, ino, rdev } = statSync(path, { bigint: true })
    return rdev > 0n ? `rdev:${rdev}` : `${dev}:${ino}`
  } catch {
    return undefined
  }
}
