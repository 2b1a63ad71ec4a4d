// The host's power fails: what of the writes, renames and removals a piece of code has made is on disk then, in every way
// the kernel is free to have it. What was not synced may be there, wholly or in part, or not; changes of a directory that
// was not synced may each be there without those before them. Promised is only what fsync has returned for.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join, relative } from 'node:path'

/** A file's content as it comes to the disk. */
interface Content {
  /** as it was synced last */
  synced: Buffer
  /** what it was after each write since */
  since: Buffer[]
}

/** A change of a directory: it is there as a whole or not at all. */
type Change =
  | { kind: 'make'; path: string; file: number }
  | { kind: 'mkdir'; path: string }
  | { kind: 'rename'; path: string; to: string; file: number | undefined }
  | { kind: 'remove'; path: string }

type Step = { change: Change } | { write: number; content: Buffer } | { syncFile: number } | { syncDirectory: string }

/** Files by their path; directories have null. */
export type Tree = ReadonlyMap<string, Buffer | null>

/** More changes in flight than this are not tried in all combinations. */
const IN_FLIGHT_MAX = 10

/** Everything below a directory. */
function treeOf(root: string): Map<string, Buffer | null> {
  const tree = new Map<string, Buffer | null>()
  const look = (dir: string) => {
    for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
      const path = join(dir, entry.name)
      tree.set(path, entry.isDirectory() ? null : fs.readFileSync(path))
      if (entry.isDirectory()) look(path)
    }
  }
  look(root)
  return tree
}

/** Notes what is done below a directory by the functions of node:fs that the state's code uses. */
class Recorder {
  readonly steps: Step[] = []
  readonly #root: string
  readonly #open = new Map<number, { path: string; file: number | undefined }>()
  readonly #files = new Map<string, number>()
  readonly #contents = new Map<number, Buffer>()
  #next = 1

  constructor(root: string, before: Tree) {
    this.#root = root
    for (const [path, content] of before) if (content) this.#add(path, content)
  }

