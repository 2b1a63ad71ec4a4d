// Snapshots and checkpoints of a guest on disk, in libvirt's own files: one a moment, named after it
// (virDomainMomentObjList). Each knows its parent; one of them may be the current one.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { errorsFrom } from '../conf/error.ts'
import type { CheckpointDef } from '../conf/moment/checkpoint.ts'
import type { SnapshotDef } from '../conf/moment/snapshot.ts'
import type { GuestRoot } from './root.ts'
import { readIfThere, removeSynced, writeAtomic } from './store.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

const SUFFIX = '.xml'

/** The part of a moment the tree is made of. */
export interface Moment {
  name: string
  /** the moment it came after */
  parentName?: string
}

/** The files of one kind of moments. */
export interface MomentForm<D> {
  /** @throws VirError for a text that is none; its file is left out, as by libvirt */
  parse(text: string): { def: D; current?: boolean }
  format(def: D, current: boolean): string
  /** files do not say which is the current one: it is the only leaf (virDomainMomentFindLeaf) */
  currentIsLeaf?: true
  /** tells of a file that is none */
  refused?(file: string, error: unknown): void
}

/** The moments to list: all groups must let one pass. */
export interface MomentFilter<D> {
  /** those below it; absent: from the top */
  from?: D
  /** children's children too */
  deep: boolean
  /** parents before their children; else by name */
  topological?: boolean
  leaves?: boolean
  noLeaves?: boolean
  passes?(def: D): boolean
}

/** A change of several moments. */
export interface MomentChange<D> {
  /** new ones, and those that take the place of the one of their name */
  put?: readonly D[]
  forget?: readonly D[]
  /** the current one from now on, null: none; absent: it stays, as long as it is there */
  current?: D | null
}

/** The file that says what is being done to a guest's snapshots; it is there only as long as that is. */
export const journalOf = ({ snapshotDir }: Pick<GuestRoot, 'snapshotDir'>): string => join(snapshotDir, '.journal')

/** Files by name, null for those that go. */
export type MomentFiles = Record<string, string | null>

/** Writes the files of a change that was begun, in their order. @throws VIR_ERR_SYSTEM_ERROR */
export function writeMomentFiles(directory: string, files: MomentFiles): void {
  for (const [name, text] of Object.entries(files)) {
    const file = join(directory, name)
    if (text === null) removeSynced(file)
    else writeAtomic(file, text)
  }
}

/**
 * The moments of one kind that a guest has. Their files are read when one is first asked for, and then kept.
 * Invariant: what it tells is on disk.
 */
export class MomentTree<D extends Moment = Moment> {
  readonly #directory: () => string
  #form: MomentForm<D> | undefined
  #defs: Map<string, D> | undefined
  #current: D | undefined

  constructor(directory: () => string) {
    this.#directory = directory
  }

  get directory(): string {
    return this.#directory()
  }

  /** The number of moments; told without reading any. */
  get count(): number {
    return this.#defs?.size ?? this.#files().length
  }

