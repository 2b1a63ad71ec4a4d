// Every device family, in the order libvirt writes them.
import { childText, custom, type Field, type Fields, formatFields, type ParseContext, parseFields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string } from '../scalar.ts'
import { childElements, element, gathered, type XmlElement } from '../xml.ts'
import { type AudioDef, audio } from './audio.ts'
import {
  type ChannelDef,
  type ConsoleDef,
  channel,
  console,
  type ParallelDef,
  parallel,
  type SerialDef,
  serial
} from './chardev.ts'
import { type ControllerDef, controller } from './controller.ts'
import { type CryptoDef, crypto } from './crypto.ts'
import { type Address, sameAddress } from './device-address.ts'
import type { DeviceInfo } from './device-info.ts'
import { type DiskDef, disk } from './disk.ts'
import type { DeviceFamily } from './family.ts'
import { type FilesystemDef, filesystem } from './filesystem.ts'
import { type GraphicsDef, graphics } from './graphics.ts'
import { type HostdevDef, hostdev } from './hostdev.ts'
import { type HubDef, hub } from './hub.ts'
import { type InputDef, input } from './input.ts'
import { type InterfaceDef, interfaceFamily } from './interface.ts'
import { type IommuDef, iommu } from './iommu.ts'
import { type LeaseDef, lease } from './lease.ts'
import { type MemballoonDef, memballoon } from './memballoon.ts'
import { type MemoryDef, memory } from './memory.ts'
import { type NvramDef, nvram } from './nvram.ts'
import { type PanicDef, panic } from './panic.ts'
import { type PstoreDef, pstore } from './pstore.ts'
import { type RedirdevDef, redirdev } from './redirdev.ts'
import { type RedirfilterDef, redirfilter } from './redirfilter.ts'
import { type RngDef, rng } from './rng.ts'
import { type ShmemDef, shmem } from './shmem.ts'
import { type SmartcardDef, smartcard } from './smartcard.ts'
import { type SoundDef, sound } from './sound.ts'
import { type TpmDef, tpm } from './tpm.ts'
import { type VideoDef, video } from './video.ts'
import { type VsockDef, vsock } from './vsock.ts'
import { type WatchdogDef, watchdog } from './watchdog.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export const deviceFamilies = {
  disks: disk,
  controllers: controller,
  leases: lease,
  filesystems: filesystem,
  interfaces: interfaceFamily,
  smartcards: smartcard,
  serials: serial,
  parallels: parallel,
  consoles: console,
  channels: channel,
  inputs: input,
  tpms: tpm,
  graphics,
  sounds: sound,
  audios: audio,
  videos: video,
  hostdevs: hostdev,
  redirdevs: redirdev,
  redirfilters: redirfilter,
  hubs: hub,
  watchdogs: watchdog,
  memballoons: memballoon,
  rngs: rng,
  nvrams: nvram,
  panics: panic,
  shmems: shmem,
  memories: memory,
  cryptos: crypto,
  iommus: iommu,
  vsocks: vsock,
  pstores: pstore
} satisfies { [K in DeviceKind]: DeviceFamily<Devices[K][number]> }

/** Device lists of a domain by family. Devices there may be one of are lists of at most one. */
export interface Devices {
  /** path of the QEMU binary */
  emulator?: string
  disks: DiskDef[]
  controllers: ControllerDef[]
  leases: LeaseDef[]
  filesystems: FilesystemDef[]
  interfaces: InterfaceDef[]
  smartcards: SmartcardDef[]
  serials: SerialDef[]
  parallels: ParallelDef[]
  consoles: ConsoleDef[]
  channels: ChannelDef[]
  inputs: InputDef[]
  tpms: TpmDef[]
  graphics: GraphicsDef[]
  sounds: SoundDef[]
  audios: AudioDef[]
  videos: VideoDef[]
  hostdevs: HostdevDef[]
  redirdevs: RedirdevDef[]
  redirfilters: RedirfilterDef[]
  hubs: HubDef[]
  watchdogs: WatchdogDef[]
  memballoons: MemballoonDef[]
  rngs: RngDef[]
  nvrams: NvramDef[]
  panics: PanicDef[]
  shmems: ShmemDef[]
  memories: MemoryDef[]
  iommus: IommuDef[]
  vsocks: VsockDef[]
  cryptos: CryptoDef[]
  pstores: PstoreDef[]
}
export type DeviceKind = Exclude<keyof Devices, 'emulator'>
export type AnyDevice = DeviceInfo

const entries = Object.entries(deviceFamilies) as unknown as [DeviceKind, DeviceFamily<AnyDevice>][]

/** `<devices>`. */
export const devices: Field<Devices> = custom<Devices>({
  names: [['devices', { emulator: childText('emulator', string), ...familyFields() }]],
  parse: (node, context) => parseDevices(node, context),
  format(value, into, context) {
    const node = element('devices')
    if (value.emulator !== undefined) node.children.push(element('emulator', {}, [value.emulator]))
    for (const [kind, family] of entries) {
      value[kind].forEach((dev, index) => {
        const shown = family.shown ? family.shown(dev as AnyDevice, index, value, context) : dev
        if (shown) node.children.push(formatFields(family.element, shown, family.fields, context))
      })
    }
    into.children.push(node)
  }
})

