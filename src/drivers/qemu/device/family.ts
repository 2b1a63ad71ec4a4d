// The row of a device family: all that QEMU's driver knows of it.
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { type AnyDevice, type DeviceKind, type Devices, familyOf } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { type ErrorCode, errorsFrom } from '../../../conf/error.ts'
import type { ProcessOwner } from '../../../host/owner.ts'
import type { GuestRoot } from '../../../state/root.ts'
import type { QemuContext } from '../context.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import type { Builder } from '../parts/builder.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

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
  /** changes in a definition that nothing runs from; absent: there its devices stay as they were defined */
  config?: ConfigRules<D>
  /** changes to a guest that runs; absent: there its devices stay as they are. Where that is much it is loaded on use */
  live?: LiveRules<D> | (() => Promise<LiveRules<D>>)
}

/**
 * Rules for devices of a family in a definition that nothing runs from; libvirt: its part of
 * qemuDomainAttachDeviceConfig, qemuDomainDetachDeviceConfig and qemuDomainUpdateDeviceConfig.
 */
export interface ConfigRules<D> {
  /** puts a new device into its list; absent: there can be no more. @throws where there is no place for it */
  attach?(dev: D, def: DomainDef): void
  /** the device that is meant; absent: the first that libvirt takes for the same. @throws where it could be several */
  find?(dev: D, def: DomainDef): D | undefined
  /** libvirt's error where there is none to detach; absent: they cannot be detached */
  noneToDetach?(dev: D): Error
  /** takes a device out, where that is not what `unplug` does */
  detach?(dev: D, def: DomainDef): void
  /** libvirt's error where there is none to update; absent: they cannot be updated */
  noneToUpdate?(dev: D): Error
  /** the device that an update means, where that is not the one `find` gives */
  findToUpdate?(dev: D, def: DomainDef): D | undefined
}

/**
 * Rules for devices of a guest that runs; libvirt: the family's part of qemuDomainAttachDeviceLive,
 * qemuDomainDetachDeviceLive and qemuDomainUpdateDeviceLive. What says nothing of its own is as in `config`.
 */
export interface LiveRules<D> {
  /** refuses what cannot be plugged in, and sees to what a new device needs there; absent: none can be */
  attach?(dev: D, guest: LiveGuest): void | Promise<void>
  /** changes what is there, where a new device means no more than that: a medium. @returns true when it has done so */
  attachAsChange?(dev: D, guest: LiveGuest): Promise<boolean>
  /** settles a device that has its address and alias, where that is not all that a start's `prepare` does */
  prepare?(dev: D, guest: LiveGuest): void
  /** puts a new device into its list, where that is not at its end */
  insert?(dev: D, def: DomainDef): void
  /** takes over what QEMU makes of a device that has come, and of the guest when it is gone; a failure is logged */
  refresh?(dev: D, def: DomainDef, qmp: QmpMonitor): Promise<void>
  /** libvirt's name of a new device in its event, where that is not the alias */
  addedAs?(dev: D): string
  /** the device that is meant. @throws where it could be several */
  find?(dev: D, def: DomainDef): D | undefined
  /** libvirt's error where there is none to detach */
  noneToDetach?(dev: D): Error
  /** refuses a device that must stay; absent: all stay */
  detach?(dev: D, guest: LiveGuest): void
  /**
   * makes of the device that is there what is asked for, in QEMU and in the definition, or nothing at all
   * @param there is the device in the live definition
   * @param force VIR_DOMAIN_DEVICE_MODIFY_FORCE
   */
  update?(dev: D, there: D, guest: LiveGuest, force: boolean): Promise<void>
  /** the device that an update means, where that is not the one `find` gives */
  findToUpdate?(dev: D, def: DomainDef): D | undefined
  /** libvirt's error where there is none to update */
  noneToUpdate?(dev: D): Error
}