  /** Reads the files, unless they have been. */
  read(form: MomentForm<D>): this {
    if (this.#defs) return this
    this.#form = form
    this.#defs = new Map()
    for (const file of this.#files()) {
      try {
        const text = readIfThere(join(this.directory, file))
        if (text === undefined) continue
        const { def, current } = form.parse(text)
        this.#defs.set(def.name, def)
        if (current) this.#current = def
      } catch (error) {
        form.refused?.(file, error)
      }
    }
    if (!this.#relate()) this.#current = undefined
    if (form.currentIsLeaf) this.#current = this.#onlyLeaf()
    return this
  }

  /** Reads them once more, if they have been: somebody has written them. */
  readAgain(): void {
    if (!this.#form) return
    this.#defs = undefined
    this.#current = undefined
    this.read(this.#form)
  }

  get(name: string): D | undefined {
    return this.#all.get(name)
  }

  /** The one the guest's state comes after, if any. */
  get current(): D | undefined {
    return this.#current
  }

  /** The moment it came after, if that is still there. */
  parentOf({ parentName }: D): D | undefined {
    return parentName === undefined ? undefined : this.get(parentName)
  }

  /** Its children; without one, those of no parent. */
  childrenOf(def?: D): D[] {
    return [...this.#all.values()].filter(one => this.parentOf(one) === def)
  }

  /** All below it, parents first. */
  descendantsOf(def?: D): D[] {
    const children = this.#children()
    const below = (one?: D): D[] => (children.get(one) ?? []).flatMap(child => [child, ...below(child)])
    return below(def)
  }

  /** Those it came after, the nearest first. */
  ancestorsOf(def: D): D[] {
    const found: D[] = []
    for (let at = this.parentOf(def); at; at = this.parentOf(at)) found.push(at)
    return found
  }

  /** Names, but for topological order by the alphabet (virDomainMomentObjListGetNames). */
  list({ from, deep, topological, leaves, noLeaves, passes }: MomentFilter<D>): D[] {
    const children = this.#children()
    const found = (deep ? this.descendantsOf(from) : (children.get(from) ?? [])).filter(def => {
      const isLeaf = !children.has(def)
      return !(leaves && !isLeaf) && !(noLeaves && isLeaf) && (passes?.(def) ?? true)
    })
    return topological ? found : found.sort(byName)
  }

  /**
   * Refuses a moment that would be its own ancestor (virDomainMomentCheckCycles).
   * @throws VIR_ERR_INVALID_ARG, for a parent that is not there too
   */
  checkParent({ name, parentName }: D): void {
    if (parentName === undefined) return
    const wrong = (message: string) => failDomain('VIR_ERR_INVALID_ARG', message)
    if (name === parentName) throw wrong(`cannot set moment ${name} as its own parent`)
    const parent = this.get(parentName)
    if (!parent) throw wrong(`parent ${parentName} for moment ${name} not found`)
    for (const one of [parent, ...this.ancestorsOf(parent)]) {
      if (one.parentName === name) throw wrong(`parent ${one.name} would create cycle to ${name}`)
    }
  }

  /** @throws VIR_ERR_OPERATION_FAILED for a name that is taken (virDomainMomentAssignDef) */
  checkNew({ name }: D): void {
    if (this.#all.has(name)) throw failDomain('VIR_ERR_OPERATION_FAILED', `domain moment ${name} already exists`)
  }

  /** Saves what of a moment has changed. @throws VIR_ERR_SYSTEM_ERROR */
  #save(def: D): void {
    this.#write(def, def === this.#current)
  }

  /**
   * Forgets a moment: its children become its parent's, as does being the current one.
   * @throws VIR_ERR_SYSTEM_ERROR
   */
  delete(def: D): void {
    const parent = this.parentOf(def)
    for (const child of this.childrenOf(def)) {
      if (parent) child.parentName = parent.name
      else delete child.parentName
      this.#save(child)
    }
    if (this.#current === def) {
      this.#current = parent
      if (parent) this.#save(parent)
    }
    removeSynced(this.#file(def.name))
    this.#all.delete(def.name)
  }

  /** Removes all. @throws VIR_ERR_SYSTEM_ERROR */
  remove(): void {
    try {
      rmSync(this.directory, { force: true, recursive: true })
    } catch (error) {
      throw fail('VIR_ERR_SYSTEM_ERROR', `cannot remove '${this.directory}': ${(error as Error).message}`, error)
    }
    this.#defs = undefined
    this.#current = undefined
  }

  /** The files a change makes: should it be cut short, these finish it. */
  filesOf({ put = [], forget = [], ...rest }: MomentChange<D>): MomentFiles {
    const current = this.#currentAfter({ put, forget, ...rest })
    const former = this.#current
    const isLeft = former && ![...put, ...forget].some(({ name }) => name === former.name) && former !== current
    const written = new Set([...put, ...(isLeft ? [former] : []), ...(current && current !== former ? [current] : [])])
    const text = (def: D) => this.#form!.format(def, def === current)
    return Object.fromEntries([
      ...[...written].map(def => [basename(this.#file(def.name)), text(def)] as const),
      ...forget.map(({ name }) => [basename(this.#file(name)), null] as const)
    ])
  }

  /** The same files as they are now: these take it back. */
  undoOf(change: MomentChange<D>): MomentFiles {
    const names = Object.keys(this.filesOf(change))
    return Object.fromEntries(
      names.map(file => {
        const def = this.get(basename(file, SUFFIX))
        return [file, def ? this.#form!.format(def, def === this.#current) : null]
      })
    )
  }

  /** Makes a change, wholly or not at all. @throws VIR_ERR_SYSTEM_ERROR */
  apply(change: MomentChange<D>): void {
    const current = this.#currentAfter(change)
    try {
      writeMomentFiles(this.directory, this.filesOf(change))
    } catch (error) {
      try {
        writeMomentFiles(this.directory, this.undoOf(change))
      } catch {}
      throw error
    }
    for (const { name } of change.forget ?? []) this.#all.delete(name)
    for (const def of change.put ?? []) this.#all.set(def.name, def)
    this.#current = current
  }

  #currentAfter({ put = [], forget = [], current }: MomentChange<D>): D | undefined {
    if (current !== undefined) return current ?? undefined
    const former = this.#current
    if (!former || forget.includes(former)) return undefined
    return put.find(({ name }) => name === former.name) ?? former
  }

  get #all(): Map<string, D> {
    if (!this.#defs) throw new Error('moments are told before they are read')
    return this.#defs
  }

  #file(name: string): string {
    return join(this.directory, `${name}${SUFFIX}`)
  }

  #write(def: D, current: boolean): void {
    writeAtomic(this.#file(def.name), this.#form!.format(def, current))
  }

  #children(): Map<D | undefined, D[]> {
    const children = new Map<D | undefined, D[]>()
    for (const def of this.#all.values()) {
      const parent = this.parentOf(def)
      children.set(parent, [...(children.get(parent) ?? []), def])
    }
    return children
  }

  /** Cuts circles. @returns false where there were any, or a parent is missing (virDomainMomentUpdateRelations) */
  #relate(): boolean {
    let isWhole = true
    for (const def of this.#all.values()) {
      if (def.parentName === undefined) continue
      const seen = new Set<D>()
      let at: D | undefined = def
      while (at && !seen.has(at)) {
        seen.add(at)
        at = this.parentOf(at)
      }
      if (at) delete def.parentName
      if (at || !this.parentOf(def)) isWhole = false
    }
    return isWhole
  }

  #onlyLeaf(): D | undefined {
    const leaves = this.list({ deep: true, leaves: true })
    return leaves.length === 1 ? leaves[0] : undefined
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

const byName = (a: Moment, b: Moment) => (a.name < b.name ? -1 : Number(a.name > b.name))

/** Both kinds. */
export class Moments {
  readonly snapshots: MomentTree<SnapshotDef>
  readonly checkpoints: MomentTree<CheckpointDef>

  /** @param root of the guest at that time: it moves with the guest's name */
  constructor(root: () => GuestRoot) {
    this.snapshots = new MomentTree(() => root().snapshotDir)
    this.checkpoints = new MomentTree(() => root().checkpointDir)
  }
}
