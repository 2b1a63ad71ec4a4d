// The guests of a connection, for connection-level APIs. A shim has one; the aggregator has all.
import type { PciAddress } from '../conf/devices/device-address.ts'
import type { DomainDef } from '../conf/domain-def.ts'
import { int, optional, struct, text, typedParams, type Wire, type WireValue } from '../conf/wire.ts'
import type { MigrationFinished, MigrationPhase, MigrationPrepared, MigrationTunnel } from './migration.ts'
import type { Qemu } from './qemu/capabilities/qemu.ts'
import type { QemuConfig, QemuContext } from './qemu/context.ts'

/** A guest as clients name it: libvirt's domain handle. */
export interface GuestHandle {
  name: string
  uuid: string
  /** -1 when it is shut off */
  id: number
}

/** The handle alone of what is known of a guest. */
export const handleOf = ({ name, uuid, id }: GuestHandle): GuestHandle => ({ name, uuid, id })

/** A guest as listings see it. */
export interface GuestEntry extends GuestHandle {
  /** virDomainState */
  state: number
  persistent: boolean
  autostart: boolean
  managedSave: boolean
  snapshots: boolean
  checkpoints: boolean
}

/** A restore as a client asks for it. */
export interface RestoreOptions {
  /** the image */
  path: string
  /** virDomainSaveRestoreFlags */
  flags?: number
  /** the definition the guest is to have, instead of the image's */
  xml?: string | undefined
  /** connections to read memory through at once */
  channels?: number | undefined
}

/** A connection without a guest (virConnect): what connection-level rows are run on. */
export interface Connect {
  /** libvirt's URI of this connection */
  uri: string
  guests(): GuestEntry[]
  /** bulk statistics of some of its guests */
  stats(of: GuestEntry[], wanted: number, flags?: number): Promise<WireValue<typeof statsRecord>[]>
  /** makes a guest known or changes its persistent definition; flags are virDomainDefineFlags */
  define(xml: string, flags: number): Promise<GuestHandle>
  /** starts a guest from XML; flags are virDomainCreateFlags, `connection` aborts when the client's closes */
  create(xml: string, flags: number, connection?: AbortSignal): Promise<GuestHandle>
  /** starts a guest from its saved memory; `api` is the call it is done for */
  restore(options: RestoreOptions, api: string): Promise<GuestHandle>
  /** has a guest waited for; it ends with the client's connection until it has come */
  prepareMigration(phase: MigrationPhase, api: string, connection?: AbortSignal): Promise<MigrationPrepared>
  /** The same for a guest that comes by its caller's connection; absent: its daemon is to be asked. */
  prepareTunnel?(phase: MigrationPhase, api: string, connection?: AbortSignal): Promise<MigrationTunnel>
  /** lets a guest run that has come, or gives it up */
  finishMigration(phase: MigrationPhase & { cancelled: boolean }, api: string): Promise<MigrationFinished>
  /** the surroundings a guest of that definition would have */
  contextFor(def: DomainDef): Promise<QemuContext>
  /** the QEMU new guests get, its capabilities probed */
  qemu(): Promise<Qemu>
  /** directory in which capabilities of QEMU binaries are remembered */
  cacheDir: string
  config: QemuConfig
  privileged: boolean
  /** libvirt's name of the host's architecture */
  hostArch: string
  /** name of the running guest that has a PCI device of the host */
  holderOf(device: PciAddress): string | undefined
}

/** A domain handle as an argument or result. */
export const domainHandle: Wire<GuestHandle> = struct({ name: text(), uuid: text(), id: int() })

/** A snapshot or checkpoint handle as a result. */
export const momentHandle = struct({ name: text(), dom: domainHandle })

/** The same as an argument: the call says which guest's it is. */
export const momentArgument = struct({ name: text(), dom: optional(domainHandle) })

export const statsRecord = struct({ dom: domainHandle, params: typedParams })
