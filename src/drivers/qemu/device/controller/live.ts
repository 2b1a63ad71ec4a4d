// Controllers of a guest that runs (qemuDomainAttachControllerDevice, qemuDomainDetachPrepController).
import { findController, insertController } from '../../../../conf/controllers.ts'
import type { ControllerDef, ControllerType } from '../../../../conf/devices/controller.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { driveOf } from '../../../../conf/drive-address.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { type LiveGuest, type LiveRules, missing } from '../family.ts'
import { postParseController } from './postparse.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const stays = (type: ControllerType, verb: string) =>
  fail('VIR_ERR_OPERATION_UNSUPPORTED', `'${type}' controller cannot be hot ${verb}.`)

export const liveController: LiveRules<ControllerDef> = {
  attach(dev, { def }) {
    if (dev.type !== 'scsi' && dev.type !== 'virtio-serial') throw stays(dev.type, 'plugged')
    dev.index ??= unusedIndex(def, dev.type)
    if (findController(def, dev.type, dev.index)) {
      throw fail('VIR_ERR_OPERATION_FAILED', `target ${dev.type}:${dev.index} already exists`)
    }
  },
  insert: (dev, def) => insertController(def.devices.controllers, dev),
  find({ type, index = -1 }, def) {
    if (type !== 'scsi') throw stays(type, 'unplugged')
    return findController(def, type, index)
  },
  noneToDetach: missing(({ type, index = -1 }) => `controller ${type}:${index} not found`),
  detach(dev, { def }) {
    if (isBusy(dev, def)) throw fail('VIR_ERR_OPERATION_FAILED', 'device cannot be detached: device is busy')
  }
}

/** virDomainControllerFindUnusedIndex */
function unusedIndex(def: DomainDef, type: ControllerType): number {
  let index = 0
  while (findController(def, type, index)) index++
  return index
}

/** Some disk or host device is on that SCSI controller (qemuDomainDiskControllerIsBusy). */
function isBusy({ index }: ControllerDef, { devices }: DomainDef): boolean {
  const disks = devices.disks.filter(({ target }) => target?.bus === 'scsi')
  const units = devices.hostdevs.filter(({ source }) => source.type === 'scsi')
  return [...disks, ...units].some(dev => driveOf(dev)?.controller === index)
}

/**
 * Plugs in the SCSI controllers up to that index that are not there, of the last one's model
 * (qemuDomainFindOrCreateSCSIDiskController).
 */
export async function ensureScsiController(last: number, guest: LiveGuest): Promise<void> {
  const { def, context } = guest
  for (let index = 0; index <= last; index++) {
    const there = def.devices.controllers.filter(({ type }) => type === 'scsi')
    if (there.some(one => one.index === index)) continue
    const model = there.at(-1)?.model
    const controller: ControllerDef = { type: 'scsi', index, ...(model !== undefined && { model }) }
    postParseController(controller, def, context)
    await guest.attach('controllers', controller)
  }
}
