// Every kind of resource in every pair of modes: who gets it after whom, by claim after claim, claim after report, and
// from another namespace.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Budget, parseOvercommits } from '../../../src/server/aggregator/budget.ts'
import { readClaimRequest } from '../../../src/server/aggregator/claim-schema.ts'
import { Claims } from '../../../src/server/aggregator/claims.ts'
import { Ledger } from '../../../src/server/aggregator/ledger.ts'
import type { Allocation } from '../../../src/state/allocation.ts'
import { type ClaimRequest, ownNamespaces } from '../../../src/state/claim.ts'
import { processIdentity } from '../../../src/state/status.ts'
import { errorOf } from '../../helper/definition.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const self = processIdentity(process.pid)!
const dir = mkdtempSync(join(tmpdir(), 'virshim-conflicts-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

/** Kinds of DESIGN, by how a second guest that wants the same is refused; in some, another namespace has its own. */
const KINDS: Record<string, { code: string; namespace?: 'net' | 'cgroup' }> = {
  name: { code: 'VIR_ERR_OPERATION_FAILED' },
  uuid: { code: 'VIR_ERR_OPERATION_FAILED' },
  'domain-id': { code: 'VIR_ERR_RESOURCE_BUSY' },
  'tcp-port': { code: 'VIR_ERR_RESOURCE_BUSY', namespace: 'net' },
  pci: { code: 'VIR_ERR_OPERATION_INVALID' },
  usb: { code: 'VIR_ERR_OPERATION_INVALID' },
  mdev: { code: 'VIR_ERR_OPERATION_INVALID' },
  scsi: { code: 'VIR_ERR_OPERATION_INVALID' },
  disk: { code: 'VIR_ERR_RESOURCE_BUSY' },
  mac: { code: 'VIR_ERR_RESOURCE_BUSY' },
  tap: { code: 'VIR_ERR_RESOURCE_BUSY', namespace: 'net' },
  'vsock-cid': { code: 'VIR_ERR_RESOURCE_BUSY' },
  cgroup: { code: 'VIR_ERR_RESOURCE_BUSY', namespace: 'cgroup' },
  tpm: { code: 'VIR_ERR_RESOURCE_BUSY' },
  uid: { code: 'VIR_ERR_RESOURCE_BUSY' },
  nvram: { code: 'VIR_ERR_RESOURCE_BUSY' },
  lease: { code: 'VIR_ERR_RESOURCE_BUSY' },
  // one nobody has heard of is kept apart as well
  'new-kind': { code: 'VIR_ERR_RESOURCE_BUSY' }
}
const MODES = ['exclusive', 'shared'] as const

function request(name: string, resources: Allocation[], more: Partial<ClaimRequest> = {}): ClaimRequest {
  const socket = `/nowhere/${name}/api.sock`
  return { name, uuid: `uuid-${name}`, socket, namespaces: ownNamespaces(), ...self, resources, ...more }
}

function claimsOf(ledger: Ledger): Claims {
  const budget = new Budget(parseOvercommits('memory=refuse'), () => 100)
  return new Claims({ dir: mkdtempSync(join(dir, 'claims-')), ledger, budget, log: quiet })
}

for (const [kind, { code, namespace }] of Object.entries(KINDS)) {
  t.test(kind, async t => {
    for (const first of MODES) {
      for (const second of MODES) {
        const title = `${first}, then ${second}`
        const isFree = first === 'shared' && second === 'shared'
        const resource = (mode: Allocation['mode'], key = 'k') => ({ kind, key, mode })
        const ledger = new Ledger(ownNamespaces())
        const claims = claimsOf(ledger)
        const outcome = async (asked: ClaimRequest) => (await errorOf(() => claims.claim(asked))).replace(/:.*/, '')
        const wanted = isFree ? 'accepted' : code

        await claims.claim(request('a', [resource(first)], { claim: '1' }))
        t.equal(await outcome(request('b', [resource(second)])), wanted, `${title}: after a claim`)
        t.equal(await outcome(request('b', [resource(second, 'other')])), 'accepted', `${title}: another key`)
        t.equal(await outcome(request('a', [resource(second)])), 'accepted', `${title}: the same guest`)
        const elsewhere = { ...ownNamespaces(), net: 'net:[1]', cgroup: 'cgroup:[1]', mnt: 'mnt:[1]' }
        const far = request('c', [resource(second)], { namespaces: elsewhere })
        t.equal(await outcome(far), namespace ? 'accepted' : wanted, `${title}: in another namespace`)
        claims.close()

        const told = new Ledger(ownNamespaces())
        told.put({ id: 'report a', guest: request('a', []), resources: [resource(first)] })
        const late = claimsOf(told)
        const after = await errorOf(() => late.claim(request('b', [resource(second)])))
        t.equal(after.replace(/:.*/, ''), wanted, `${title}: after a report`)
        late.close()

        told.put({ id: 'report b', guest: request('b', []), resources: [resource(second)] })
        t.equal(told.overlaps().length, isFree ? 0 : 1, `${title}: both report it`)
      }
    }
  })
}

t.test('a claim in no form of ours is refused before it is looked at', async t => {
  const good = request('a', [{ kind: 'pci', key: '1', mode: 'exclusive' }])
  const auto = (range: object, more: object = {}) => ({
    ...good,
    resources: [{ kind: 'tcp-port', auto: range, ...more }]
  })
  t.equal(await errorOf(() => readClaimRequest(good)), 'accepted')
  t.equal(
    await errorOf(() => readClaimRequest({ ...good, more: 1 })),
    'accepted',
    'what a newer shim says is passed over'
  )
  const cases: [what: string, value: unknown][] = [
    ['nothing', undefined],
    ['null', null],
    ['an array', []],
    ['text', 'claim'],
    ['no name', { ...good, name: undefined }],
    ['a name that is a number', { ...good, name: 1 }],
    ['a uuid that is null', { ...good, uuid: null }],
    ['a pid below zero', { ...good, pid: -1 }],
    ['half a pid', { ...good, pid: 1.5 }],
    ['a start time that is a number', { ...good, startTime: 7 }],
    ['an empty claim id', { ...good, claim: '' }],
    ['a claim id that is a path', { ...good, claim: '../x' }],
    ['a claim id in capitals', { ...good, claim: 'AB' }],
    ['a claim id with a second line', { ...good, claim: 'ab\n' }],
    ['too long a claim id', { ...good, claim: 'a'.repeat(65) }],
    ['namespaces that are text', { ...good, namespaces: 'net:[1]' }],
    ['a namespace that is a number', { ...good, namespaces: { net: 1 } }],
    ['resources that are an object', { ...good, resources: {} }],
    ['too many resources', { ...good, resources: Array(10_001).fill(good.resources[0]) }],
    ['a resource that is null', { ...good, resources: [null] }],
    ['neither key nor amount', { ...good, resources: [{ kind: 'pci', mode: 'shared' }] }],
    ['a mode of its own', { ...good, resources: [{ kind: 'pci', key: '1', mode: 'both' }] }],
    ['half an amount', { ...good, resources: [{ kind: 'memory', amount: 0.5, mode: 'shared' }] }],
    ['an amount that is text', { ...good, resources: [{ kind: 'memory', amount: '5', mode: 'shared' }] }],
    ['a range without end', auto({ min: 1 })],
    ['a range below zero', auto({ min: -1, max: 1 })],
    ['a range upside down', auto({ min: 2, max: 1 })],
    ['none of a range', auto({ min: 1, max: 2 }, { count: 0 })],
    ['too many of a range', auto({ min: 1, max: 1e9 }, { count: 1025 })]
  ]
  for (const [what, value] of cases) {
    t.match(await errorOf(() => readClaimRequest(value)), /^VIR_ERR_INVALID_ARG: invalid argument: claim: /, what)
  }
})

t.test('amounts no host has, and less than nothing', async t => {
  const ledger = new Ledger()
  const claims = claimsOf(ledger)
  t.teardown(() => claims.close())
  const memory = (amount: number): Allocation => ({ kind: 'memory', amount, mode: 'exclusive' })
  const outcome = (...amounts: number[]) => errorOf(() => claims.claim(request('a', amounts.map(memory))))
  t.match(await outcome(Number.MAX_SAFE_INTEGER), /VIR_ERR_RESOURCE_BUSY/)
  t.match(await outcome(60, 60), /VIR_ERR_RESOURCE_BUSY/)
  t.match(await outcome(-1000), /VIR_ERR_INVALID_ARG/, 'nobody makes room for others so')
  t.equal(ledger.used('memory'), 0)
  t.equal(await outcome(100), 'accepted')
})
