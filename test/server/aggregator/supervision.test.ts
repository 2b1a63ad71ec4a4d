// Decisions about shims that have died, with guests that only pretend to be started.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import type { Guests } from '../../../src/server/aggregator/guests.ts'
import { layoutOf } from '../../../src/server/aggregator/layout.ts'
import { Registry } from '../../../src/server/aggregator/registry.ts'
import type { ShimPlace } from '../../../src/server/aggregator/shims.ts'
import { Supervisor } from '../../../src/server/aggregator/supervisor.ts'
import { bootId } from '../../../src/state/status.ts'
import { simulatedReport } from '../../helper/simulated-shims.ts'

t.setTimeout(120_000)

class Scene {
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-supervision-'))
  readonly layout = layoutOf(this.dir)
  readonly registry = new Registry()
  readonly said: string[] = []
  /** what becomes of the next shim: a state, or why it cannot be started */
  outcome: (place: ShimPlace) => 'running' | 'inactive' | 'ended' | Error = () => 'running'
  #wake = () => {}
  readonly guests = {
    isOwn: (place: string) => place.startsWith(`${this.layout.guestsDir}/`),
    onFailure: (_place: string) => {},
    wake: (place: ShimPlace) => this.#do('wakes', place),
    start: (place: ShimPlace) => this.#do('starts', place)
  }
  readonly #supervisors: Supervisor[] = []
  readonly supervisor = this.another()

  constructor(t: Test) {
    t.teardown(() => {
      for (const one of this.#supervisors) one.close()
      rmSync(this.dir, { recursive: true, force: true })
    })
    mkdirSync(this.layout.guestsDir, { recursive: true })
  }

  another(): Supervisor {
    const word = (kind: string) => (_: object, message: string) => this.#say(`${kind}: ${message}`)
    const log = { debug() {}, info() {}, warn: word('warn'), error: word('error') }
    const { layout, registry } = this
    const supervisor = new Supervisor({ layout, registry, guests: this.guests as unknown as Guests, log })
    this.#supervisors.push(supervisor)
    return supervisor
  }

  /** A guest's directory, with what a shim left there if it died. */
  guest(name: string, { died = false } = {}): string {
    const place = join(this.layout.guestsDir, name)
    mkdirSync(place, { recursive: true })
    if (died) writeFileSync(join(place, 'status.json'), '{}')
    return place
  }

  async until(count: number): Promise<string[]> {
    while (this.said.length < count) {
      await new Promise<void>(done => {
        this.#wake = done
      })
    }
    return this.said
  }

  /** Settles when one more shim that died has been followed: what came before it has been decided. */
  async decided(): Promise<string[]> {
    const name = `last-${this.said.length}`
    const place = this.guest(name, { died: true })
    this.registry.set(place, known(place, { unreachableSince: 1 }))
    while (!this.said.includes(`wakes ${name}`)) await this.until(this.said.length + 1)
    return this.said.filter(what => !what.startsWith('wakes last-'))
  }

  #say(what: string): void {
    this.said.push(what)
    this.#wake()
  }

  async #do(what: string, place: ShimPlace): Promise<{ state: string }> {
    this.#say(`${what} ${place.place.split('/').at(-1)}`)
    const outcome = this.outcome(place)
    if (outcome instanceof Error) {
      this.guests.onFailure(place.place)
      throw outcome
    }
    if (outcome === 'ended') rmSync(place.root.status, { force: true })
    return { state: outcome }
  }
}

const known = (place: string, more: object = {}) => ({
  socket: join(place, 'api.sock'),
  unreachableSince: undefined,
  report: simulatedReport(1),
  ...more
})
t.test('what was left before we came is followed; what is sound is not', async t => {
  const scene = new Scene(t)
  scene.guest('died', { died: true })
  scene.guest('off')
  scene.registry.set(scene.guest('well', { died: true }), known(scene.guest('well')))
  scene.supervisor.start()
  t.same(await scene.decided(), ['wakes died'])
})

