// One way to tell QEMU of a device, in two forms: arguments of its command line (command/command.ts) and commands of its
// monitor (hotplug/plug.ts).
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuContext } from '../context.ts'
import type { ChardevBackend } from './chardev.ts'
import type { Props } from './props.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export type DeviceProps = Props & { driver: string }
export type ObjectProps = Props & { 'qom-type': string; id: string }
export type BlockdevProps = Props & { driver: string; 'node-name': string }
export type NetdevProps = Props & { type: string; id: string }

/**
 * Takes the parts of devices, what is referred to before what refers to it; only devices themselves may come too early.
 * Properties have QMP's names and JSON's types; undefined ones are left out.
 */
export interface Builder {
  /** the live definition, the device in it */
  readonly def: DomainDef
  readonly context: QemuContext
  readonly qemu: Qemu
  /** key that secrets are encrypted with; QEMU reads it from a file of its own */
  readonly masterKey: Uint8Array
  object(props: ObjectProps): void
  chardev(id: string, backend: ChardevBackend): void
  netdev(props: NetdevProps): void
  blockdev(props: BlockdevProps): void
  device(props: DeviceProps): void
  /**
   * Hands QEMU an open file.
   * @returns the value of the property it is for; undefined if it cannot be opened, and for a tap device that QEMU has
   * to open by its name
   */
  fd(file: HandedFile): string | undefined
  /** options QEMU takes at its start only; absent if it runs already */
  readonly atStart?: StartOptions
}

/** An open file for QEMU. */
export interface HandedFile {
  /** tells it from the guest's other files */
  name: string
  /** device of the host; absent: a queue of a tap device */
  path?: string
  /** the property takes a path: the file is put into a set of its own, which has one */
  set?: true
  /** instead of a path: files of a client's, which go into one set */
  group?: string
}

/** A command line's options as they are. */
export interface StartOptions {
  add(...words: string[]): void
  readonly env: Record<string, string>
}

/**
 * The options, for what cannot be plugged in.
 * @param what of a device: `sd disk`
 * @throws VIR_ERR_OPERATION_UNSUPPORTED where QEMU runs already
 */
export function atStart({ atStart }: Builder, what: string): StartOptions {
  if (atStart) return atStart
  throw fail('VIR_ERR_OPERATION_UNSUPPORTED', `live attach of device '${what}' is not supported`)
}
