// A guest that never rests, and goes from one daemon to another: what it must find and leave, each time.
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { type MigrationPlace, type MigrationWorld, uriOf } from './migration-world.ts'
import { makeImage, makeRestlessDisk, passesOf, restlessGuest } from './restless-guest.ts'
import type { Ran } from './virsh.ts'

const LIMIT_MS = 60_000

/** Where its disk is: one image for all, one of the same name on each host, or one of each daemon's own name. */
export type Disk = 'shared' | 'local' | 'named'

export interface MoverOptions {
  disk: Disk
  /** it is defined, and goes so */
  isKept?: boolean
}

/** Where daemons are asked, if not at their own sockets. */
export interface Uris {
  asked?: string
  there?: string
}

export class Mover {
  at: MigrationPlace
  readonly name: string
  readonly #world: MigrationWorld
  readonly #options: MoverOptions
  readonly #said: string

  constructor(world: MigrationWorld, at: MigrationPlace, name: string, options: MoverOptions) {
    this.at = at
    this.name = `t-${name}-${process.pid}`
    this.#world = world
    this.#options = options
    this.#said = join(world.shared, `${name}.said`)
  }

  /** Name of what its image may stand on, on each host. */
  get #base(): string {
    return `${this.name}.base.qcow2`
  }

  /** What it has at one place, as that place sees it. */
  imageAt(place: MigrationPlace): string {
    const { disk } = this.#options
    const { shared, local } = this.#world
    return join(disk === 'shared' ? shared : local, `${this.name}${disk === 'named' ? `.${place.name}` : ''}.qcow2`)
  }

  /** The same from outside. */
  #imageOf(place: MigrationPlace): string {
    return this.#options.disk === 'shared' ? this.imageAt(place) : place.ownPath(basename(this.imageAt(place)))
  }

  #xml(place: MigrationPlace): string {
    const file = join(this.#world.shared, `${this.name}.${place.name}.xml`)
    writeFileSync(file, restlessGuest(this.name, { disk: this.imageAt(place), said: this.#said }))
    return file
  }

  /** Its definition with the image that it has at another place. */
  async #xmlThere(to: MigrationPlace): Promise<string> {
    const file = join(this.#world.shared, `${this.name}.${to.name}.xml`)
    const xml = await this.virsh('dumpxml', this.name, '--migratable')
    writeFileSync(file, xml.replaceAll(this.imageAt(this.at), this.imageAt(to)))
    return file
  }

  /** @param places it is going to be at; an image that others stand on is there, too, where it is not shared */
  async start(...places: MigrationPlace[]): Promise<void> {
    const { at } = this
    if (this.#options.disk === 'shared') makeRestlessDisk(this.#imageOf(at))
    else {
      for (const place of [at, ...places]) makeRestlessDisk(place.ownPath(this.#base))
      makeImage(this.#imageOf(at), join(this.#world.local, this.#base))
    }
    await this.virsh(this.#options.isKept ? 'define' : 'create', this.#xml(at))
    if (this.#options.isKept) await this.virsh('start', this.name)
    await this.works()
  }

  /** @throws Error where it fails */
  async virsh(...words: string[]): Promise<string> {
    const { status, out, err } = await this.at.virsh(...words)
    if (status !== 0) throw new Error(`${words.join(' ')}: ${err}`)
    return out
  }

  async state(place: MigrationPlace = this.at): Promise<string> {
    return (await place.virsh('domstate', this.name, '--reason')).out.trim()
  }

  /** Where its own shim is asked. */
  get shimUri(): string {
    return uriOf(join(this.at.root, 'guests', this.name, 'libvirt-sock'))
  }

  /** virsh migrate. */
  migrate(
    to: MigrationPlace,
    words: readonly string[],
    { asked = this.at.uri, there = to.uri }: Uris = {}
  ): Promise<Ran> {
    return this.at.run('virsh', '-c', asked, 'migrate', this.name, there, ...words)
  }

  /** Waits until some of it is under way. */
  async untilMoving(): Promise<void> {
    const isMoving = async () =>
      /^(Data|File) processed: +(?!0\.000 B)/m.test((await this.at.virsh('domjobinfo', this.name)).out)
    for (const deadline = Date.now() + LIMIT_MS; !(await isMoving()); await sleep(20)) {
      if (Date.now() > deadline) throw new Error(`${this.name} does not begin to move`)
    }
  }

  /** Makes the image at the other place that its disk is to be copied to. */
  makeTarget(to: MigrationPlace, isIncremental: boolean): void {
    makeImage(this.#imageOf(to), ...(isIncremental ? [join(this.#world.local, this.#base)] : []))
  }

  /** Moves it; nothing of it is left where it was, and it goes on where it is. */
  async move(t: Test, to: MigrationPlace, words: readonly string[], uris?: Uris): Promise<void> {
    const from = this.at
    const wasRunning = (await this.state()).startsWith('running')
    const xml = this.#options.disk === 'named' ? ['--xml', await this.#xmlThere(to)] : []
    const isPaused = !wasRunning || words.includes('--suspend')
    t.match(await this.migrate(to, [...words, ...xml], uris), { status: 0, err: '' }, `from ${from.name} to ${to.name}`)
    this.at = to
    await this.isGone(t, from)
    const state = await this.state()
    t.match(state, isPaused ? /^paused/ : /^running/)
    if (!isPaused) await this.works()
  }

  /** Nothing of it is at a place: no guest, and no process but those of another place on the same host. */
  async isGone(t: Test, place: MigrationPlace): Promise<void> {
    const isSameHost = place.hostName === this.at.hostName
    const named = isSameHost ? `guest=${this.name},` : this.name
    const isSo = async () => {
      const { status, out } = await place.virsh('list', '--all', '--name')
      const isListed = status !== 0 || out.split('\n').includes(this.name)
      return !isListed && place.processes(named).length === (isSameHost ? 1 : 0)
    }
    for (const deadline = Date.now() + LIMIT_MS; !(await isSo()); await sleep(50)) {
      if (Date.now() > deadline) break
    }
    t.ok(await isSo(), `nothing of it is on ${place.name}: ${place.processes(named)}`)
  }

  /** Waits until it has made so many passes more: everything has been looked at anew. */
  async works(passes = 3): Promise<void> {
    const until = this.passes() + passes
    for (const deadline = Date.now() + LIMIT_MS; this.passes() < until; await sleep(20)) {
      if (Date.now() > deadline)
        throw new Error(`${this.name} makes no pass; ${readFileSync(this.#said, 'latin1').slice(-40)}`)
    }
  }

  passes(): number {
    return passesOf(this.#said)
  }

  /** Ends it; its disk is whole. */
  async end(t: Test): Promise<void> {
    await this.virsh('destroy', this.name)
    if (this.#options.isKept) await this.virsh('undefine', this.name)
    const { status, out } = await this.at.run('qemu-img', 'check', this.imageAt(this.at))
    t.equal(status, 0, out)
  }
}
