// Open files for a QEMU that runs: each goes over the monitor's socket with the command that takes it.
import type { FileGroup, InheritedFiles } from '../../../host/inherited-files.ts'
import type { MadeFile } from '../../../host/made-files.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { FdPasser } from './plug.ts'

/**
 * The files of devices that are plugged in, as a start's OpenedFiles are: made or opened when QEMU is handed them, and
 * closed here then. Stands in the context of the devices' host ends, which have taps made, and in the Plug.
 */
export class PassedFiles implements FdPasser, InheritedFiles {
  readonly #domain: QemuDomain
  readonly #taps = new Map<string, MadeFile>()

  constructor(domain: QemuDomain) {
    this.#domain = domain
  }

  /** @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_SYSTEM_ERROR when it cannot be passed, and what execute throws */
  async pass(file: string | MadeFile, command: 'getfd' | 'add-fd', args: object): Promise<unknown> {
    const { passableFile } = await import('../../../host/pass-file.ts')
    return this.#domain.qmp.execute(command, args, { file: passableFile(file) })
  }

  /** Saved before QEMU has the set: one more descriptor in a set of a killed shim's would not be told from the first. */
  nextSet(): number {
    const number = this.#domain.running.fdsetIndex++
    this.#domain.save()
    return number
  }

  makeTap(name: string, file: MadeFile): void {
    this.#taps.set(name, file)
  }

  made(name: string): MadeFile | undefined {
    return this.#taps.get(name)
  }

  group(name: string): FileGroup | undefined {
    return this.#domain.fileGroups.get(name)
  }

  /** The numbers of a command line are of no use to a QEMU that runs. */
  open(): undefined {}
  tap(): undefined {}

  /** Closes what QEMU was not handed. */
  close(): void {
    for (const file of this.#taps.values()) if ('from' in file) file.from.destroy()
    this.#taps.clear()
  }
}
