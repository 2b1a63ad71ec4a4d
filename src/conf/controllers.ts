// A domain's controllers as a set: finding, adding and numbering them.
import type { ControllerDef, ControllerType } from './devices/controller.ts'
import { COMPANION_START_PORTS, type ControllerModel, isUsb2 } from './devices/controller-models.ts'
import type { DomainDef } from './domain-def.ts'
import { errorsFrom } from './error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** More controllers than any guest has places for; it bounds what hostile indexes make us do. */
export const CONTROLLERS_MAX = 8192

/** libvirt's refusal of a guest that needs more PCI buses than there are numbers for. */
export function tooManyBuses(index: number): Error {
  return fail('VIR_ERR_CONFIG_UNSUPPORTED', `PCI controller index ${index} too high, maximum is ${PCI_INDEX_MAX}`)
}
export const PCI_INDEX_MAX = 255

/** The controller of a type with that index (virDomainControllerFind). */
export function findController({ devices }: DomainDef, type: ControllerType, index: number): ControllerDef | undefined {
  return devices.controllers.find(one => one.type === type && one.index === index)
}

/**
 * Puts a controller where libvirt keeps it: with those of its type by index, masters before their companions
 * (virDomainControllerInsert).
 */
export function insertController(list: ControllerDef[], dev: ControllerDef): void {
  let at: number | undefined
  for (let i = list.length - 1; i >= 0; i--) {
    const current = list[i]!
    if (current.type !== dev.type) continue
    if (dev.index === undefined) {
      at = i + 1
      break
    }
    const isCompanion = current.masterStartPort !== undefined && current.index === dev.index
    if ((current.index ?? -1) > dev.index || (dev.masterStartPort === undefined && isCompanion)) at = i
    else at ??= i + 1
  }
  list.splice(at ?? list.length, 0, dev)
}

/** Adds a controller unless there is one of that type and index; tells which it is (virDomainDefMaybeAddController). */
export function ensureController(
  def: DomainDef,
  type: ControllerType,
  index: number,
  model?: ControllerModel
): { controller: ControllerDef; added: boolean } {
  const found = findController(def, type, index)
  if (found) return { controller: found, added: false }
  const controller: ControllerDef = { type, index, ...(model !== undefined && { model }) }
  insertController(def.devices.controllers, controller)
  return { controller, added: true }
}

/** Adds a USB controller, with its companions where the model has some (virDomainDefAddUSBController). */
export function addUsbController({ devices }: DomainDef, index: number, model?: ControllerModel): void {
  const { controllers } = devices
  insertController(controllers, { type: 'usb', index, ...(model !== undefined && { model }) })
  if (model !== 'ich9-ehci1') return
  for (const companion of ['ich9-uhci1', 'ich9-uhci2', 'ich9-uhci3'] as const) {
    const controller: ControllerDef = { type: 'usb', index, model: companion }
    insertController(controllers, controller)
    // libvirt says so only now, which decides on the order
    controller.masterStartPort = COMPANION_START_PORTS[companion]!
  }
}

/**
 * Gives controllers without an index the lowest free one of their type; the parts of an ICH9 USB controller that follow
 * one another share theirs (virDomainAssignControllerIndexes).
 */
export function assignControllerIndexes({ devices: { controllers } }: DomainDef): void {
  const used = new Map<ControllerType, Set<number>>()
  for (const { type, index } of controllers) {
    if (index !== undefined) used.set(type, (used.get(type) ?? new Set()).add(index))
  }
  const unused = (type: ControllerType) => {
    let index = 0
    while (used.get(type)?.has(index)) index++
    return index
  }
  for (const [at, one] of controllers.entries()) {
    if (one.index !== undefined) continue
    one.index = usb2Index(controllers, at) ?? unused(one.type)
    used.set(one.type, (used.get(one.type) ?? new Set()).add(one.index))
  }
}

/** The index of the ICH9 USB controller right before, if that has no part of this model yet. */
function usb2Index(controllers: ControllerDef[], at: number): number | undefined {
  const one = controllers[at]!
  if (!isUsb2(one)) return undefined
  const previous = controllers.slice(0, at).findLast(({ type }) => type === 'usb')
  if (!previous || !isUsb2(previous)) return undefined
  const { index } = previous
  const taken = controllers.some(other => other.type === 'usb' && other.index === index && other.model === one.model)
  return taken ? undefined : index
}

/** Only USB controllers may share an index (virDomainDefRejectDuplicateControllers). */
export function rejectDuplicateControllers({ devices }: DomainDef): void {
  const seen = new Set<string>()
  for (const { type, index } of devices.controllers) {
    if (type === 'usb') continue
    const key = `${type} ${index}`
    if (seen.has(key)) throw fail('VIR_ERR_XML_ERROR', `Multiple '${type}' controllers with index '${index}'`)
    seen.add(key)
  }
}
