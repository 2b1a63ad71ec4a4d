import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test as Tap } from 'tap'
import { Budget, parseOvercommits } from '../../../src/server/aggregator/budget.ts'
import { Claims, type ClaimsOptions } from '../../../src/server/aggregator/claims.ts'
import { Ledger } from '../../../src/server/aggregator/ledger.ts'
import type { Allocation } from '../../../src/state/allocation.ts'
import { type ClaimedResource, type ClaimRequest, ownNamespaces } from '../../../src/state/claim.ts'
import { processIdentity } from '../../../src/state/status.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const self = processIdentity(process.pid)!
const pci = (key: string): Allocation => ({ kind: 'pci', key, mode: 'exclusive' })

function scene(t: Tap, options: Partial<ClaimsOptions> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'claims-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  let now = 0
  const open = () => {
    const ledger = new Ledger()
    const budget = new Budget(parseOvercommits('memory=refuse'), () => 100)
    const claims = new Claims({ dir, ledger, budget, log: quiet, graceMs: 1000, now: () => now, ...options })
    t.teardown(() => claims.close())
    return { ledger, claims }
  }
  const at = (ms: number) => {
    now = ms
  }
  return { dir, open, at }
}

function request(name: string, resources: ClaimedResource[], more: Partial<ClaimRequest> = {}): ClaimRequest {
  const socket = `/nowhere/${name}/api.sock`
  return { name, uuid: `uuid-${name}`, socket, namespaces: ownNamespaces(), ...self, resources, ...more }
}

t.test('all or nothing', async t => {
  const { dir, open } = scene(t)
  const { claims, ledger } = open()
  const granted = await claims.claim(request('a', [pci('1'), { kind: 'tcp-port', auto: { min: 1, max: 2 }, count: 2 }]))
  t.match(granted, { claim: /^[0-9a-f]{16}$/, chosen: [[1, 2]], warnings: [] })
  await t.rejects(claims.claim(request('b', [pci('2'), pci('1')])), {
    code: 'VIR_ERR_OPERATION_INVALID',
    message: 'Requested operation is not valid: PCI device 1 is in use by driver QEMU, domain a',
    httpStatus: 409,
    conflicts: [{ kind: 'pci', key: '1', mode: 'exclusive', holder: 'a', uuid: 'uuid-a' }]
  })
  await t.rejects(claims.claim(request('b', [pci('2'), { kind: 'tcp-port', auto: { min: 1, max: 2 } }])), {
    code: 'VIR_ERR_RESOURCE_BUSY',
    message: 'resource busy: no tcp-port is free from 1 to 2'
  })
  await t.rejects(claims.claim(request('b', [pci('2'), { kind: 'memory', amount: 101, mode: 'exclusive' }])), {
    code: 'VIR_ERR_RESOURCE_BUSY'
  })
  t.equal(readdirSync(dir).length, 1)
  t.same(ledger.conflicts(request('c', []), [pci('2')]), [])
  claims.release(granted.claim)
  claims.release(granted.claim)
  t.same(readdirSync(dir), [])
  await claims.claim(request('b', [pci('2'), pci('1')]))
})

t.test('a look at a claim tells of everything, and grants nothing', async t => {
  const { dir, open } = scene(t)
  const { claims } = open()
  await claims.claim(request('a', [pci('1'), pci('2'), { kind: 'memory', amount: 90, mode: 'exclusive' }]))
  const heard: string[] = []
  const look = (name: string, resources: ClaimedResource[]) =>
    claims.look(request(name, []), resources, error => heard.push(error.message.replace(/^.*?: /, '')))
  const asked: ClaimedResource[] = [
    pci('1'),
    pci('2'),
    pci('3'),
    { kind: 'tcp-port', auto: { min: 1, max: 2 }, count: 3 },
    { kind: 'memory', amount: 11, mode: 'exclusive' }
  ]
  t.same(await look('b', asked), [])
  t.same(heard.splice(0), [
    'PCI device 1 is in use by driver QEMU, domain a',
    'no tcp-port is free from 1 to 2',
    "memory: 11 more beside the 90 in use is beyond the host's budget of 100"
  ])
  t.same(await look('a', asked.slice(0, 3)), [])
  t.same(heard, [])
  t.equal(readdirSync(dir).length, 1)
})

