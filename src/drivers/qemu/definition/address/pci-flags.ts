// Connections between PCI devices and PCI controllers (virDomainPCIConnectFlags): wanted by devices, offered by buses.
import type { PciModel } from '../../../../conf/devices/controller-models.ts'

/** One bit each, with libvirt's values: some errors show them. */
export const CONNECT = {
  /** addresses are chosen for devices here, not only by the user */
  autoassign: 1 << 0,
  hotplug: 1 << 1,
  /** works only on the root bus itself */
  integrated: 1 << 2,
  /** several such devices share a slot, one on each of its functions */
  aggregate: 1 << 3,
  pci: 1 << 4,
  pcie: 1 << 5,
  rootPort: 1 << 6,
  upstreamPort: 1 << 7,
  downstreamPort: 1 << 8,
  dmiToPciBridge: 1 << 9,
  pciExpander: 1 << 10,
  pcieExpander: 1 << 11,
  pciBridge: 1 << 12,
  pcieToPciBridge: 1 << 13
} as const

/** A conventional PCI device without a place of its own. */
export const PCI_DEVICE = CONNECT.pci | CONNECT.autoassign
/** A PCI Express device without a place of its own. */
export const PCIE_DEVICE = CONNECT.pcie | CONNECT.autoassign

/** Either kind of endpoint device. */
export const ENDPOINT = CONNECT.pci | CONNECT.pcie
/** All bits that tell kinds of device apart. */
export const TYPES = ~(CONNECT.autoassign | CONNECT.hotplug | CONNECT.integrated | CONNECT.aggregate)

interface PciModelRow {
  /** the connection of the controller itself; 0 for root buses, which are part of the machine */
  plug: number
  /** connections it offers */
  accepts: number
  /** it can be hot-plugged into, unless the user says otherwise */
  hotplug: boolean
  minSlot: number
  maxSlot: number
}

const LAST_SLOT = 31
const { autoassign, pci, pcie, rootPort, upstreamPort, downstreamPort, pciBridge, pcieToPciBridge } = CONNECT
const { dmiToPciBridge, pciExpander, pcieExpander } = CONNECT

/** A port: one slot for an Express device, a switch or a bridge. */
const PORT = {
  accepts: autoassign | pcie | upstreamPort | pcieToPciBridge,
  hotplug: true,
  minSlot: 0,
  maxSlot: 0
}
/** A bus of conventional slots, of which the first is the bridge's own. */
const BRIDGE = { accepts: autoassign | pci | pciBridge, hotplug: true, minSlot: 1, maxSlot: LAST_SLOT }

/** virDomainPCIControllerModelToConnectType, virDomainPCIAddressBusSetModel */
export const PCI_MODELS: Record<PciModel, PciModelRow> = {
  'pci-root': { ...BRIDGE, plug: 0, accepts: BRIDGE.accepts | pciExpander },
  'pcie-root': {
    plug: 0,
    accepts: pcie | rootPort | dmiToPciBridge | pcieExpander,
    hotplug: false,
    minSlot: 1,
    maxSlot: LAST_SLOT
  },
  'pci-bridge': { ...BRIDGE, plug: pciBridge },
  'dmi-to-pci-bridge': {
    plug: dmiToPciBridge,
    accepts: pci | pciBridge,
    hotplug: false,
    minSlot: 0,
    maxSlot: LAST_SLOT
  },
  'pcie-to-pci-bridge': { ...BRIDGE, plug: pcieToPciBridge },
  'pcie-root-port': { ...PORT, plug: rootPort | CONNECT.aggregate },
  'pcie-switch-upstream-port': {
    plug: upstreamPort,
    accepts: downstreamPort,
    hotplug: false,
    minSlot: 0,
    maxSlot: LAST_SLOT
  },
  'pcie-switch-downstream-port': { ...PORT, plug: downstreamPort },
  'pci-expander-bus': { ...BRIDGE, plug: pciExpander, minSlot: 0 },
  'pcie-expander-bus': {
    plug: pcieExpander,
    accepts: rootPort | dmiToPciBridge,
    hotplug: false,
    minSlot: 0,
    maxSlot: LAST_SLOT
  }
}

/** Names in errors for a device that needs such a connection; the first match counts. */
const NEEDS: readonly [flag: number, name: string][] = [
  [pci, 'standard PCI device'],
  [pcie, 'PCI Express device'],
  [rootPort, 'pcie-root-port'],
  [upstreamPort, 'pcie-switch-upstream-port'],
  [downstreamPort, 'pcie-switch-downstream-port'],
  [dmiToPciBridge, 'dmi-to-pci-bridge'],
  [pcieToPciBridge, 'pcie-to-pci-bridge'],
  [pciExpander, 'pci-expander-bus'],
  [pcieExpander, 'pcie-expander-bus'],
  [pciBridge, 'pci-bridge']
]

/** Flags as libvirt's errors show them: at least two hexadecimal digits. */
export const flagsText = (flags: number): string => flags.toString(16).padStart(2, '0')

/** The reason why a device cannot be plugged into a bus, undefined if it can (virDomainPCIAddressFlagsCompatible). */
export function plugProblem(
  where: string,
  bus: number,
  offered: number,
  wanted: number,
  fromConfig: boolean
): string | undefined {
  let accepts = offered
  let needs = wanted
  if (needs & CONNECT.integrated) {
    if (bus !== 0) return `The device at PCI address ${where} needs to be an integrated device (bus=0)`
    accepts |= CONNECT.autoassign | pci
  }
  if (fromConfig) {
    // the user may put conventional devices into Express slots and the other way round, and bridges where devices go
    if (accepts & ENDPOINT) accepts |= ENDPOINT
    if (needs & pciBridge) needs |= pci
  } else if (needs & autoassign && !(accepts & autoassign)) {
    return `The device at PCI address ${where} was auto-assigned this address, but the PCI controller with index='${bus}' doesn't allow auto-assignment`
  }
  if (needs & CONNECT.hotplug && !(accepts & CONNECT.hotplug)) {
    return `The device at PCI address ${where} requires hotplug capability, but the PCI controller with index='${bus}' doesn't support hotplug`
  }
  if (needs & accepts & TYPES) return undefined
  const kind = NEEDS.find(([flag]) => needs & flag)?.[1]
  if (kind === undefined) {
    return `The device at PCI address ${where} has unrecognized connection type flags 0x${flagsText(needs & TYPES)}`
  }
  return `The device at PCI address ${where} cannot be plugged into the PCI controller with index='${bus}'. It requires a controller that accepts a ${kind}.`
}

/** The controller model that is plugged in that way, if any (virDomainPCIControllerConnectTypeToModel). */
export function modelPluggedAs(flags: number): PciModel | undefined {
  const order = [
    'pcie-root-port',
    'pcie-switch-upstream-port',
    'pcie-switch-downstream-port',
    'dmi-to-pci-bridge',
    'pci-expander-bus',
    'pcie-expander-bus',
    'pci-bridge'
  ] as const
  return order.find(model => flags & PCI_MODELS[model].plug & TYPES)
}
