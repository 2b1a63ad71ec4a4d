// <hostdev>: QEMU's defaults, checks and arguments.
import { pciAddressText } from '../../../../conf/devices/device-address.ts'
import { type HostdevDef, sameHostdevSource } from '../../../../conf/devices/hostdev.ts'
import type { HostdevSourceOf } from '../../../../conf/devices/hostdev-source.ts'
import { hostDevicesOf } from '../../../../conf/devices/interface-hostdev.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { QemuContext } from '../../context.ts'
import { addressProps } from '../../parts/address.ts'
import { bootIndex } from '../../parts/boot-index.ts'
import type { Builder, DeviceProps } from '../../parts/builder.ts'
import { romProps } from '../../parts/rom.ts'
import { leave, missing, type QemuFamily } from '../family.ts'
import { prepareHostdev } from './prepare.ts'
import { addScsiHostdev, addVhostScsi } from './scsi.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

export const qemuHostdev: QemuFamily<HostdevDef> = {
  postParse({ source }, _def, { qemu }) {
    // 'off' said aloud, so that a later QEMU's default does not change the guest
    if (source.type === 'mdev' && source.model === 'vfio-pci' && qemu.has('vfio-pci.display')) source.display ??= false
  },
  validate(dev, def, context) {
    if (dev.source.mode === 'capabilities') {
      throw unsupported(`hostdev mode 'capabilities' is not supported in ${def.type}`)
    }
    CHECKS[dev.source.type]?.(dev, def, context)
  },
  prepare: prepareHostdev,
  add: addHostdev,
  unplug: leave('hostdevs'),
  config: {
    attach(dev, def) {
      if (hostDevicesOf(def.devices).some(({ source }) => sameHostdevSource(dev.source, source))) {
        throw fail('VIR_ERR_OPERATION_INVALID', 'device is already in the domain configuration')
      }
      def.devices.hostdevs.push(dev)
    },
    noneToDetach: missing()
  },
  live: async () => (await import('./live.ts')).liveHostdev
}

type Check = (dev: HostdevDef, def: DomainDef, context: QemuContext) => void

/** qemuValidateDomainDeviceDefHostdev, by type. */
const CHECKS: Partial<Record<HostdevDef['source']['type'], Check>> = {
  usb({ source }, _def, { qemu }) {
    if ((source as HostdevSourceOf<'usb'>).guestReset && !qemu.has('usb-host.guest-resets-all')) {
      throw unsupported('guestReset is not supported with this version of QEMU')
    }
  },
  pci({ source }, { devices }, { qemu }) {
    if (source.backend === 'vfio' && !qemu.has('vfio-pci')) {
      throw unsupported('VFIO PCI device assignment is not supported by this version of qemu')
    }
    if ((source as HostdevSourceOf<'pci'>).writeFiltering !== undefined) {
      throw unsupported('Write filtering of PCI device configuration space is not supported by qemu')
    }
    checkDisplay(source, devices)
  },
  scsi_host({ boot }, _def, { qemu }) {
    if (boot) throw unsupported('booting from assigned devices is not supported by vhost SCSI devices')
    if (!qemu.has('vhost-scsi')) throw unsupported("This QEMU doesn't support vhost-scsi devices")
  },
  mdev(dev, def, context) {
    MDEV_CHECKS[dev.source.model ?? '']?.(dev, def, context)
  }
}

/** A picture needs something to show it. */
function checkDisplay({ display }: HostdevDef['source'], { graphics }: DomainDef['devices']): void {
  if (display && graphics.length === 0) {
    throw unsupported("graphics device is needed for attribute value 'display=on' in <hostdev>")
  }
}

const NO_MDEV_BOOT = 'booting from assigned devices is not supported by mediated devices of model'

