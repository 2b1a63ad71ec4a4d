// <interface>: QEMU's defaults and the arguments: a -netdev for the host's end, a -device for the guest's.
import {
  type AddressOf,
  ccwText,
  pciAddressOf,
  pciAddressText,
  sameAddress
} from '../../../../conf/devices/device-address.ts'
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { isVirtioModel } from '../../../../conf/devices/interface-driver.ts'
import { networkHostdev } from '../../../../conf/devices/interface-hostdev.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { QemuContext } from '../../context.ts'
import { isArmVirt, isRiscvVirt, isS390 } from '../../machine-type.ts'
import { addressProps, virtioProps } from '../../parts/address.ts'
import { bootIndex } from '../../parts/boot-index.ts'
import { atStart, type Builder, type DeviceProps } from '../../parts/builder.ts'
import { romProps } from '../../parts/rom.ts'
import { join, leave, type QemuFamily } from '../family.ts'
import { addHostdev, qemuHostdev } from '../hostdev/hostdev.ts'
import { addNetdev, isOnBoard } from './netdev.ts'
import { networkPort } from './network-port.ts'
import { passt } from './passt.ts'
import { networkDevice } from './tap.ts'
import { networkBackends, validateActualInterface, validateQemuInterface } from './validate.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failConf = errorsFrom('VIR_FROM_DOMAIN')

export const qemuInterface: QemuFamily<InterfaceDef> = {
  postParse(dev, def, context) {
    if (dev.type !== 'hostdev') {
      dev.model ??= dev.type === 'vdpa' || dev.type === 'vhostuser' ? 'virtio' : defaultModel(def, context)
    }
    const backends = networkBackends(context.qemu)
    if (dev.type === 'user' && !backends.includes('default') && backends.includes('passt')) servedByPasst(dev)
  },
  validate(dev, def, context) {
    validateQemuInterface(dev, def, context)
    const onHost = networkHostdev(dev)
    if (onHost) qemuHostdev.validate?.(onHost, def, context)
  },
  prepare(dev, def, context, nextNode) {
    const onHost = networkHostdev(dev)
    if (onHost) qemuHostdev.prepare?.(onHost, def, context, nextNode)
  },
  add: addInterface,
  host: {
    async check(dev, guest) {
      await networkPort.check(dev, guest)
      networkDevice.check(dev, guest)
      passt.check(dev)
    },
    async take(dev, guest) {
      await networkPort.take(dev, guest)
      await networkDevice.take(dev, guest)
      await passt.take(dev, guest)
    },
    async give(dev, guest) {
      await passt.give(dev, guest)
      await networkDevice.give(dev, guest)
      await networkPort.give(dev, guest)
    }
  },
  // cards are there with their cable in (qemuProcessSetLinkStates)
  async update({ link = 'up', alias: name }, qmp, before) {
    if (link !== (before?.link ?? 'up')) await qmp.execute('set_link', { name, up: link === 'up' })
  },
  unplug: leave('interfaces'),
  config: { attach: join('interfaces'), find: findInterface, noneToDetach: noCard, noneToUpdate: noCard },
  live: async () => (await import('./live.ts')).liveInterface
}

/**
 * The card with the address, place and alias that are named (virDomainNetFindIdx).
 * @throws VIR_ERR_OPERATION_FAILED where several have them
 */
function findInterface(dev: InterfaceDef, { devices }: DomainDef): InterfaceDef | undefined {
  const place = placeOf(dev)
  const [found, another] = devices.interfaces.filter(
    ({ mac, address, alias }) =>
      (dev.macGenerated || mac === dev.mac) &&
      (place === undefined || sameAddress(place, address)) &&
      (dev.alias === undefined || alias === undefined || alias === dev.alias)
  )
  if (!another) return found
  throw failConf(
    'VIR_ERR_OPERATION_FAILED',
    dev.macGenerated ? 'multiple matching devices found' : `multiple devices matching MAC address ${dev.mac} found`
  )
}

/** The place that tells a card from others: on a bus where each has its own. */
function placeOf({ address }: InterfaceDef): AddressOf<'pci'> | AddressOf<'ccw'> | undefined {
  if (address?.type === 'ccw') return address.devno === undefined ? undefined : address
  return pciAddressOf({ address })
}

