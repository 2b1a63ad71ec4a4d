// Open files QEMU inherits from its parent, and the numbers it knows them by.
import { accessSync, closeSync, constants, openSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { MadeFile, NumberedFile } from './made-files.ts'

/** Files of a client's that images are in by a name (virDomainFDAssociate). */
export interface FileGroup {
  /** where each waits to be received, and by what it is put back for the next time */
  files: readonly { from: Socket; back: Socket }[]
  /** they may be written to */
  writable: boolean
}

/** Source of the command line's numbers for inherited files. */
export interface InheritedFiles {
  /** Opens a host device for QEMU. Gives its number there, undefined if it cannot be opened. */
  open(path: string): number | undefined
  /**
   * One queue of a tap device. Undefined where QEMU has to open the device by its name.
   * @param name of the queue, tapfdN-ALIAS
   */
  tap(name: string): number | undefined
  /** Has a queue made for QEMU where it may not open the device itself. Absent where no QEMU is started. */
  makeTap?(name: string, file: MadeFile): void
  /** the files that a client has given that name; absent where no client can have given any */
  group?(name: string): FileGroup | undefined
  /** Numbers of the files of a group. */
  openGroup?(group: FileGroup): number[]
}

/** A QEMU that runs has its files already. */
export const NO_FILES: InheritedFiles = { open: () => undefined, tap: () => undefined }

/** True for a host device that can be opened to read and write. */
export function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** stdin, stdout and stderr */
const FIRST_FREE = 3

/** The files of a guest that is started: opened here, numbered from 3 in the order they were asked for. */
export class OpenedFiles implements InheritedFiles {
  readonly #descriptors: (number | Socket | 'ignore')[] = []
  readonly #taps = new Map<string, MadeFile>()
  readonly #made: NumberedFile[] = []
  readonly group: (name: string) => FileGroup | undefined

  /** @param groups those that clients have given */
  constructor(groups?: ReadonlyMap<string, FileGroup>) {
    this.group = name => groups?.get(name)
  }

  open(path: string): number | undefined {
    try {
      return this.#add(openSync(path, 'r+'))
    } catch {
      return undefined
    }
  }

  /** Has QEMU inherit a descriptor of ours, which is closed with the others. */
  add(descriptor: number): number {
    return this.#add(descriptor)
  }

  makeTap(name: string, file: MadeFile): void {
    this.#taps.set(name, file)
  }

  tap(name: string): number | undefined {
    const file = this.#taps.get(name)
    if (!file) return undefined
    const number = this.#add('from' in file ? file.from : 'ignore')
    this.#made.push({ number, file })
    return number
  }

  openGroup({ files }: FileGroup): number[] {
    return files.map(file => {
      const number = this.#add(file.from)
      this.#made.push({ number, file, back: this.#add(file.back) })
      return number
    })
  }

  #add(descriptor: number | Socket | 'ignore'): number {
    return FIRST_FREE + this.#descriptors.push(descriptor) - 1
  }

  /** The files for the child's stdio; 'ignore' has the place of one that is made. */
  get descriptors(): readonly (number | Socket | 'ignore')[] {
    return this.#descriptors
  }

  /** Files that are to be made before QEMU is executed. */
  get made(): readonly NumberedFile[] {
    return this.#made
  }

  /** Ends our hold on the files: QEMU has them, or is not started. */
  close(): void {
    for (const descriptor of this.#descriptors.splice(0)) if (typeof descriptor === 'number') closeSync(descriptor)
    for (const file of this.#taps.values()) if ('from' in file) file.from.destroy()
  }
}

/**
 * The numbers a command line shows that nothing is started from. libvirtd shows the first it has free when it is
 * asked, which is an accident of the daemon's life: 22 to 26 were seen, 25 of Debian 13's.
 */
export class ShownFiles implements InheritedFiles {
  #next = 25

  open(path: string): number | undefined {
    return isUsable(path) ? this.tap() : undefined
  }

  tap(): number {
    return this.#next++
  }
}