t.test('libvirt words for what libvirt refuses, ours for the rest', async t => {
  const { claims } = scene(t).open()
  const disk: Allocation = { kind: 'disk', key: '1:2', mode: 'exclusive', path: '/x.img' }
  const all = [disk, pci('p'), ...['usb', 'mdev', 'mac', 'name', 'uuid'].map(kind => ({ ...pci('k'), kind }))]
  await claims.claim(request('a', all))
  const refusal = (resource: Allocation) =>
    claims.claim(request('b', [resource])).then(
      () => 'granted',
      error => `${error.code} ${error.message.replace(/^.*?: /, '')}`
    )
  t.same(await Promise.all(all.map(refusal)), [
    "VIR_ERR_RESOURCE_BUSY disk '/x.img' is in use by domain 'a'",
    'VIR_ERR_OPERATION_INVALID PCI device p is in use by driver QEMU, domain a',
    'VIR_ERR_OPERATION_INVALID USB device k is in use by driver QEMU, domain a',
    'VIR_ERR_OPERATION_INVALID mediated device k is in use by driver QEMU, domain a',
    "VIR_ERR_RESOURCE_BUSY mac 'k' is in use by domain 'a'",
    "VIR_ERR_OPERATION_FAILED domain 'k' already exists with uuid uuid-a",
    "VIR_ERR_OPERATION_FAILED domain 'a' is already defined with uuid k"
  ])
})

t.test('asking again with the same id gives the same answer, to the same guest only', async t => {
  const { open } = scene(t)
  const { claims } = open()
  const asked = request('a', [{ kind: 'tcp-port', auto: { min: 5, max: 9 } }], { claim: 'ab' })
  t.same(await claims.claim(asked), { claim: 'ab', chosen: [[5]], warnings: [] })
  t.same(await claims.claim(asked), { claim: 'ab', chosen: [[5]], warnings: [] })
  t.same(await open().claims.claim(asked), { claim: 'ab', chosen: [[5]], warnings: [] }, 'after a crash, too')
  await t.rejects(claims.claim(request('b', [], { claim: 'ab' })), { code: 'VIR_ERR_INVALID_ARG' })
})

t.test('a crash between grant and report loses nothing', async t => {
  const { dir, open, at } = scene(t)
  await open().claims.claim(request('a', [pci('1')], { claim: '1' }))
  writeFileSync(join(dir, '2.json.new'), '{"half":')
  writeFileSync(join(dir, '3.json'), '{"half":')
  mkdirSync(join(dir, 'directory'))
  at(5000)
  const { claims } = open()
  t.same(readdirSync(dir), ['1.json'], 'what is not whole is removed')
  await t.rejects(claims.claim(request('b', [pci('1')])), { code: 'VIR_ERR_OPERATION_INVALID' })
  t.same(
    claims.guests().map(({ socket }) => socket),
    ['/nowhere/a/api.sock']
  )
})

t.test('lapses: time is up, the process is dead; a report in time keeps it as long as it says so', async t => {
  const { dir, open, at } = scene(t)
  const { claims, ledger } = open()
  await claims.claim(request('slow', [pci('1')], { claim: '1' }))
  await claims.claim(request('told', [pci('2')], { claim: '2' }))
  claims.reported(request('told', []), [])
  ledger.put({ id: 'report told', guest: request('told', []), resources: [pci('2')] })
  claims.reported(request('told', []), ['2'])
  at(999)
  claims.sweep()
  t.equal(claims.size, 2)
  at(1000)
  await claims.claim(request('b', [pci('1')], { claim: '3' }))
  await t.rejects(claims.claim(request('b', [pci('2')])), {
    code: 'VIR_ERR_OPERATION_INVALID',
    conflicts: [{ holder: 'told' }]
  })
  t.same(readdirSync(dir).sort(), ['2.json', '3.json'])
  ledger.put({ id: 'report told', guest: request('told', []), resources: [] })
  t.same(ledger.conflicts(request('b', []), [pci('2')]), [], 'the report speaks for it now')
  claims.reported(request('told', []), [])
  t.same(readdirSync(dir), ['3.json'])
})

t.test("a dead process's claim is free at once, unless it left a QEMU", async t => {
  const { dir, open } = scene(t)
  const { claims } = open()
  const child = spawn('sleep', ['60'])
  const identity = processIdentity(child.pid!)!
  const root = join(dir, '../', `root-${process.pid}`)
  mkdirSync(root)
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  await claims.claim(request('dead', [pci('1')], identity))
  await claims.claim(request('left', [pci('2')], { ...identity, socket: join(root, 'api.sock') }))
  await t.rejects(claims.claim(request('b', [pci('1')])), {
    code: 'VIR_ERR_OPERATION_INVALID',
    conflicts: [{ holder: 'dead' }]
  })
  child.kill('SIGKILL')
  await new Promise(done => child.once('exit', done))
  writeFileSync(join(root, 'status.json'), JSON.stringify({ process: self }))
  await claims.claim(request('b', [pci('1')]))
  await t.rejects(claims.claim(request('b', [pci('2')])), {
    code: 'VIR_ERR_OPERATION_INVALID',
    conflicts: [{ holder: 'left' }]
  })
  t.equal(open().claims.size, 2, 'a new aggregator sees it the same way')
  rmSync(join(root, 'status.json'))
  await claims.claim(request('b', [pci('2')]))
})