t.test('a guest that becomes unreachable, or is gone, is looked after; another’s is not', async t => {
  const scene = new Scene(t)
  scene.supervisor.start()
  const place = scene.guest('a')
  scene.registry.set(place, known(place))
  scene.registry.markUnreachable(place)
  t.same(await scene.decided(), [], 'no status: it has not died')
  writeFileSync(join(place, 'status.json'), '{}')
  scene.registry.set(place, known(place, { unreachableSince: 1 }))
  const gone = scene.guest('b', { died: true })
  scene.registry.set(gone, known(gone))
  scene.registry.remove(gone)
  const watched = join(scene.dir, 'elsewhere')
  mkdirSync(watched)
  writeFileSync(join(watched, 'status.json'), '{}')
  scene.registry.set(watched, known(watched, { unreachableSince: 1 }))
  t.same(await scene.decided(), ['wakes a', 'wakes b'])
})

t.test('one that only hangs has no follower', async t => {
  const scene = new Scene(t)
  const place = scene.guest('hangs', { died: true })
  const server = createServer()
  await new Promise<void>(done => server.listen(join(place, 'api.sock'), done))
  t.teardown(() => server.close())
  scene.supervisor.start()
  scene.registry.set(place, known(place, { unreachableSince: 1 }))
  t.same(await scene.decided(), [])
})

t.test('a follower that fails is tried again, with one try at a time', async t => {
  const scene = new Scene(t)
  const place = scene.guest('a', { died: true })
  let fails = 2
  scene.outcome = () => (fails-- > 0 ? new Error('no') : 'ended')
  scene.supervisor.start()
  // whoever notices meanwhile makes no more of them
  for (let i = 0; i < 5; i++) scene.registry.set(place, known(place, { unreachableSince: 1 }))
  await scene.until(5)
  const warned = 'warn: a shim that died cannot be followed'
  t.same(scene.said, ['wakes a', warned, 'wakes a', warned, 'wakes a'])
  t.notOk(existsSync(join(place, 'status.json')))
})

t.test('when we end, nobody is followed any more', async t => {
  const scene = new Scene(t)
  scene.supervisor.start()
  scene.supervisor.close()
  const place = scene.guest('a', { died: true })
  scene.registry.set(place, known(place, { unreachableSince: 1 }))
  scene.guests.onFailure(place)
  scene.another().start()
  t.same(await scene.decided(), ['wakes a'], 'by our successor alone')
})

t.test('guests that start with the host are started once a boot, also when one of them cannot be', async t => {
  const scene = new Scene(t)
  const off = (name: string, autostart: boolean, more: object = {}) => {
    const place = scene.guest(name)
    const report = { ...simulatedReport(scene.registry.size + 1, name), id: -1, state: 5, autostart }
    scene.registry.set(place, known(place, { socket: undefined, report, ...more }))
  }
  off('a', true)
  off('b', false)
  off('c', true)
  off('runs', true, { socket: '/x/api.sock' })
  off('once', false)
  const onceFiles = ['once', 'runs'].map(name => join(scene.dir, 'guests', name, 'autostart-once'))
  for (const file of onceFiles) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, '')
  }
  scene.outcome = ({ place }) => (place.endsWith('/a') ? new Error('no') : 'running')
  scene.supervisor.start()
  const file = join(scene.dir, 'autostarted')
  await scene.until(4)
  while (!existsSync(file)) await new Promise(setImmediate)
  t.same([...scene.said].sort(), ['error: could not be started with the host', 'starts a', 'starts c', 'starts once'])
  for (const onceFile of onceFiles) t.notOk(existsSync(onceFile), 'next time it is not started')
  t.equal(readFileSync(file, 'utf8'), bootId())
  scene.supervisor.close()

  scene.another().start()
  t.equal((await scene.decided()).length, 4, 'not for an aggregator that is only restarted')
})
