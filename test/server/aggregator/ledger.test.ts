import { array, assert, constantFrom, nat, property, record } from 'fast-check'
import t from 'tap'
import { type Holding, Ledger } from '../../../src/server/aggregator/ledger.ts'
import type { Allocation } from '../../../src/state/allocation.ts'
import type { Claimant } from '../../../src/state/claim.ts'

const guest = (name: string, more: Partial<Claimant> = {}): Claimant => ({
  name,
  uuid: `uuid-${name}`,
  socket: `/run/${name}/api.sock`,
  ...more
})
const one = (kind: string, key: string, mode: Allocation['mode'] = 'exclusive'): Allocation => ({ kind, key, mode })
const held = (name: string, resources: Allocation[], more: Partial<Claimant> = {}): Holding => ({
  id: `report ${name}`,
  guest: guest(name, more),
  resources
})
const taken = (ledger: Ledger, name: string, resources: Allocation[], more: Partial<Claimant> = {}) =>
  ledger
    .conflicts(guest(name, more), resources)
    .map(({ conflict: { kind, key, holder } }) => `${kind} ${key} ${holder}`)

t.test('exclusive excludes all others, shared only who wants it alone, nobody himself', async t => {
  const ledger = new Ledger()
  ledger.put(held('a', [one('disk', '1:1'), one('disk', '1:2', 'shared'), one('mac', 'm')]))
  t.same(taken(ledger, 'b', [one('disk', '1:1')]), ['disk 1:1 a'])
  t.same(taken(ledger, 'b', [one('disk', '1:1', 'shared')]), ['disk 1:1 a'])
  t.same(taken(ledger, 'b', [one('disk', '1:2')]), ['disk 1:2 a'])
  t.same(taken(ledger, 'b', [one('disk', '1:2', 'shared'), one('pci', 'm')]), [])
  t.same(taken(ledger, 'a', [one('disk', '1:1'), one('disk', '1:2')]), [])
  ledger.put(held('a', [one('mac', 'm')]))
  t.same(taken(ledger, 'b', [one('disk', '1:1'), one('disk', '1:2')]), [], 'a report replaces the one before')
  ledger.remove('report a')
  t.same(taken(ledger, 'b', [one('mac', 'm')]), [])
})

t.test('ports, taps and cgroups of other namespaces are others; disks are the same', async t => {
  const ledger = new Ledger({ net: 'net:[1]' })
  ledger.put(held('pod', [one('tcp-port', '5900'), one('disk', '1:1')], { namespaces: { net: 'net:[2]' } }))
  t.same(taken(ledger, 'b', [one('tcp-port', '5900'), one('disk', '1:1')], { namespaces: { net: 'net:[1]' } }), [
    'disk 1:1 pod'
  ])
  t.same(taken(ledger, 'b', [one('tcp-port', '5900')], { namespaces: { net: 'net:[2]' } }), ['tcp-port 5900 pod'])
  ledger.put(held('host', [one('tcp-port', '5900')]))
  t.same(taken(ledger, 'b', [one('tcp-port', '5900')], { namespaces: { net: 'net:[1]' } }), ['tcp-port 5900 host'])
})

t.test('a guest copied with its uuid into another container is another guest', async t => {
  const ledger = new Ledger()
  ledger.put(held('a', [one('uuid', 'u')], { namespaces: { mnt: 'mnt:[2]' } }))
  t.same(taken(ledger, 'a', [one('uuid', 'u')], { namespaces: { mnt: 'mnt:[3]' } }), ['uuid u a'])
})

t.test('automatic values: the first free from where the search begins, none twice, ids never lower', async t => {
  const ledger = new Ledger()
  ledger.put(held('a', [one('tcp-port', '5900'), one('tcp-port', '5902'), one('domain-id', '7')]))
  const port = (auto: { min: number; max: number; from?: number }, count?: number) => ({
    kind: 'tcp-port',
    auto,
    ...(count && { count })
  })
  const choose = (...wanted: Parameters<Ledger['choose']>[1]) => ledger.choose(guest('b'), wanted)
  t.same(choose(port({ min: 5900, max: 5999 })), [[5901]])
  t.same(choose(port({ min: 5900, max: 5999, from: 5902 }, 2), port({ min: 5900, max: 5999 })), [[5903, 5904], [5901]])
  t.same(choose(port({ min: 5900, max: 5904, from: 5904 }, 3)), [[5904, 5901, 5903]], 'and from the beginning again')
  t.same(choose(one('tcp-port', '5901'), port({ min: 5900, max: 5999 })), [[5903]], 'not what it asks for by name')
  t.same(choose(port({ min: 5900, max: 5902 }, 2)), port({ min: 5900, max: 5902 }, 2), 'too few: says for which')
  const id = { kind: 'domain-id', auto: { min: 1, max: 9 } }
  t.same(choose(id), [[8]])
  ledger.remove('report a')
  t.same(choose(id), [[8]], 'an id is not given again while there are others')
  ledger.put(held('c', [one('domain-id', '9')]))
  t.same(choose(id), [[1]])
})

