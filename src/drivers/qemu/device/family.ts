// The row of a device family: all that QEMU's driver knows of it.
import type { DeviceKind, Devices } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { ProcessOwner } from '../../../host/owner.ts'
import type { GuestRoot } from '../../../state/root.ts'
import type { QemuContext } from '../context.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import type { Builder } from '../parts/builder.ts'

/** The QEMU side of one device family. */
export interface QemuFamily<D> {
  /**
   * defaults; libvirt: the family's part of qemuDomainDeviceDefPostParse
   * @param live the definition is that of a running guest, whose run-time values are kept
   */
  postParse?(dev: D, def: DomainDef, context: QemuContext, live: boolean): void
  /** checks; libvirt: the family's part of qemuValidateDomainDeviceDef */
  validate?(dev: D, def: DomainDef, context: QemuContext): void
  /**
   * settles a device at a start, before QEMU is told: addresses of servers, sockets, names of block nodes; libvirt:
   * the family's part of qemuProcessPrepareDomain and qemuProcessPrepareHost
   * @param nextNode gives the number of one more block node of the guest's
   */
  prepare?(dev: D, def: DomainDef, context: QemuContext, nextNode: () => number): void
  /**
   * tells QEMU of the device, its parts before it; libvirt: the family's part of qemuBuildCommandLine
   * @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED for what a running QEMU does not take
   */
  add?(to: Builder, dev: D): void
  /**
   * tells a QEMU that has the device what its parts cannot say, and what has changed since: link, limits, passwords;
   * libvirt: the family's part of qemuProcessLaunch and of qemuDomainUpdateDeviceLive
   * @param before the device as QEMU knows it; absent: as `add` told it
   */
  update?(dev: D, qmp: QmpMonitor, before?: D): Promise<void>
  /** a device's end on the host, beside its properties: a tap device, a program that serves it, a directory */
  host?: HostEnd<D>
  /**
   * takes a device that a running guest has given up out of its definition, with what was there for it alone; absent:
   * such devices stay as long as QEMU runs. libvirt: the last part of qemuDomainRemoveDevice
   */
  unplug?(dev: D, def: DomainDef): void
}

/** The host's end of the devices of a family. */
export interface HostEnd<D> {
  /** Makes it, before QEMU is told; the device then says what it is called. A failure leaves the rest to `give`. */
  take(dev: D, guest: HostGuest): void | Promise<void>
  /**
   * Undoes it, once QEMU has let go of the device, which is still in the definition. Also what was cut short or made by
   * a process before this one; nothing to undo is no failure.
   */
  give(dev: D, guest: HostGuest): void | Promise<void>
}

/** A guest, as the host's end of its devices knows it. */
export interface HostGuest {
  readonly def: DomainDef
  readonly context: QemuContext
  readonly root: GuestRoot
  /** the user and groups QEMU runs as */
  readonly owner: ProcessOwner
  readonly log: { warn(values: object, message: string): void }
}

/** Takes a device out of its list: `unplug` of most families. */
export const leave =
  <K extends DeviceKind>(kind: K) =>
  (dev: Devices[K][number], { devices }: DomainDef): void => {
    const list: Devices[K][number][] = devices[kind]
    const at = list.indexOf(dev)
    if (at >= 0) list.splice(at, 1)
  }