/** The order in which families are read, and their errors found (virDomainDefParseXML). */
const READ_ORDER = [
  'disks',
  'controllers',
  'leases',
  'filesystems',
  'interfaces',
  'smartcards',
  'parallels',
  'serials',
  'consoles',
  'channels',
  'inputs',
  'graphics',
  'sounds',
  'audios',
  'videos',
  'hostdevs',
  'watchdogs',
  'memballoons',
  'rngs',
  'cryptos',
  'tpms',
  'nvrams',
  'hubs',
  'redirdevs',
  'redirfilters',
  'panics',
  'shmems',
  'memories',
  'iommus',
  'vsocks',
  'pstores'
] as const satisfies DeviceKind[]

/** Reads `<devices>` of a domain. @param before what is read before the devices of a family */
export function parseDevices(
  domain: XmlElement,
  context: ParseContext,
  before: { [K in DeviceKind]?: () => void } = {}
): Devices {
  const out = noDevices()
  const found = gathered(domain, 'devices') ?? element('devices')
  const emulator = childText('emulator', string).parse(found, context)
  if (emulator !== undefined) out.emulator = emulator
  for (const kind of READ_ORDER) {
    before[kind]?.()
    const family = familyOf(kind)
    const nodes = childElements(found, family.element)
    const { count = 1, code = 'VIR_ERR_XML_ERROR', message } = family.limit ?? {}
    if (message !== undefined && nodes.length > count) throw fail(code, message)
    const list = nodes.map(one => {
      const dev = parseFields(one, family.asRead ?? family.fields, context) as AnyDevice
      family.checkRead?.(dev, out)
      return dev
    })
    out[kind] = (family.parsed?.(list, out) ?? list) as never[]
  }
  return out
}

function familyFields(): Fields {
  return Object.fromEntries(
    entries.map(([kind, family]) => [
      kind,
      {
        names: [[family.element, family.fields]],
        parse: () => undefined,
        format: () => undefined
      } satisfies Field<undefined>
    ])
  )
}

/** A domain's empty device lists. */
export function noDevices(): Devices {
  return Object.fromEntries(entries.map(([kind]) => [kind, []])) as unknown as Devices
}

/** The order in which the passes over a definition visit devices (virDomainDeviceInfoIterate). */
const PASS_ORDER = [
  'disks',
  'interfaces',
  'sounds',
  'hostdevs',
  'videos',
  'controllers',
  'smartcards',
  'serials',
  'parallels',
  'channels',
  'consoles',
  'inputs',
  'filesystems',
  'watchdogs',
  'memballoons',
  'rngs',
  'nvrams',
  'hubs',
  'shmems',
  'tpms',
  'panics',
  'memories',
  'redirdevs',
  'iommus',
  'vsocks',
  'cryptos',
  'pstores'
] as const satisfies DeviceKind[]
/** Devices without an address or alias of their own come last. */
const WITHOUT_INFO = ['graphics', 'audios', 'leases', 'redirfilters'] as const satisfies DeviceKind[]

/** Every device with its kind and family, in the order of libvirt's passes; lists may grow while it runs. */
export function* eachDevice(of: Devices): Generator<[DeviceKind, AnyDevice, DeviceFamily<AnyDevice>]> {
  for (const kind of [...PASS_ORDER, ...WITHOUT_INFO]) {
    for (const dev of of[kind]) yield [kind, dev as AnyDevice, familyOf(kind)]
  }
}

/**
 * Every device with an address or alias of its own, in the order of libvirt's passes. The first console of a full
 * virtual machine is its first serial port over again, so it does not count.
 */
export function* eachDeviceInfo(of: Devices): Generator<[DeviceKind, AnyDevice]> {
  for (const kind of PASS_ORDER) {
    for (const dev of of[kind])
      if (kind !== 'consoles' || !isSerialTwin(dev as ConsoleDef, of)) yield [kind, dev as AnyDevice]
  }
}

/** True if a device is at that place (virDomainDefHasDeviceAddress). */
export function hasDeviceAt({ devices }: { devices: Devices }, address: Address): boolean {
  return [...eachDeviceInfo(devices)].some(([, dev]) => dev.address && sameAddress(dev.address, address))
}

/** True for the first console where it only shows the first serial port (virDomainSkipBackcompatConsole). */
function isSerialTwin(dev: ConsoleDef, { consoles }: Devices): boolean {
  const type = dev.target?.type
  return dev === consoles[0] && (type === undefined || type === 'serial' || type === 'none')
}

/** The family of a device list. */
export function familyOf(kind: DeviceKind): DeviceFamily<AnyDevice> {
  return deviceFamilies[kind] as unknown as DeviceFamily<AnyDevice>
}
