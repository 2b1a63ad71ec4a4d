// Open files QEMU inherits from its parent, and the numbers it knows them by.
import { accessSync, closeSync, constants, openSync } from 'node:fs'

/** Source of the command line's numbers for inherited files. */
export interface InheritedFiles {
  /** Opens a host device for QEMU. Gives its number there, undefined if it cannot be opened. */
  open(path: string): number | undefined
  /**
   * One queue of a tap device. Undefined where QEMU has to open the device by its name: making a descriptor for a tap
   * takes an ioctl, which Node has not.
   */
  tap(): number | undefined
}

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
  #descriptors: number[] = []

  open(path: string): number | undefined {
    try {
      return FIRST_FREE + this.#descriptors.push(openSync(path, 'r+')) - 1
    } catch {
      return undefined
    }
  }

  tap(): undefined {}

  /** Our descriptors of the files, for the child's stdio. */
  get descriptors(): readonly number[] {
    return this.#descriptors
  }

  /** Ends our hold on the files: QEMU has them, or is not started. */
  close(): void {
    for (const descriptor of this.#descriptors.splice(0)) closeSync(descriptor)
  }
}

/**
 * The numbers a command line shows that nothing is started from. They are those libvirtd 9.0 has free when it is asked
 * for one: its event loop and drivers hold everything below 24, and 26 to 28.
 */
export class ShownFiles implements InheritedFiles {
  #next = 24

  open(path: string): number | undefined {
    return isUsable(path) ? this.tap() : undefined
  }

  tap(): number {
    const number = this.#next
    this.#next = number === 25 ? 29 : number + 1
    return number
  }
}