  #add(path: string, content: Buffer): number {
    const file = this.#next++
    this.#files.set(path, file)
    this.#contents.set(file, content)
    return file
  }

  fileAt = (path: string): number | undefined => this.#files.get(path)

  isBelow = (path: unknown): path is string => typeof path === 'string' && path.startsWith(`${this.#root}/`)

  opened(fd: number, path: string): void {
    let file = this.#files.get(path)
    if (file === undefined && !fs.fstatSync(fd).isDirectory()) {
      file = this.#add(path, Buffer.alloc(0))
      this.steps.push({ change: { kind: 'make', path, file } })
    }
    this.#open.set(fd, { path, file })
  }

  written(fd: number): void {
    const opened = this.#open.get(fd)
    if (opened?.file === undefined) return
    const content = fs.readFileSync(opened.path)
    this.#contents.set(opened.file, content)
    this.steps.push({ write: opened.file, content })
  }

  synced(fd: number): void {
    const opened = this.#open.get(fd)
    if (opened) this.steps.push(opened.file === undefined ? { syncDirectory: opened.path } : { syncFile: opened.file })
  }

  closed(fd: number): void {
    this.#open.delete(fd)
  }

  renamed(path: string, to: string): void {
    const file = this.#files.get(path)
    this.steps.push({ change: { kind: 'rename', path, to, file } })
    for (const [at, one] of [...this.#files]) {
      if (at !== path && !at.startsWith(`${path}/`)) continue
      this.#files.delete(at)
      this.#files.set(to + at.slice(path.length), one)
    }
  }

  removed(path: string): void {
    if (!this.#files.delete(path)) return
    this.steps.push({ change: { kind: 'remove', path } })
  }

  made(path: string): void {
    this.steps.push({ change: { kind: 'mkdir', path } })
  }
}

/** Runs `work` with node:fs telling a recorder of what it does; nothing else may use it meanwhile. */
function recorded(recorder: Recorder, work: () => void): void {
  const { openSync, writeSync, fsyncSync, closeSync, renameSync, rmSync, unlinkSync, mkdirSync } = fs
  const patched = {
    openSync(path: string, ...rest: [string | number, number?]) {
      const fd = openSync(path, ...rest)
      if (recorder.isBelow(path) || recorder.isBelow(`${path}/x`)) recorder.opened(fd, path)
      return fd
    },
    writeSync(fd: number, ...rest: [Uint8Array]) {
      const count = writeSync(fd, ...rest)
      recorder.written(fd)
      return count
    },
    fsyncSync(fd: number) {
      fsyncSync(fd)
      recorder.synced(fd)
    },
    closeSync(fd: number) {
      closeSync(fd)
      recorder.closed(fd)
    },
    renameSync(path: string, to: string) {
      renameSync(path, to)
      if (recorder.isBelow(path)) recorder.renamed(path, to)
    },
    rmSync(path: string, options?: fs.RmOptions) {
      rmSync(path, options)
      if (recorder.isBelow(path)) recorder.removed(path)
    },
    unlinkSync(path: string) {
      unlinkSync(path)
      if (recorder.isBelow(path)) recorder.removed(path)
    },
    mkdirSync(path: string, ...rest: [number?]) {
      const made = mkdirSync(path, ...rest)
      if (recorder.isBelow(path)) recorder.made(path)
      return made
    }
  }
  Object.assign(fs, patched)
  syncBuiltinESMExports()
  try {
    work()
  } finally {
    Object.assign(fs, { openSync, writeSync, fsyncSync, closeSync, renameSync, rmSync, unlinkSync, mkdirSync })
    syncBuiltinESMExports()
  }
}

/** Directories whose sync has a change stay. */
const placesOf = (change: Change): string[] =>
  change.kind === 'rename' ? [dirname(change.path), dirname(change.to)] : [dirname(change.path)]

/** What is on disk before. */
interface Start {
  dir: string
  before: Tree
  fileAt(path: string): number | undefined
}

/** All that may be on disk after these steps. */
function* outcomes({ dir, before, fileAt }: Start, steps: readonly Step[]): Generator<Tree> {
  const contents = new Map<number, Content>()
  for (const [path, content] of before) {
    const file = fileAt(path)
    if (content && file !== undefined) contents.set(file, { synced: content, since: [] })
  }
  const changes: { change: Change; open: Set<string> }[] = []
  for (const step of steps) {
    if ('change' in step) {
      changes.push({ change: step.change, open: new Set(placesOf(step.change)) })
      if (step.change.kind === 'make') contents.set(step.change.file, { synced: Buffer.alloc(0), since: [] })
    } else if ('write' in step) contents.get(step.write)?.since.push(step.content)
    else if ('syncFile' in step) {
      const content = contents.get(step.syncFile)
      if (content) Object.assign(content, { synced: content.since.at(-1) ?? content.synced, since: [] })
    } else for (const { open } of changes) open.delete(step.syncDirectory)
  }
  const inFlight = changes.filter(({ open }) => open.size > 0)
  if (inFlight.length > IN_FLIGHT_MAX) throw new Error(`${inFlight.length} changes in flight`)
  for (let chosen = 0; chosen < 1 << inFlight.length; chosen++) {
    const there = changes.filter(one => one.open.size === 0 || (chosen >> inFlight.indexOf(one)) & 1)
    const names = applied(
      { dir, before, fileAt },
      there.map(({ change }) => change)
    )
    for (const how of ['none', 'torn', 'all'] as const) {
      yield new Map(
        [...names].map(([path, file]) => [path, file === null ? null : contentOf(contents.get(file)!, how)])
      )
    }
  }
}

function contentOf({ synced, since }: Content, how: 'none' | 'torn' | 'all'): Buffer {
  const last = since.at(-1)
  if (!last || how === 'none') return synced
  if (how === 'all') return last
  const half = last.length >> 1
  return Buffer.concat([last.subarray(0, half), (since.at(-2) ?? synced).subarray(half)])
}

/** Which file each path is after these changes of directories. */
function applied({ dir, before, fileAt }: Start, changes: readonly Change[]) {
  const names = new Map<string, number | null>()
  for (const [path, content] of before) names.set(path, content ? (fileAt(path) ?? null) : null)
  for (const change of changes) {
    if (change.kind === 'make') names.set(change.path, change.file)
    else if (change.kind === 'mkdir') names.set(change.path, null)
    else if (change.kind === 'remove') names.delete(change.path)
    else move(names, change)
  }
  // what lies in a directory that is not there is not there either
  for (const path of [...names.keys()]) if (!isReached(names, path, dir)) names.delete(path)
  return names
}

function move(names: Map<string, number | null>, { path, to, file }: Change & { kind: 'rename' }): void {
  if (file !== undefined) names.set(to, file)
  for (const [at, one] of [...names]) {
    if (at !== path && !at.startsWith(`${path}/`)) continue
    names.delete(at)
    names.set(to + at.slice(path.length), one)
  }
}

function isReached(names: ReadonlyMap<string, unknown>, path: string, dir: string): boolean {
  for (let at = dirname(path); at !== dir; at = dirname(at)) if (!names.has(at)) return false
  return true
}

export interface PowerLoss {
  /** in which what is done happens; what it has before is on disk */
  dir: string
  /** what is done */
  work(): void
  /** an empty directory to lay out what is left in */
  scratch: string
  /** told of what may be left, at each point; `isDone` after all was done */
  look(dir: string, isDone: boolean): void
}

/** Cuts the power at each point, in each way. @returns how many ways there were, and points */
export function cutPower({ dir, work, scratch, look }: PowerLoss): { points: number; ways: number } {
  const before = treeOf(dir)
  const recorder = new Recorder(dir, before)
  const first = new Map([...before.keys()].map(path => [path, recorder.fileAt(path)]))
  const fileAt = (path: string) => first.get(path)
  recorded(recorder, work)
  const { steps } = recorder
  const seen = new Set<string>()
  let ways = 0
  for (let point = 0; point <= steps.length; point++) {
    const isDone = point === steps.length
    for (const tree of outcomes({ dir, before, fileAt }, steps.slice(0, point))) {
      const key = `${isDone} ${[...tree].map(([path, content]) => `${path}\0${content?.toString('latin1')}`).join('\0')}`
      if (seen.has(key)) continue
      seen.add(key)
      ways++
      const place = join(scratch, String(ways))
      layOut(place, dir, tree)
      look(place, isDone)
      fs.rmSync(place, { recursive: true })
    }
  }
  return { points: steps.length, ways }
}

function layOut(place: string, dir: string, tree: Tree): void {
  fs.mkdirSync(place)
  for (const [path, content] of [...tree].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const at = join(place, relative(dir, path))
    if (content === null) fs.mkdirSync(at, { recursive: true })
    else {
      fs.mkdirSync(dirname(at), { recursive: true })
      fs.writeFileSync(at, content)
    }
  }
}