/** qemuValidateDomainMdevDef, by kind. */
const MDEV_CHECKS: Record<string, Check> = {
  'vfio-pci'({ source, boot }, { devices }, { qemu }) {
    if (!qemu.has('vfio-pci')) {
      throw unsupported('VFIO PCI device assignment is not supported by this version of QEMU')
    }
    if (boot) throw unsupported(`${NO_MDEV_BOOT} vfio-pci`)
    if (source.display === undefined) return
    if (!qemu.has('vfio-pci.display')) {
      throw unsupported('display property of device vfio-pci is not supported by this version of QEMU')
    }
    checkDisplay(source, devices)
  },
  'vfio-ap'({ boot }, { devices }, { qemu }) {
    if (!qemu.has('vfio-ap')) {
      throw unsupported('VFIO AP device assignment is not supported by this version of QEMU')
    }
    if (boot) throw unsupported(`${NO_MDEV_BOOT} vfio-ap`)
    const crypto = devices.hostdevs.filter(({ source }) => source.type === 'mdev' && source.model === 'vfio-ap')
    if (crypto.length > 1) throw unsupported('Only one hostdev of model vfio-ap is supported')
  },
  'vfio-ccw'(_dev, _def, { qemu }) {
    if (!qemu.has('vfio-ccw')) {
      throw unsupported('VFIO CCW device assignment is not supported by this version of QEMU')
    }
  }
}

/** @param bootindex that of the interface the device is told as, if it is */
export function addHostdev(to: Builder, dev: HostdevDef, bootindex = bootIndex(to, dev)): void {
  const { source } = dev
  switch (source.type) {
    case 'usb':
      to.device({ ...usbProps(to, dev, source, bootindex), ...addressProps(to, dev) })
      break
    case 'pci':
      // left to the user to plug in
      if (dev.address?.type === 'unassigned') break
      to.device({ ...pciProps(dev, source, bootindex), ...addressProps(to, dev), ...romProps(dev) })
      break
    case 'scsi':
      addScsiHostdev(to, dev, source, bootindex)
      break
    case 'scsi_host':
      addVhostScsi(to, dev, source)
      break
    case 'mdev':
      to.device({ ...mdevProps(dev, source, bootindex), ...addressProps(to, dev) })
      break
  }
}

/** QEMU's switches for what a reset by the guest does: to reset at all, and also when it costs the device's state. */
const GUEST_RESET = {
  off: { 'guest-reset': false },
  uninitialized: { 'guest-reset': true, 'guest-resets-all': false },
  on: { 'guest-reset': true, 'guest-resets-all': true }
}

/** qemuBuildUSBHostdevDevProps. */
function usbProps(
  { qemu }: Builder,
  { alias }: HostdevDef,
  { place, missing, guestReset }: HostdevSourceOf<'usb'>,
  bootindex?: number
): DeviceProps {
  if (!place && !missing) throw fail('VIR_ERR_INTERNAL_ERROR', 'USB host device is missing bus/device information')
  const pad = (value: number) => String(value).padStart(3, '0')
  const node = place && !missing ? place : undefined
  const byNode = qemu.has('usb-host.hostdevice')
  return {
    driver: 'usb-host',
    hostdevice: node && byNode ? `/dev/bus/usb/${pad(node.bus)}/${pad(node.device)}` : undefined,
    hostbus: byNode ? undefined : node?.bus,
    hostaddr: byNode ? undefined : node?.device,
    id: alias,
    bootindex,
    ...(guestReset && GUEST_RESET[guestReset])
  }
}

/** QEMU's OnOffAuto is a string, not a boolean. */
const onOffAuto = (value: boolean | undefined) => (value === undefined ? undefined : value ? 'on' : 'off')

/** qemuBuildPCIHostdevDevProps. */
function pciProps(dev: HostdevDef, source: HostdevSourceOf<'pci'>, bootindex?: number): DeviceProps {
  const { backend = 'default', display, ramfb } = dev.source
  if (backend !== 'vfio') throw fail('VIR_ERR_INTERNAL_ERROR', `invalid PCI passthrough type '${backend}'`)
  return {
    // a display from the start rules out hotplug
    driver: ramfb ? 'vfio-pci-nohotplug' : 'vfio-pci',
    host: pciAddressText(source.place),
    id: dev.alias,
    bootindex,
    failover_pair_id: dev.teaming?.persistent,
    display: onOffAuto(display),
    ramfb: ramfb || undefined
  }
}

/** qemuBuildHostdevMediatedDevProps. */
function mdevProps(dev: HostdevDef, { uuid }: HostdevSourceOf<'mdev'>, bootindex?: number): DeviceProps {
  const { model = 'vfio-pci', display, ramfb } = dev.source
  return {
    // a display from the start rules out hotplug
    driver: model === 'vfio-pci' && ramfb ? 'vfio-pci-nohotplug' : model,
    id: dev.alias,
    sysfsdev: `/sys/bus/mdev/devices/${uuid}`,
    display: onOffAuto(display),
    ramfb: ramfb || undefined,
    bootindex
  }
}