t.test('what guests have in common against the rules is listed with all who have it', async t => {
  const ledger = new Ledger()
  ledger.put(held('a', [{ ...one('disk', '1:1'), path: '/a.img' }, one('mac', 'x')]))
  ledger.put(held('b', [one('disk', '1:1', 'shared'), one('mac', 'y')]))
  ledger.put(held('c', [one('disk', '1:1', 'shared'), one('disk', '1:2', 'shared')]))
  ledger.put(held('d', [one('disk', '1:2', 'shared')]))
  ledger.put({ ...held('a', [one('mac', 'x')]), id: 'claim 1' })
  const [overlap, ...more] = ledger.overlaps()
  t.same(more, [])
  t.match(overlap, { kind: 'disk', key: '1:1', path: '/a.img' })
  t.same(
    overlap?.holders.map(({ name, mode }) => `${name} ${mode}`),
    ['a exclusive', 'b shared', 'c shared']
  )
})

t.test('amounts add up and go back to nothing', async t => {
  const ledger = new Ledger()
  const memory = (amount: number): Allocation => ({ kind: 'memory', amount, mode: 'exclusive' })
  ledger.put(held('a', [memory(100), { kind: 'hugepages', key: '2048', amount: 3, mode: 'exclusive' }]))
  ledger.put(held('b', [memory(50), { kind: 'hugepages', key: '2048', amount: 1, mode: 'exclusive' }]))
  t.equal(ledger.used('memory'), 150)
  t.equal(ledger.used('hugepages 2048'), 4)
  t.same(ledger.conflicts(guest('c'), [{ kind: 'hugepages', key: '2048', amount: 3, mode: 'exclusive' }]), [])
  ledger.put(held('a', []))
  ledger.remove('report b')
  t.same(ledger.pools(), [])
})

/** What the ledger says, found the slow way. */
function slowConflicts(holdings: Map<string, Holding>, who: Claimant, wanted: Allocation[]): string[] {
  const out: string[] = []
  for (const { kind, key, mode } of wanted) {
    for (const { guest: other, resources } of holdings.values()) {
      if (other.uuid === who.uuid) continue
      const hits = resources.filter(r => r.kind === kind && r.key === key)
      if (hits.some(hit => mode === 'exclusive' || hit.mode === 'exclusive')) out.push(`${kind} ${key} ${other.name}`)
    }
  }
  return [...new Set(out)].sort()
}

t.test('agrees with looking through everything, whatever comes and goes', async t => {
  const resource = record({
    kind: constantFrom('disk', 'pci', 'tcp-port'),
    key: constantFrom('1', '2', '3'),
    mode: constantFrom<Allocation['mode'][]>('exclusive', 'shared')
  })
  const step = record({ id: nat(7), who: nat(4), resources: array(resource, { maxLength: 4 }), leave: nat(3) })
  const run = () =>
    assert(
      property(array(step, { maxLength: 40 }), steps => {
        const ledger = new Ledger()
        const model = new Map<string, Holding>()
        for (const { id, who, resources, leave } of steps) {
          const holding = { id: String(id), guest: guest(`g${who}`), resources }
          const found = ledger.conflicts(holding.guest, resources)
          const said = found.map(({ conflict: { kind, key, holder } }) => `${kind} ${key} ${holder}`)
          if ([...new Set(said)].sort().join() !== slowConflicts(model, holding.guest, resources).join()) return false
          if (leave === 0) {
            ledger.remove(holding.id)
            model.delete(holding.id)
          } else {
            ledger.put(holding)
            model.set(holding.id, holding)
          }
          const clashing = [...model.values()].some(
            ({ guest: other, resources: its }) => slowConflicts(model, other, its as Allocation[]).length > 0
          )
          if (clashing !== ledger.overlaps().length > 0) return false
        }
        for (const id of model.keys()) ledger.remove(id)
        return ledger.overlaps().length === 0 && ledger.conflicts(guest('x'), [one('disk', '1')]).length === 0
      }),
      { numRuns: 500, seed: 5 }
    )
  t.doesNotThrow(run)
})

t.test('a search goes over what is taken once, whatever ranges are asked for', async t => {
  const ledger = new Ledger()
  const keys = Array.from({ length: 60_000 }, (_, i) => one('tcp-port', String(i)))
  ledger.put(held('a', keys))
  let looked = 0
  const has = Map.prototype.has
  t.teardown(() => {
    Map.prototype.has = has
  })
  Map.prototype.has = function (key) {
    looked++
    return has.call(this, key)
  }
  const wanted = Array.from({ length: 1000 }, (_, i) => ({ kind: 'tcp-port', auto: { min: i, max: 100_000 } }))
  const chosen = ledger.choose(guest('b'), wanted) as number[][]
  Map.prototype.has = has
  t.same(
    chosen.flat(),
    Array.from({ length: 1000 }, (_, i) => 60_000 + i)
  )
  t.ok(looked < 250_000, `${looked}`)
})
