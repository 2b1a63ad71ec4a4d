// The definitions of a guest: the one in force and the persistent one (virDomainObj's def and newDef).
import type { DomainDef } from '../../../conf/domain-def.ts'
import { formatDomain } from '../../../conf/domain-xml.ts'
import { removeSynced, writeAtomic } from '../../../state/store.ts'
import type { QemuContext } from '../context.ts'

/** The definitions a change is made to. */
export interface Affected {
  live?: DomainDef | boolean
  config?: DomainDef | boolean
}

/**
 * Live and persistent definition, each with the surroundings QEMU finds. Invariant: the persistent one is the file's;
 * both are one object while the guest is shut off.
 */
export class Definitions {
  /** the live definition while the guest is active, else the one to start from */
  def: DomainDef
  /** surroundings of `def` */
  context: QemuContext
  /** it is persistent, or was in this run */
  hasBeenDefined = false
  #newDef: DomainDef | undefined
  #newContext: QemuContext | undefined
  readonly #file: () => string

  /** @param file where the persistent definition lies; it moves with the guest's name */
  constructor(def: DomainDef, context: QemuContext, file: () => string) {
    this.def = def
    this.context = context
    this.#file = file
  }

  /** The persistent definition, if there is one; the same object as `def` while the guest is shut off. */
  get newDef(): DomainDef | undefined {
    return this.#newDef
  }

  /** Surroundings of `newDef` where they are others than those of `def`: it may name another emulator. */
  get newContext(): QemuContext | undefined {
    return this.#newContext
  }

  /** Takes for persistent what the file has. */
  adopt(def: DomainDef, context?: QemuContext): void {
    this.#newDef = def
    this.#newContext = context
    this.hasBeenDefined = true
  }

  /**
   * Makes the definition persistent, or with undefined the guest transient. It is on disk before it counts.
   * @throws VIR_ERR_SYSTEM_ERROR; the former one is kept then
   */
  setPersistent(def: DomainDef | undefined, context?: QemuContext): void {
    if (def) {
      writeAtomic(this.#file(), formatDomain(def, { inactive: true, secure: true }))
      this.adopt(def, context)
      return
    }
    removeSynced(this.#file())
    this.#newDef = undefined
    this.#newContext = undefined
  }

  /** Has the next run begin from another definition than the persistent one. */
  startFrom(def: DomainDef, context: QemuContext): void {
    this.#newContext = this.context
    this.def = def
    this.context = context
  }

  /** Keeps the persistent definition apart from the one a start is going to fill (virDomainObjSetDefTransient). */
  separate(): void {
    if (this.#newDef === this.def) this.#newDef = structuredClone(this.def)
  }

  /** The run is over: the persistent definition is the one in force again (virDomainObjRemoveTransientDef). */
  join(): void {
    if (!this.#newDef) return
    this.def = this.#newDef
    this.context = this.#newContext ?? this.context
    this.#newContext = undefined
  }

  /**
   * Changes definitions all or none: each on a copy, saved before it is put in place.
   * @param edit gives a changed copy; what it leaves as it is may be shared with the original
   * @param saveLive saves the live definition that is `def` by then
   * @throws VIR_ERR_SYSTEM_ERROR, and what `edit` throws; every definition is then what it was
   */
  change({ live, config }: Affected, edit: (def: DomainDef) => DomainDef, saveLive: () => void): void {
    const { def, newDef } = this
    const changed = live ? edit(def) : def
    const isOne = newDef === def
    const kept = config && newDef ? (live && isOne ? changed : edit(newDef)) : newDef
    if (kept && kept !== newDef) this.setPersistent(kept, this.#newContext)
    this.def = isOne && kept ? kept : changed
    try {
      saveLive()
    } catch (error) {
      this.def = def
      if (newDef && kept !== newDef) this.setPersistent(newDef, this.#newContext)
      throw error
    }
  }
}
