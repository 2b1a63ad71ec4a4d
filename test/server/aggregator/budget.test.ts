import t from 'tap'
import { VirError } from '../../../src/conf/error.ts'
import { Budget, DEFAULT_OVERCOMMITS, hostCapacity, parseOvercommits } from '../../../src/server/aggregator/budget.ts'
import { Ledger } from '../../../src/server/aggregator/ledger.ts'
import type { Allocation } from '../../../src/state/allocation.ts'

const capacity = (pool: string) => ({ memory: 1000, vcpu: 4, 'hugepages 2048': 10 })[pool] ?? 0
const memory = (amount: number): Allocation => ({ kind: 'memory', amount, mode: 'exclusive' })
const vcpu = (amount: number): Allocation => ({ kind: 'vcpu', amount, mode: 'shared' })
const pages = (key: string, amount: number): Allocation => ({ kind: 'hugepages', key, amount, mode: 'exclusive' })

function ledgerWith(...resources: Allocation[]): Ledger {
  const ledger = new Ledger()
  ledger.put({ id: 'x', guest: { name: 'x', uuid: 'x', socket: 'x' }, resources })
  return ledger
}

t.test('--overcommit', async t => {
  t.same(parseOvercommits('memory=1.5:refuse,vcpu=off'), {
    ...DEFAULT_OVERCOMMITS,
    memory: { ratio: 1.5, policy: 'refuse' },
    vcpu: { ratio: 16, policy: 'off' }
  })
  t.same(parseOvercommits('hugepages=2').hugepages, { ratio: 2, policy: 'refuse' })
  t.same(parseOvercommits('vcpu=warn:3').vcpu, { ratio: 3, policy: 'warn' })
  for (const bad of ['', 'memory', 'memory=', 'disk=1', 'memory=-1', 'memory=1:never', 'memory=1,', 'vcpu=1e9']) {
    t.throws(() => parseOvercommits(bad), VirError, bad)
  }
})

t.test('refuses, warns, or does not look', async t => {
  const budget = new Budget(parseOvercommits('memory=1.5:refuse,vcpu=2:warn,hugepages=off'), capacity)
  const ledger = ledgerWith(memory(1000), vcpu(6), pages('2048', 9))
  t.same(budget.check([memory(500), vcpu(2)], ledger), [])
  t.throws(() => budget.check([memory(501)], ledger), {
    code: 'VIR_ERR_RESOURCE_BUSY',
    message: "resource busy: memory: 501 more beside the 1000 in use is beyond the host's budget of 1500"
  })
  t.throws(() => budget.check([memory(250), memory(251)], ledger), VirError, 'what is asked for adds up')
  t.same(budget.check([vcpu(3)], ledger), ["vcpu: 3 more beside the 6 in use is beyond the host's budget of 8"])
  t.same(budget.check([pages('2048', 100)], ledger), [])
})

t.test('huge pages are counted by their size; sizes the host does not have are none', async t => {
  const budget = new Budget(DEFAULT_OVERCOMMITS, capacity)
  const ledger = ledgerWith(pages('2048', 9))
  t.same(budget.check([pages('2048', 1)], ledger), [])
  t.throws(() => budget.check([pages('2048', 2)], ledger), { code: 'VIR_ERR_RESOURCE_BUSY' })
  t.throws(() => budget.check([pages('1048576', 1)], ledger), { code: 'VIR_ERR_RESOURCE_BUSY' })
})

t.test('states of the pools', async t => {
  const budget = new Budget(parseOvercommits('memory=0.5:warn,vcpu=off'), capacity)
  t.same(budget.states(ledgerWith(memory(501), pages('2048', 1))), [
    { kind: 'hugepages', key: '2048', used: 1, capacity: 10, limit: 10, policy: 'refuse', exceeded: false },
    { kind: 'memory', used: 501, capacity: 1000, limit: 500, policy: 'warn', exceeded: true },
    { kind: 'vcpu', used: 0, capacity: 4, policy: 'off', exceeded: false }
  ])
})

t.test('the host has some of everything', async t => {
  t.ok(hostCapacity('memory') > 1024)
  t.ok(hostCapacity('vcpu') >= 1)
  t.equal(hostCapacity('hugepages 3'), 0)
})
