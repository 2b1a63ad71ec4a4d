// A guest's disks, snapshots and checkpoints as they should be: what is done to them gives another model, and no file or
// QEMU is asked. Each change is a list of all the models that a guest goes through on its way, the last one when it is done.

export const DISKS = ['vda', 'vdb', 'vdc']
export const CLUSTER = 64 * 1024
export const CLUSTERS = 32

/** The byte that each cluster of each disk is filled with. */
export type Contents = readonly (readonly number[])[]

/** The files of each disk, from the top. */
export type Chains = readonly (readonly string[])[]

/** An image whose name the guest's daemon chooses. */
export const ANY = '*'

export interface Snapshot {
  parent: string | undefined
  kind: 'internal' | 'external'
  /** <state> */
  state: string
  contents: Contents
  chains: Chains
  /** disks that take part, by number: one that was merged before the others does not any more */
  parts: readonly number[]
}

export interface Checkpoint {
  parent: string | undefined
  contents: Contents
  /** all its bitmaps must be there, and good */
  isWhole: boolean
}

export interface Model {
  contents: Contents
  chains: Chains
  snapshots: ReadonlyMap<string, Snapshot>
  /** the current snapshot */
  current: string | undefined
  checkpoints: ReadonlyMap<string, Checkpoint>
}

const all = DISKS.map((_, i) => i)

export const newModel = (files: readonly string[]): Model => ({
  contents: DISKS.map(() => Array<number>(CLUSTERS).fill(0)),
  chains: files.map(file => [file]),
  snapshots: new Map(),
  current: undefined,
  checkpoints: new Map()
})

const replaced = <T>(list: readonly T[], i: number, value: T): T[] => list.map((had, n) => (n === i ? value : had))

export const written = (model: Model, i: number, cluster: number, pattern: number): Model => ({
  ...model,
  contents: replaced(model.contents, i, model.contents[i]!.with(cluster, pattern))
})

/** @param overlays the files the disks go on in; absent: the snapshot is inside of the images */
export function snapshotTaken(model: Model, name: string, state: string, overlays?: readonly string[]): Model {
  const { contents, chains, snapshots, current } = model
  const kind = overlays ? 'external' : 'internal'
  return {
    ...model,
    chains: overlays ? chains.map((chain, i) => [overlays[i]!, ...chain]) : chains,
    snapshots: new Map([...snapshots, [name, { parent: current, kind, state, contents, chains, parts: all }]]),
    current: name
  }
}

const without = <T>(map: ReadonlyMap<string, T>, name: string): Map<string, T> =>
  new Map([...map].filter(([key]) => key !== name))

/** A snapshot is known no more; its children are its parent's. */
export function forgotten(model: Model, name: string): Model {
  const { parent } = model.snapshots.get(name)!
  const rest = [...without(model.snapshots, name)].map(
    ([key, one]) => [key, one.parent === name ? { ...one, parent } : one] as const
  )
  return { ...model, snapshots: new Map(rest), current: model.current === name ? parent : model.current }
}

const childrenOf = ({ snapshots }: Model, name: string) =>
  [...snapshots.values()].filter(({ parent }) => parent === name)

/** The overlay of a disk went into what is below it. */
function merged(model: Model, name: string, i: number, overlay: string): Model {
  const drop = (chains: Chains) =>
    replaced(
      chains,
      i,
      chains[i]!.filter(file => file !== overlay)
    )
  const snapshots = [...model.snapshots].map(
    ([key, one]) =>
      [
        key,
        { ...one, chains: drop(one.chains), ...(key === name && { parts: one.parts.filter(part => part !== i) }) }
      ] as const
  )
  return { ...model, chains: drop(model.chains), snapshots: new Map(snapshots) }
}

/** Deletes a snapshot; each disk of an external one that the guest or a later one stands on is merged by itself. */
export function snapshotDeleted(model: Model, name: string): Model[] {
  const { kind, parts } = model.snapshots.get(name)!
  const [child] = childrenOf(model, name)
  const isLeft = !child && model.current !== name
  const steps = [model]
  if (kind === 'external' && !isLeft) {
    const { chains } = child ?? model
    for (const i of parts) steps.push(merged(steps.at(-1)!, name, i, chains[i]![0]!))
  }
  return [...steps, forgotten(steps.at(-1)!, name)]
}

/** The guest is as it was; its checkpoints know nothing of that. */
export function reverted(model: Model, name: string): Model {
  const { kind, contents, chains } = model.snapshots.get(name)!
  return {
    ...withBrokenCheckpoints(model),
    contents,
    chains: kind === 'external' ? chains.map(chain => [ANY, ...chain]) : chains,
    current: name
  }
}

/** Snapshots one can go back to without harm to another: what is inside an image is also what those above stand on. */
export const revertible = ({ snapshots }: Model): string[] =>
  [...snapshots].flatMap(([name, { kind, chains, parts }]) => {
    const isWhole = parts.length === DISKS.length
    const tops = new Set(chains.map(([top]) => top))
    const isBelow = [...snapshots.values()].some(
      other => other.kind === 'external' && other.chains.some(chain => chain.some(file => tops.has(file)))
    )
    return isWhole && !(kind === 'internal' && isBelow) ? [name] : []
  })

/** All snapshots are known no more, one after the other. */
export function allForgotten(model: Model): Model[] {
  const steps = [model]
  for (const name of model.snapshots.keys()) steps.push(forgotten(steps.at(-1)!, name))
  return steps
}

/** A disk has another chain, with the same in it. */
export const rechained = (model: Model, i: number, chain: readonly string[]): Model => ({
  ...model,
  chains: replaced(model.chains, i, chain)
})

export function checkpointMade(model: Model, name: string): Model {
  const parent = [...model.checkpoints.keys()].find(
    key => ![...model.checkpoints.values()].some(one => one.parent === key)
  )
  const { contents, checkpoints } = model
  return { ...model, checkpoints: new Map([...checkpoints, [name, { parent, contents, isWhole: true }]]) }
}

export function checkpointDeleted(model: Model, name: string): Model {
  const { parent } = model.checkpoints.get(name)!
  const rest = [...without(model.checkpoints, name)].map(
    ([key, one]) => [key, one.parent === name ? { ...one, parent } : one] as const
  )
  return { ...model, checkpoints: new Map(rest) }
}

/** Bitmaps need not be good any more; those that are not must not be taken for it. */
export const withBrokenCheckpoints = (model: Model): Model => ({
  ...model,
  checkpoints: new Map([...model.checkpoints].map(([name, one]) => [name, { ...one, isWhole: false }]))
})
