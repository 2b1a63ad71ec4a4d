// Snapshots and checkpoints of a guest on disk, in libvirt's own files: one a moment, named after it.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { libraryDomain } from '../conf/api-list.ts'
import { errorsFrom } from '../conf/error.ts'
import type { GuestRoot } from './root.ts'
import { readIfThere } from './store.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const SUFFIX = '.xml'

/** The moments of one kind that a guest has. Their files are read when one is first asked for, and then kept. */
export class MomentTree {
  readonly #directory: () => string
  #texts: Map<string, string> | undefined

  constructor(directory: () => string) {
    this.#directory = directory
  }

  get directory(): string {
    return this.#directory()
  }

  /** The number of moments; told without reading any. */
  get count(): number {
    return this.#texts?.size ?? this.#files().length
  }

  /** The XML of each, by name. */
  get texts(): ReadonlyMap<string, string> {
    this.#texts ??= new Map(
      this.#files().flatMap(file => {
        const text = readIfThere(join(this.directory, file))
        return text === undefined ? [] : [[basename(file, SUFFIX), text] as const]
      })
    )
    return this.#texts
  }

  /**
   * Lets calls pass that are right as long as there are none.
   * @throws VIR_ERR_NO_SUPPORT where some lie there: they cannot be listed or looked up yet
   */
  checkNone(api: string): void {
    if (this.count > 0) throw errorsFrom(libraryDomain(api))('VIR_ERR_NO_SUPPORT', api)
  }

  /** Removes all. @throws VIR_ERR_SYSTEM_ERROR */
  remove(): void {
    try {
      rmSync(this.directory, { force: true, recursive: true })
    } catch (error) {
      throw fail('VIR_ERR_SYSTEM_ERROR', `cannot remove '${this.directory}': ${(error as Error).message}`, error)
    }
    this.#texts = undefined
  }

  #files(): string[] {
    // most guests have none, which is told without making an error
    if (!existsSync(this.directory)) return []
    try {
      return readdirSync(this.directory)
        .filter(name => name.endsWith(SUFFIX) && !name.startsWith('.'))
        .sort()
    } catch {
      return []
    }
  }
}

/** Both kinds. */
export class Moments {
  readonly snapshots: MomentTree
  readonly checkpoints: MomentTree

  /** @param root of the guest at that time: it moves with the guest's name */
  constructor(root: () => GuestRoot) {
    this.snapshots = new MomentTree(() => root().snapshotDir)
    this.checkpoints = new MomentTree(() => root().checkpointDir)
  }
}
