// A guest that runs, as the rules for its devices know it.
import { type Device, formatDevice } from '../../../conf/device-xml.ts'
import type { AnyDevice, DeviceKind } from '../../../conf/devices/index.ts'
import { deviceAllocations } from '../../../state/allocation.ts'
import type { QemuContext } from '../context.ts'
import type { LiveGuest } from '../device/family.ts'
import { checkNoBlockJob } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hostGuest } from '../domain/host-guest.ts'
import { admit, dismissUnused } from '../process/access.ts'
import { pathsOfDevice } from '../process/access-paths.ts'
import { claimMore } from '../process/claim.ts'
import { type FdPasser, Plug } from './plug.ts'
import { leftBy, partsToldBy } from './removal.ts'

const NO_KEY = new Uint8Array(32)

/** Plugs in a device that suits the guest. */
export type PlugIn = (domain: QemuDomain, guest: LiveGuest, kind: DeviceKind, dev: AnyDevice) => Promise<void>

/** The guest as the rules of its devices know it. */
export function liveGuest(domain: QemuDomain, plugIn: PlugIn): LiveGuest {
  const { running } = domain
  const guest: LiveGuest & { context: QemuContext } = {
    ...hostGuest(domain),
    qmp: domain.qmp,
    nextNode: () => ++running.nodeIndex,
    async attach(kind, dev) {
      await plugIn(domain, guest, kind, dev as AnyDevice)
    },
    async findStorage(disk) {
      guest.context = await (await import('../process/storage-driver.ts')).withDiskStorage(disk, guest.context)
    },
    claim: (kind, dev) => claimMore(domain, deviceAllocations(kind, dev, domain.def)),
    admit: disk => admit(domain, pathsOfDevice('disks', disk)),
    dismiss: disk => dismissUnused(domain, pathsOfDevice('disks', disk)),
    parts(build) {
      const plug = newPlug(domain, guest.context)
      build(plug)
      const warn = leftBy(domain)
      return { add: () => plug.execute(domain.qmp, warn), remove: () => plug.removeParts(domain.qmp, warn) }
    },
    async removeParts(build) {
      await partsToldBy(domain, build).removeParts(domain.qmp, leftBy(domain))
    },
    noteMedium({ alias = '' }, change) {
      if (change) running.media.set(alias, { from: statusXml('disks', change.from), to: statusXml('disks', change.to) })
      else running.media.delete(alias)
      domain.changed()
    },
    checkNoBlockJob: disk => checkNoBlockJob(domain, disk),
    changed: () => domain.changed()
  }
  return guest
}

/** A device as the status file has it. */
export const statusXml = (...device: Device): string =>
  formatDevice(device, { inactive: false, secure: true, status: true })

/** Commands for a device, in the surroundings that were found for it. @param passFd hands over the files it asks for */
export const newPlug = ({ def, running }: QemuDomain, context: QemuContext, passFd?: FdPasser) =>
  new Plug({ def, context, masterKey: running.masterKey ?? NO_KEY, ended: running.ended }, { passFd })
