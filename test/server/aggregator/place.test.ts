// One place where a guest may be: what its shim says, what its files say where there is none, and what is believed when.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Place } from '../../../src/server/aggregator/place.ts'
import { type KnownGuest, Registry } from '../../../src/server/aggregator/registry.ts'
import { formatAnswer } from '../../../src/server/raw-http.ts'
import { guestRoot } from '../../../src/state/root.ts'
import { bootId, processIdentity } from '../../../src/state/status.ts'
import { bareGuest } from '../../helper/shim.ts'
import { SimulatedShim, simulatedReport } from '../../helper/simulated-shims.ts'

t.setTimeout(240_000)

const NAME = 't-place'
const UUID = '6dfc3c2b-7a4e-4f6e-9f0b-000000000001'
const XML = bareGuest(NAME).replace('<memory', `<uuid>${UUID}</uuid><memory`)
const SHUTOFF = 5
const OWN = { owned: true }

const logged: string[] = []
const log = {
  debug() {},
  info() {},
  warn: (_: object, message: string) => void logged.push(message),
  error() {}
}

class Scene {
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-place-'))
  readonly root = guestRoot(this.dir)
  readonly registry = new Registry()
  readonly #wakes = new Set<() => void>()
  place!: Place

  constructor(t: Test) {
    for (const event of ['guest', 'gone'] as const) {
      this.registry.on(event, () => {
        for (const wake of [...this.#wakes]) wake()
      })
    }
    t.teardown(() => {
      this.place.close()
      rmSync(this.dir, { recursive: true, force: true })
    })
  }

  open({ owned = false }: { owned?: boolean } = {}): Place {
    const { registry, root } = this
    this.place = new Place({ registry, log, key: 'key', root, owned, waitS: () => 30 })
    return this.place
  }

  get guest(): KnownGuest | undefined {
    return this.registry.at('key')
  }

  /** Settles once what is known of the guest is as wanted. */
  async until(wanted: (guest: KnownGuest | undefined) => boolean): Promise<void> {
    while (!wanted(this.guest)) {
      await new Promise<void>(done => {
        const wake = () => {
          this.#wakes.delete(wake)
          done()
        }
        this.#wakes.add(wake)
      })
    }
  }

  /** status.json as a shim leaves it. */
  status(more: object = {}): void {
    const status = {
      ...{ version: 1, bootId: bootId(), phase: 'running', name: NAME, uuid: UUID, id: 7, persistent: true },
      ...{ state: 3, reason: 1, stateTimeMs: 1, generation: 9, paused: false, autoDestroy: false, cgroups: [] },
      ...{ process: processIdentity(process.pid), claims: ['ab'], xml: XML },
      ...more
    }
    writeFileSync(this.root.status, JSON.stringify(status))
  }
}

async function shimAt(t: Test, { dir }: Scene): Promise<SimulatedShim> {
  const shim = new SimulatedShim(dir, simulatedReport(1, NAME))
  await shim.listen()
  t.teardown(() => shim.close())
  return shim
}

/** A shim that answers each request with the next of some texts, and then hangs. */
async function answering(t: Test, scene: Scene, texts: string[]): Promise<{ server: Server; asked: () => number }> {
  let asked = 0
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', () => {
      const text = texts[asked++]
      if (text !== undefined) socket.write(text)
    })
  })
  await new Promise<void>(done => server.listen(scene.root.apiSocket, done))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { server, asked: () => asked }
}

t.test('a shim that answers: its report, its changes, its end', async t => {
  const scene = new Scene(t)
  const shim = await shimAt(t, scene)
  const place = scene.open()
  await place.settled
  t.match(scene.guest, { socket: scene.root.apiSocket, report: { name: NAME, state: 1 }, unreachableSince: undefined })
  shim.change({ state: 3, reason: 1 })
  await scene.until(guest => guest?.report.state === 3)
  shim.dropClients()
  shim.change({ state: 1 })
  await scene.until(guest => guest?.report.state === 1)
  t.equal(scene.guest?.unreachableSince, undefined, 'a closed connection is no silence')
  shim.close()
  await scene.until(guest => guest === undefined)
  t.notOk(place.isKnown)
})