function noCard(dev: InterfaceDef): Error {
  const place = placeOf(dev)
  const at = place && (place.type === 'ccw' ? ccwText(place) : pciAddressText(place))
  const mac = dev.macGenerated ? undefined : dev.mac
  const shown = (text: string | undefined) => `'${text ?? '(<null>)'}'`
  return failConf(
    'VIR_ERR_DEVICE_MISSING',
    `no device found at address ${shown(at)} matching MAC address ${shown(mac)} and alias ${shown(dev.alias)}`
  )
}

/** Chooses passt, where QEMU has no network stack of its own. */
function servedByPasst(dev: InterfaceDef): void {
  dev.backend = { ...dev.backend, type: 'passt' }
  dev.source.passt ??= {}
}

/** The card of a user who names none (qemuDomainDefaultNetModel). */
function defaultModel(def: DomainDef, { qemu }: QemuContext): string {
  if (isS390(def)) return 'virtio'
  if (/^(armv6l|armv7l|aarch64)$/.test(def.os.arch ?? '')) {
    if (def.os.machine === 'versatilepb') return 'scm91c111'
    return isArmVirt(def) ? 'virtio' : 'lan9118'
  }
  if (isRiscvVirt(def)) return 'virtio'
  if (qemu.has('rtl8139')) return 'rtl8139'
  if (qemu.has('e1000')) return 'e1000'
  return qemu.has('virtio-net') ? 'virtio' : 'rtl8139'
}

/** A card of the host's own is the host device it is told as. */
function addInterface(to: Builder, dev: InterfaceDef): void {
  validateActualInterface(dev)
  const onHost = networkHostdev(dev)
  if (onHost) addHostdev(to, onHost, bootIndex(to, dev))
  if (dev.type === 'hostdev') return
  addNetdev(to, dev)
  if (!isOnBoard(to.def, dev)) to.device(nicProps(to, dev))
  else if (dev.type !== 'vhostuser') atStart(to, 'interface').add('-net', legacyNic(dev))
  else throw fail('VIR_ERR_INTERNAL_ERROR', 'Nicdev support unavailable')
}

/** qemuBuildLegacyNicStr */
function legacyNic({ mac, alias, model }: InterfaceDef): string {
  return `nic,macaddr=${mac},netdev=host${alias}${model === undefined ? '' : `,model=${model}`},id=${alias}`
}

const TX = { iothread: 'bh', timer: 'timer' } as const

/** Properties that only virtio cards have. */
function virtioNicProps(dev: InterfaceDef): DeviceProps {
  const { driver = {}, address } = dev
  const { host, guest, queues } = driver
  const isMultiqueue = queues !== undefined
  return {
    ...virtioProps('virtio-net', dev.model, address, driver),
    tx: driver.txmode && TX[driver.txmode],
    ioeventfd: driver.ioeventfd,
    event_idx: driver.eventIdx,
    csum: host?.csum,
    gso: host?.gso,
    host_tso4: host?.tso4,
    host_tso6: host?.tso6,
    host_ecn: host?.ecn,
    host_ufo: host?.ufo,
    mrg_rxbuf: host?.mrgRxbuf,
    guest_csum: guest?.csum,
    guest_tso4: guest?.tso4,
    guest_tso6: guest?.tso6,
    guest_ecn: guest?.ecn,
    guest_ufo: guest?.ufo,
    mq: isMultiqueue ? true : undefined,
    // each queue sends and receives; two more for control and configuration, which ccw has of its own
    vectors: isMultiqueue && address?.type !== 'ccw' ? 2 * queues + 2 : undefined,
    rx_queue_size: driver.rxQueueSize,
    tx_queue_size: driver.txQueueSize,
    rss: driver.rss,
    hash: driver.rssHashReport,
    host_mtu: dev.mtu,
    failover: dev.teaming?.type === 'persistent' ? true : undefined
  }
}

/** The guest's card (qemuBuildNicDevProps). */
function nicProps(to: Builder, dev: InterfaceDef): DeviceProps {
  if (dev.model === undefined) {
    throw fail('VIR_ERR_INTERNAL_ERROR', "argument key 'driver' must not have null value")
  }
  return {
    ...(isVirtioModel(dev.model) ? virtioNicProps(dev) : { driver: dev.model }),
    netdev: `host${dev.alias}`,
    id: dev.alias,
    mac: dev.mac,
    bootindex: bootIndex(to, dev),
    ...addressProps(to, dev),
    ...romProps(dev)
  }
}