/** A guest that runs, as the rules for its devices know it. */
export interface LiveGuest extends HostGuest {
  readonly qmp: QmpMonitor
  /** number of one more block node of the guest's */
  nextNode(): number
  /** plugs in another device, one that is needed first: a controller. It stays, whatever becomes of the first one */
  attach<K extends DeviceKind>(kind: K, dev: Devices[K][number]): Promise<void>
  /** finds the volumes of a disk and the secrets it needs: `context` has them then. @throws the drivers' errors */
  findStorage(disk: DiskDef): Promise<void>
  /** claims what a device, or another version of one, uses of the host. @throws ResourceTaken, VIR_ERR_RESOURCE_BUSY */
  claim<K extends DeviceKind>(kind: K, dev: Devices[K][number]): Promise<{ release(): Promise<void> }>
  /** lets QEMU open the images of a disk. @throws VIR_ERR_OPERATION_INVALID for one that is another's, VIR_ERR_SYSTEM_ERROR */
  admit(disk: DiskDef): Promise<void>
  /** takes them from it, but for those that the definition has */
  dismiss(disk: DiskDef): Promise<void>
  /** the parts that `build` tells of, for a QEMU that runs */
  parts(build: (to: Builder) => void): LiveParts
  /** takes away the parts of what has been there, by what `build` tells of it; what stays is logged */
  removeParts(build: (to: Builder) => void): Promise<void>
  /** keeps what a drive is changed from and to, until it is said to be done: should this process end, the next one sees */
  noteMedium(disk: DiskDef, change?: { from: DiskDef; to: DiskDef }): void
  /** @throws VIR_ERR_BLOCK_COPY_ACTIVE, VIR_ERR_OPERATION_UNSUPPORTED for a disk that QEMU has a job on */
  checkNoBlockJob(disk: DiskDef): void
  /** saves the live definition and lets the report follow */
  changed(): void
}

/** Parts of a device that runs: block nodes, objects and the like. */
export interface LiveParts {
  /** Tells QEMU of all of them or none. @throws VIR_ERR_INTERNAL_ERROR with its words */
  add(): Promise<void>
  /** Takes them back; what stays is logged. */
  remove(): Promise<void>
}

/** The host's end of the devices of a family. */
export interface HostEnd<D> {
  /**
   * Refuses what `take` refuses, as far as that can be seen before anything is made; absent: nothing can.
   * @throws as `take`
   */
  check?(dev: D, guest: HostGuest): void | Promise<void>
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

/** Puts a device at the end of its list: `attach` of many families. */
export const join =
  <K extends DeviceKind>(kind: K) =>
  (dev: Devices[K][number], { devices }: DomainDef): void => {
    const list: Devices[K][number][] = devices[kind]
    list.push(dev)
  }

/** `attach` where there may be one. @param refusal libvirt's error for another, VIR_ERR_OPERATION_INVALID */
export const joinAlone =
  <K extends DeviceKind>(kind: K, refusal: string) =>
  (dev: Devices[K][number], def: DomainDef): void => {
    if (def.devices[kind].length > 0) throw fail('VIR_ERR_OPERATION_INVALID', refusal)
    join(kind)(dev, def)
  }

/** `attach` where each is there once. @param refusal libvirt's error for a second one, VIR_ERR_OPERATION_INVALID */
export const joinOnce =
  <K extends DeviceKind>(kind: K, refusal: Words<Devices[K][number]>) =>
  (dev: Devices[K][number], def: DomainDef): void => {
    checkOnce(kind, refusal)(dev, def)
    join(kind)(dev, def)
  }

/** The check of `joinOnce`: `attach` of a running guest where each is there once. */
export const checkOnce =
  <K extends DeviceKind>(kind: K, refusal: Words<Devices[K][number]>) =>
  (dev: Devices[K][number], { devices }: Pick<DomainDef, 'devices'>): void => {
    const list = devices[kind] as AnyDevice[]
    if (!list.some(one => familyOf(kind).same?.(dev as AnyDevice, one))) return
    throw fail('VIR_ERR_OPERATION_INVALID', wordsFor(dev, refusal))
  }

/** An error's words, which may name the device. */
type Words<D> = string | ((dev: D) => string)
const wordsFor = <D>(dev: D, words: Words<D>): string => (typeof words === 'function' ? words(dev) : words)

const NOT_PRESENT = 'device not present in domain configuration'

/** libvirt's error for a device that is not in a definition. */
export const missing =
  <D>(words: Words<D> = NOT_PRESENT, code: ErrorCode = 'VIR_ERR_DEVICE_MISSING') =>
  (dev: D): Error =>
    fail(code, wordsFor(dev, words))

/** A rule of `live` that asks nothing more. */
export const freely = (): void => undefined

/** Takes a device out of its list: `unplug` of most families. */
export const leave =
  <K extends DeviceKind>(kind: K) =>
  (dev: Devices[K][number], { devices }: DomainDef): void => {
    const list: Devices[K][number][] = devices[kind]
    const at = list.indexOf(dev)
    if (at >= 0) list.splice(at, 1)
  }