t.test('a guest that is over and not kept is forgotten before its shim is gone', async t => {
  const scene = new Scene(t)
  const shim = await shimAt(t, scene)
  await scene.open().settled
  shim.change({ state: SHUTOFF, persistent: false, id: -1 })
  await scene.until(guest => guest === undefined)
  t.ok(scene.place.isKnown, 'its socket is still there')
  shim.change({ state: 1, id: 9 })
  await scene.until(guest => guest?.report.id === 9)
})

t.test('a shim that was killed: unreachable where it was watched, until it is there again', async t => {
  const scene = new Scene(t)
  const shim = await shimAt(t, scene)
  await scene.open().settled
  shim.close({ killed: true })
  await scene.until(guest => guest?.unreachableSince !== undefined)
  t.match(scene.guest, { report: { state: 1 } }, 'the rest is what was known last')
  rmSync(scene.root.apiSocket)
  const next = new SimulatedShim(scene.dir, { ...simulatedReport(1, NAME), generation: 1, state: 3 })
  await next.listen()
  t.teardown(() => next.close())
  scene.place.look()
  await scene.until(guest => guest?.unreachableSince === undefined && guest?.report.state === 3)
})

t.test('nobody at a place: files say what there is', async t => {
  const off = { report: { name: NAME, uuid: UUID, id: -1, state: SHUTOFF, persistent: true }, socket: undefined }
  const alone = {
    socket: String,
    unreachableSince: Number,
    report: { id: 7, state: 3, generation: 9, pids: { shim: null, qemu: process.pid }, claims: ['ab'], versions: {} }
  }
  const cases: [what: string, make: (scene: Scene) => void, owned: boolean, known: object | undefined][] = [
    ['nothing', () => {}, true, undefined],
    ['a definition', ({ root }) => writeFileSync(root.definition, XML), true, off],
    [
      'a definition that starts with the host',
      ({ root }) => {
        writeFileSync(root.definition, XML)
        writeFileSync(root.autostart, '')
      },
      true,
      { report: { autostart: true } }
    ],
    ['a definition that is not ours', ({ root }) => writeFileSync(root.definition, XML), false, undefined],
    ['half a definition', ({ root }) => writeFileSync(root.definition, XML.slice(0, 200)), true, undefined],
    ['a definition that is a directory', ({ root }) => mkdirSync(root.definition), true, undefined],
    ['a QEMU without its shim', scene => scene.status(), true, alone],
    ['a QEMU without its shim, watched', scene => scene.status(), false, alone],
    ['one of another boot', scene => scene.status({ bootId: 'another' }), true, undefined],
    [
      'one whose process is another by now',
      scene => scene.status({ process: { pid: process.pid, startTime: '1' } }),
      true,
      undefined
    ],
    ['one that has none', scene => scene.status({ process: undefined }), true, undefined],
    ['a status of no form of ours', ({ root }) => writeFileSync(root.status, '{"version":1}'), true, undefined],
    ['half a status', ({ root }) => writeFileSync(root.status, '{"version":1,'), true, undefined],
    [
      'a status with a definition nobody can read',
      scene => scene.status({ xml: '<domain' }),
      true,
      { report: { id: 7, allocations: [] } }
    ],
    ['a socket nobody listens at', ({ root }) => writeFileSync(root.apiSocket, ''), true, undefined],
    [
      'such a socket, and a definition',
      ({ root }) => {
        writeFileSync(root.apiSocket, '')
        writeFileSync(root.definition, XML)
      },
      true,
      off
    ]
  ]
  for (const [what, make, owned, known] of cases) {
    const scene = new Scene(t)
    make(scene)
    await scene.open({ owned }).settled
    if (known === undefined) t.equal(scene.guest, undefined, what)
    else t.match(scene.guest, known, what)
  }
})

t.test('a definition that comes, changes and goes is noticed', async t => {
  const scene = new Scene(t)
  await scene.open(OWN).settled
  writeFileSync(scene.root.definition, XML)
  await scene.until(guest => guest?.report.name === NAME)
  writeFileSync(scene.root.definition, XML.replace(NAME, 'renamed'))
  await scene.until(guest => guest?.report.name === 'renamed')
  writeFileSync(scene.root.definition, 'broken')
  await scene.until(guest => guest === undefined)
  writeFileSync(scene.root.definition, XML)
  await scene.until(guest => guest?.report.name === NAME)
  rmSync(scene.root.definition)
  await scene.until(guest => guest === undefined)
})