t.test('a process that is dead before its claim is decided: one of ours holds nothing', async t => {
  const { claims } = scene(t).open()
  const gone = { pid: self.pid, startTime: '7' }
  await claims.claim(request('dead', [pci('1')], gone))
  await claims.claim(request('b', [pci('1')]))
  const { namespaces: _, ...unknown } = request('unknown', [pci('2')], gone)
  const inPod = request('pod', [pci('3')], { ...gone, namespaces: { ...ownNamespaces(), pid: 'pid:[1]' } })
  for (const ask of [unknown, inPod]) {
    await claims.claim(ask)
    const refused = { code: 'VIR_ERR_OPERATION_INVALID', conflicts: [{ holder: ask.name }] }
    await t.rejects(claims.claim(request('b', ask.resources)), refused, 'who knows of another namespace’s')
  }
})

t.test('a report that is in the way is looked at again before anyone is refused', async t => {
  let looked = 0
  const { open } = scene(t, {
    async refresh(holding) {
      looked++
      if (holding.guest.name === 'stays') return false
      scenes.ledger.remove(holding.id)
      return true
    }
  })
  const scenes = open()
  for (const [name, key] of [
    ['goes', '1'],
    ['stays', '2']
  ] as const) {
    scenes.ledger.put({ id: `report ${name}`, guest: request(name, []), resources: [pci(key), pci(`${key}b`)] })
  }
  await scenes.claims.claim(request('b', [pci('1'), pci('1b')]))
  t.equal(looked, 1)
  await t.rejects(scenes.claims.claim(request('c', [pci('2'), pci('2b')])), {
    code: 'VIR_ERR_OPERATION_INVALID',
    conflicts: [{ key: '2' }, { key: '2b' }]
  })
})

t.test('nonsense is refused as such', async t => {
  const { claims } = scene(t).open()
  const bad: unknown[] = [
    undefined,
    [],
    {},
    { ...request('a', []), claim: '../x' },
    { ...request('a', []), pid: -1 },
    { ...request('a', []), resources: [{ kind: 'pci' }] },
    { ...request('a', []), resources: [{ kind: 'p', auto: { min: 2, max: 1 } }] },
    { ...request('a', []), resources: [{ kind: 'p', auto: { min: 1, max: 2 }, count: 0 }] }
  ]
  for (const body of bad) await t.rejects(claims.claim(body), { code: 'VIR_ERR_INVALID_ARG' }, JSON.stringify(body))
  t.equal(claims.size, 0)
})

t.test(
  'kinds that are words of objects are refused, and so is a claim of more values than one guest can use',
  async t => {
    const { claims } = scene(t).open()
    for (const kind of ['toString', 'constructor', '__proto__', 'PCI', '']) {
      const fixed = { kind, key: '1', mode: 'exclusive' }
      const automatic = { kind, auto: { min: 1, max: 9 } }
      for (const resource of [fixed, automatic]) {
        const asked = { ...request('a', []), resources: [resource] }
        await t.rejects(claims.claim(asked), { code: 'VIR_ERR_INVALID_ARG', httpStatus: 400 }, JSON.stringify(resource))
      }
    }
    const ports = { kind: 'tcp-port', auto: { min: 0, max: 1e9 }, count: 1024 }
    await claims.claim(request('a', [ports]))
    const tooMuch: ClaimedResource[][] = [
      [ports, ports],
      Array(300).fill(ports),
      [{ kind: 'unknown', auto: { min: 1, max: 2 } }],
      [{ kind: 'tcp-port', auto: { min: 1, max: 2 ** 33 } }],
      Array(5000).fill(pci('1')),
      [pci('x'.repeat(5000))]
    ]
    for (const resources of tooMuch) {
      await t.rejects(claims.claim(request('b', resources)), { code: 'VIR_ERR_INVALID_ARG' })
    }
  }
)

t.test('claims that no report tells of are bounded in number', async t => {
  const { open, at } = scene(t)
  const { claims } = open()
  for (let i = 0; i < 4096; i++) await claims.claim(request('a', [], { claim: i.toString(16) }))
  await t.rejects(claims.claim(request('b', [])), { code: 'VIR_ERR_OPERATION_FAILED' })
  claims.reported(request('a', []), ['0'])
  await claims.claim(request('b', [], { claim: 'b0b0b0b0b' }))
  await t.rejects(claims.claim(request('b', [])), { code: 'VIR_ERR_OPERATION_FAILED' })
  at(2000)
  claims.sweep()
  t.equal(claims.size, 1, 'what is settled stays')
})
