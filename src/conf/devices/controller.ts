// <controller>: PCI, USB, SCSI, SATA, IDE, virtio-serial and other buses.

import { parseKiB } from '../domain/memory.ts'
import { attr, childAlways, childAttr, childText, custom, type Def, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, hex, onOff, string, uint, uintAnyBase } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const type = enumOf('ide', 'fdc', 'scsi', 'sata', 'virtio-serial', 'ccid', 'usb', 'pci', 'xenbus', 'isa')

export const controllerFields = {
  type: custom<(typeof type.values)[number]>({
    ...required(attr('type', type)),
    parse: (node, context) => attr('type', type).parse(node, context) ?? 'ide'
  }),
  /** absent until the controllers are numbered */
  index: attr('index', uint),
  model: attr('model', string),
  ports: attr('ports', uint),
  vectors: attr('vectors', uint),
  maxGrantFrames: attr('maxGrantFrames', uint),
  maxEventChannels: attr('maxEventChannels', uint),
  pciModelName: childAttr('model', 'name', string),
  target: childAlways('target', {
    chassisNr: attr('chassisNr', uint),
    chassis: attr('chassis', uint),
    port: attr('port', hex()),
    busNr: attr('busNr', uintAnyBase),
    index: attr('index', uint),
    hotplug: attr('hotplug', onOff),
    node: childText('node', uint)
  }),
  driver: childAlways('driver', {
    queues: attr('queues', uint),
    cmdPerLun: attr('cmd_per_lun', uint),
    maxSectors: attr('max_sectors', uint),
    ioeventfd: attr('ioeventfd', onOff),
    iothread: attr('iothread', uint),
    ...virtioDriver
  }),
  ...deviceInfo,
  pcihole64KiB: custom<number | undefined>({
    names: [['pcihole64', { unit: attr('unit', string) }]],
    parse(node) {
      const found = firstChild(node, 'pcihole64')
      return found && parseKiB(found)
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element('pcihole64', { unit: 'KiB' }, [String(value)]))
    }
  })
} satisfies Fields
export type ControllerDef = Def<typeof controllerFields>
export type ControllerType = ControllerDef['type']

export const controller = deviceFamily({
  element: 'controller',
  fields: controllerFields,
  validate(dev) {
    if (dev.type === 'pci' && dev.model === undefined) throw fail('VIR_ERR_XML_ERROR', 'PCI controller has no model')
  }
})