t.test('a shim that comes to a guest that was shut off, and leaves it', async t => {
  const scene = new Scene(t)
  writeFileSync(scene.root.definition, XML)
  await scene.open(OWN).settled
  const shim = new SimulatedShim(scene.dir, simulatedReport(1, NAME))
  await shim.listen()
  await scene.until(guest => guest?.socket !== undefined)
  t.equal(scene.guest?.report.state, 1)
  shim.close()
  await scene.until(guest => guest?.socket === undefined)
  t.equal(scene.guest?.report.state, SHUTOFF)
})

t.test('answers that are no reports: no guest, a word in the log, and another try', async t => {
  const good = formatAnswer(JSON.stringify(simulatedReport(1, NAME)))
  const bad = [
    'SSH-2.0-x\r\n\r\n',
    formatAnswer('{}'),
    formatAnswer('{"name":'),
    formatAnswer(JSON.stringify({ ...simulatedReport(1), name: '../../etc' })),
    formatAnswer(JSON.stringify({ ...simulatedReport(1), id: 2 ** 40 })),
    formatAnswer(undefined),
    'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n'
  ]
  for (const text of bad) {
    const scene = new Scene(t)
    logged.length = 0
    const { asked } = await answering(t, scene, [text, good])
    await scene.open().settled
    t.equal(scene.guest, undefined, text.slice(0, 60))
    t.same(logged, ['a shim cannot be asked'])
    await scene.until(guest => guest?.report.name === NAME)
    t.ok(asked() >= 2)
  }
})

t.test('bad answers after a good one: what was known last, marked', async t => {
  const scene = new Scene(t)
  const report = simulatedReport(1, NAME)
  // a connection that has brought an answer is made anew before anything is said of it
  await answering(t, scene, [formatAnswer(JSON.stringify(report)), 'nonsense\r\n\r\n', 'nonsense\r\n\r\n'])
  await scene.open().settled
  await scene.until(guest => guest?.unreachableSince !== undefined)
  t.same(scene.guest?.report, report)
})

t.test('a report that was overtaken on its way is not believed', async t => {
  const scene = new Scene(t)
  const report = simulatedReport(1, NAME)
  const at = (generation: number, state: number, shim = report.pids.shim) =>
    formatAnswer(JSON.stringify({ ...report, generation, state, pids: { ...report.pids, shim } }))
  // the second request is the poll's next, which is not answered
  await answering(t, scene, [at(5, 3), undefined as never, at(4, 1), at(6, 7), at(1, 2, 1)])
  const place = scene.open()
  await place.settled
  const states: number[] = []
  for (let i = 0; i < 3; i++) {
    await place.refresh()
    states.push(scene.guest!.report.state)
  }
  t.same(states, [3, 7, 2], 'older, newer, of a new shim')
})

t.test('asked at once: the file tells where nobody listens, and nothing keeps who asks', async t => {
  const scene = new Scene(t)
  const shim = await shimAt(t, scene)
  const place = scene.open()
  await place.settled
  shim.hangs = true
  await place.refresh()
  t.equal(scene.guest?.report.state, 1, 'as it was')
  shim.close()
  await place.refresh()
  t.equal(scene.guest, undefined)
})

t.test('a closed place says nothing any more', async t => {
  const scene = new Scene(t)
  const shim = await shimAt(t, scene)
  const place = scene.open(OWN)
  await place.settled
  place.close()
  t.equal(scene.guest, undefined)
  shim.change({ state: 3 })
  place.look()
  await place.refresh()
  t.equal(scene.guest, undefined)
  const early = scene.open()
  early.close()
  await early.settled
  t.equal(scene.guest, undefined)
})

t.test('one that is asked before it was noticed is followed from then on', async t => {
  const scene = new Scene(t)
  const place = scene.open(OWN)
  await place.settled
  const shim = await shimAt(t, scene)
  await place.refresh()
  t.equal(scene.guest?.report.name, NAME)
  await shim.close()
  await scene.until(guest => guest === undefined)
  t.pass('its end is heard of')
})
