// virshim allocations and conflicts, on an aggregator and on shims; the answers behind them are of the forms in schemas/.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import type { Allocation } from '../../src/state/allocation.ts'
import { processIdentity } from '../../src/state/status.ts'
import { AggregatorRun } from '../helper/aggregator.ts'
import { ReportingShim } from '../helper/reporting-shim.ts'

t.setTimeout(120_000)

const run = promisify(execFile)
const UUIDS = ['3c1f0a3e-0000-4000-8000-000000000001', '3c1f0a3e-0000-4000-8000-000000000002']
const aggregator = new AggregatorRun()
const shims = ['alpha', 'beta'].map(
  (name, i) => new ReportingShim(join(aggregator.root, 'guests', name, 'api.sock'), name, UUIDS[i]!)
)

const virshim = async (at: string, ...words: string[]) => {
  const { stdout } = await run('bin/virshim', ['-c', at, ...words])
  return stdout
    .split('\n')
    .map(line => line.trimEnd())
    .filter(line => !line.startsWith('---'))
}

t.before(async () => {
  for (const shim of shims) await shim.listen()
  await aggregator.start('--overcommit', 'vcpu=off,hugepages=off,memory=0.000001:warn')
  const image: Allocation = { kind: 'disk', key: '65024:12', mode: 'exclusive', path: '/images/a.qcow2' }
  const amounts: Allocation[] = [
    { kind: 'memory', amount: 65536, mode: 'exclusive' },
    { kind: 'hugepages', key: '2048', amount: 4, mode: 'exclusive' },
    { kind: 'vcpu', amount: 2, mode: 'shared' }
  ]
  shims[0]!.hold([image, ...amounts], [])
  shims[1]!.hold([{ ...image, mode: 'shared' }], [])
  await Promise.all(shims.map(shim => shim.read()))
})
t.teardown(async () => {
  for (const shim of shims) shim.close()
  await aggregator.end()
})

t.test('allocations', async t => {
  t.same(await virshim(aggregator.socket, 'allocations', '--domain', 'alpha'), [
    ' Kind        Resource                               Mode        Domain   State',
    ' name        alpha                                  exclusive   alpha    reported',
    ` uuid        ${UUIDS[0]}   exclusive   alpha    reported`,
    ' disk        /images/a.qcow2                        exclusive   alpha    reported',
    ' memory      65536 KiB                              exclusive   alpha    reported',
    ' hugepages   4 of 2048 KiB                          exclusive   alpha    reported',
    ' vcpu        2                                      shared      alpha    reported',
    '',
    ''
  ])
  const budgets = (await virshim(aggregator.socket, 'allocations')).join('\n')
  t.match(budgets, /\n Budget +Used +Limit +Host +Beyond it\n/)
  t.match(
    budgets,
    /\n hugepages of 2048 KiB +4 +- +\d+ +off\n memory +65536 KiB +\d+ KiB +\d+ KiB +warn\n vcpu +2 +- +\d+ +off\n/
  )
  t.same(await virshim(shims[1]!.socket, '-q', 'allocations', '--kind', 'disk'), [
    ' disk   /images/a.qcow2   shared   beta   reported',
    ''
  ])
})

t.test('conflicts', async t => {
  const text = (await virshim(aggregator.socket, 'conflicts')).join('\n')
  t.match(text, ' Kind   Resource          Domains\n disk   /images/a.qcow2   alpha (exclusive), beta (shared)\n')
  t.match(text, /\n memory +65536 KiB/)
  const ofShims = await virshim(join(aggregator.root, 'guests'), '-q', 'conflicts')
  t.same(
    ofShims,
    [' disk   /images/a.qcow2   alpha (exclusive), beta (shared)', ''],
    'found without the aggregator, too'
  )
  const [json] = await virshim(aggregator.socket, 'conflicts', '--json')
  t.match(JSON.parse(json!), { conflicts: [{ kind: 'disk', key: '65024:12' }], budgets: [{ kind: 'memory' }] })
})

t.test('the answers are of the forms in schemas/aggregator.json', async t => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })
  for (const name of ['report', 'aggregator']) ajv.addSchema(JSON.parse(readFileSync(`schemas/${name}.json`, 'utf8')))
  const fits = (name: string, value: unknown) => {
    const valid = ajv.validate(`aggregator.json#/$defs/${name}`, value)
    t.ok(valid, `${name}: ${ajv.errorsText()}`)
  }
  fits('allocations', (await aggregator.ask('GET', '/v1/allocations')).body)
  fits('conflicts', (await aggregator.ask('GET', '/v1/conflicts')).body)
  const disk = { kind: 'disk', key: '65024:12', mode: 'exclusive' }
  const port = { kind: 'tcp-port', auto: { min: 5900, max: 5910 } }
  const ask = (...resources: object[]) => ({
    ...{ name: 'c', uuid: 'c', socket: '/nowhere/api.sock', ...processIdentity(process.pid) },
    resources
  })
  fits('claim', ask(disk, port))
  const refused = await aggregator.ask('POST', '/v1/claims', ask(disk, port))
  t.equal(refused.status, 409)
  fits('refused', refused.body)
  const granted = await aggregator.ask('POST', '/v1/claims', ask(port))
  t.equal(granted.status, 200)
  fits('granted', granted.body)
  const claimed = await virshim(aggregator.socket, '-q', 'allocations', '--domain', 'c')
  t.same(claimed, [' tcp-port   5900   exclusive   c   claimed', ''], 'and told apart in the list')
  t.equal((await aggregator.ask('DELETE', `/v1/claims/${granted.body.claim}`)).status, 200)
  t.equal((await aggregator.ask('GET', '/openapi.json')).body.paths['/v1/claims'].post.operationId, 'claim')
})

t.test('a claim that asks for more than the report tells is listed beside it', async t => {
  const { name, uuid, socket } = shims[1]!
  shims[1]!.hold([{ kind: 'disk', key: '65024:13', mode: 'shared' }], [])
  await shims[1]!.read()
  const claim = async (mode: 'exclusive' | 'shared') => {
    const resources = [{ kind: 'disk', key: '65024:13', mode }]
    const body = { name, uuid, socket, ...processIdentity(process.pid), resources }
    const { status, body: granted } = await aggregator.ask('POST', '/v1/claims', body)
    t.equal(status, 200)
    return granted.claim
  }
  const reported = ' disk   65024:13   shared   beta   reported'
  const disks = () => virshim(aggregator.socket, '-q', 'allocations', '--domain', 'beta', '--kind', 'disk')
  const claims = [await claim('shared')]
  t.same(await disks(), [reported, ''], 'what is told already is told once')
  claims.push(await claim('exclusive'))
  const both = [' disk   65024:13   shared      beta   reported', ' disk   65024:13   exclusive   beta   claimed', '']
  t.same(await disks(), both)
  for (const one of claims) t.equal((await aggregator.ask('DELETE', `/v1/claims/${one}`)).status, 200)
  t.same(await disks(), [reported, ''])
})
