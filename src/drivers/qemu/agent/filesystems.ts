// The guest's file systems and disks as its agent tells them; file systems held still, and their free space given back.
import type { AddressOf, PciAddress } from '../../../conf/devices/device-address.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { entriesOf, flagIn, intIn, isSaid, malformed, type Said, textIn, textsOf, uintIn, ulongIn } from './answer.ts'
import { type AgentCall, availableAgent } from './channel.ts'

type Guest = Parameters<typeof availableAgent>[0]

/** What of a place on a bus tells it from others. */
type PciPlace = Pick<PciAddress, 'domain' | 'bus' | 'slot' | 'function'>
type CcwPlace = Required<Pick<AddressOf<'ccw'>, 'cssid' | 'ssid' | 'devno'>>

/** Where the guest sees a disk, and what it calls it (GuestDiskAddress of qemu-ga). */
export interface GuestDiskAddress {
  pci: PciPlace
  ccw?: CcwPlace
  bus: number
  target: number
  unit: number
  busType?: string
  serial?: string
  /** its device node */
  dev?: string
}

export interface GuestFilesystem {
  mountpoint: string
  name: string
  type: string
  /** bytes; agents before 3.0 do not tell */
  total?: bigint
  used?: bigint
  disks: GuestDiskAddress[]
}

export interface GuestDisk {
  name: string
  partition: boolean
  dependencies: string[]
  alias?: string
  address?: GuestDiskAddress
}

/** The guest's CSSID 0 is this on the host. */
const CSSID = 0xfe

/**
 * Freezes all of the guest's file systems, or those mounted there. Its agent refuses what is frozen already.
 * @returns how many (qemuSnapshotFSFreeze) @throws as availableAgent and Agent.execute
 */
export async function freezeFilesystems(guest: Guest, mountpoints: readonly string[] = []): Promise<number> {
  const agent = availableAgent(guest)
  return count(
    mountpoints.length > 0
      ? await agent.execute('guest-fsfreeze-freeze-list', { mountpoints })
      : await agent.execute('guest-fsfreeze-freeze')
  )
}

/** Lets the guest's file systems go on, whoever froze them. @returns how many (qemuSnapshotFSThaw) @throws as above */
export async function thawFilesystems(guest: Guest, call?: AgentCall): Promise<number> {
  return count(await availableAgent(guest).execute('guest-fsfreeze-thaw', undefined, call))
}

function count(value: unknown): number {
  const found = intIn({ value }, 'value')
  if (found === undefined) throw malformed('malformed return value')
  return found
}

/** The guest's file systems in the order they were mounted. @throws VIR_ERR_INTERNAL_ERROR (qemuAgentGetFSInfo) */
export function filesystemsIn(answer: unknown): GuestFilesystem[] {
  const list = entriesOf(answer, 'guest-get-fsinfo reply was missing or not an array')
  return list.reverse().map(entry => {
    const text = (name: string) => {
      const value = textIn(entry, name)
      if (value === undefined) throw malformed(`'${name}' missing in reply of guest-get-fsinfo`)
      return value
    }
    const bytes = (name: string) => {
      const value = ulongIn(entry, name)
      if (value === undefined && name in entry) throw malformed(`Error getting '${name}' in reply of guest-get-fsinfo`)
      return value
    }
    return {
      mountpoint: text('mountpoint'),
      name: text('name'),
      type: text('type'),
      used: bytes('used-bytes'),
      total: bytes('total-bytes'),
      disks: entriesOf(entry.disk, "'disk' missing or not an array in reply of guest-get-fsinfo").map(diskAddress)
    }
  })
}

/** The disks and partitions the guest sees. @throws VIR_ERR_INTERNAL_ERROR (qemuAgentGetDisks) */
export function disksIn(answer: unknown): GuestDisk[] {
  return entriesOf(answer, "qemu agent didn't return an array of disks").map(entry => {
    const name = textIn(entry, 'name')
    if (name === undefined) throw malformed("'name' missing in reply of guest-get-disks")
    const partition = flagIn(entry, 'partition')
    if (partition === undefined) throw malformed("'partition' missing in reply of guest-get-disks")
    return {
      name,
      partition,
      dependencies: Array.isArray(entry.dependencies) ? textsOf(entry.dependencies) : [],
      alias: textIn(entry, 'alias'),
      address: isSaid(entry.address) ? diskAddress(entry.address) : undefined
    }
  })
}

/** @throws VIR_ERR_INTERNAL_ERROR naming what is missing (qemuAgentGetDiskAddress) */
function diskAddress(said: Said): GuestDiskAddress {
  const numbers = <const N extends string>(object: Said, ...names: N[]) =>
    Object.fromEntries(
      names.map(name => {
        const value = uintIn(object, name)
        if (value === undefined) throw malformed(`'${name}' missing`)
        return [name, value]
      })
    ) as Record<N, number>
  const place = numbers(said, 'bus', 'target', 'unit')
  if (said['pci-controller'] === undefined) throw malformed("'pci-controller' missing")
  const pci = numbers(Object(said['pci-controller']), 'domain', 'bus', 'slot', 'function')
  const ccw =
    said['ccw-address'] === undefined ? undefined : numbers(Object(said['ccw-address']), 'cssid', 'ssid', 'devno')
  return {
    ...place,
    pci,
    ...(ccw && { ccw: { ...ccw, cssid: ccw.cssid || CSSID } }),
    busType: textIn(said, 'bus-type'),
    serial: textIn(said, 'serial'),
    dev: textIn(said, 'dev')
  }
}

const samePci = (a: PciPlace, b: PciPlace) =>
  a.domain === b.domain && a.bus === b.bus && a.slot === b.slot && a.function === b.function
const sameCcw = (a: AddressOf<'ccw'>, b: CcwPlace) => a.cssid === b.cssid && a.ssid === b.ssid && a.devno === b.devno

/**
 * The disk of the definition that the guest sees there: at a place of its own, or at its controller's
 * (virDomainDiskIndexByAddress).
 */
export function diskAt({ devices }: DomainDef, { pci, ccw, bus, target, unit }: GuestDiskAddress): DiskDef | undefined {
  const isThere = ({ address }: { address?: DiskDef['address'] }) =>
    (address?.type === 'pci' && samePci(address, pci)) ||
    (address?.type === 'ccw' && ccw !== undefined && sameCcw(address, ccw))
  const controller = devices.controllers.find(isThere)
  return devices.disks.find(disk => {
    const { address } = disk
    if (address?.type !== 'drive') return isThere(disk)
    return (
      controller?.type === disk.target?.bus &&
      controller?.index === address.controller &&
      address.bus === bus &&
      address.target === target &&
      address.unit === unit
    )
  })
}
