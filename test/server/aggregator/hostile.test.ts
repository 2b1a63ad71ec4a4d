// A watched socket is anybody's: what it reports must harm neither the aggregator nor what others are told.
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { type Change, SimulatedShim, simulatedReport } from '../../helper/simulated-shims.ts'

t.setTimeout(240_000)

const host = new AggregatorRun()
const pods = join(host.dir, 'pods')
mkdirSync(pods)
const shims: SimulatedShim[] = []
t.teardown(async () => {
  for (const shim of shims) shim.close()
  await host.end()
})

async function watched(number: number, change: object): Promise<SimulatedShim> {
  const shim = new SimulatedShim(join(pods, String(number)), { ...simulatedReport(number), ...change } as never)
  shims.push(shim)
  await shim.listen()
  return shim
}

const virsh = (...words: string[]) =>
  new Promise<{ status: number | null; said: string }>(done => {
    const uri = `qemu+unix:///system?socket=${join(host.root, 'libvirt-sock')}`
    const child = spawn('virsh', ['-c', uri, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', chunk => {
        said += chunk
      })
    }
    child.once('close', status => done({ status, said }))
  })

const good = simulatedReport(1, 'good')

t.test('reports out of any range are refused; those beside them are told of', async t => {
  const bad: object[] = [
    { name: '' },
    { name: '../../../etc' },
    { name: 'a\0b' },
    { uuid: 'not one' },
    { id: 2 ** 40 },
    { state: 99 },
    { reason: -1 },
    { generation: 1e300 },
    { allocations: [{ kind: 'memory', amount: -(2 ** 40), mode: 'exclusive' }] },
    { allocations: [{ kind: 'tcp-port\0', key: '1', mode: 'exclusive' }] },
    { pids: { shim: 'x', qemu: null } }
  ]
  for (const [i, change] of bad.entries()) await watched(100 + i, change)
  await watched(1, good)
  await host.start('--watch', join(pods, '*/api.sock'))
  await host.until('good', entry => entry !== undefined)
  const { guests } = (await host.call('guests')).body
  t.same(
    guests.map(({ name }: { name: string }) => name),
    ['good']
  )
  t.match(await virsh('list', '--all', '--name'), { status: 0, said: 'good\n\n' })
  const { budgets } = (await host.ask('GET', '/v1/allocations')).body
  t.match(
    budgets.find(({ kind }: { kind: string }) => kind === 'memory'),
    { used: 131072 }
  )
})

t.test('text of any kind is shown as text', async t => {
  const names = ['<b>&"\'', 'новый-гость', 'a\x1b[31mb', '__proto__', 'constructor', 'x'.repeat(3000)]
  const named = await Promise.all(names.map((name, i) => watched(200 + i, { name })))
  for (const name of names) await host.until(name, entry => entry !== undefined)
  t.match(await host.call('/metrics'), { status: 200, body: /virshim_domain_up\{domain="good"/ })
  const { said } = await virsh('list', '--all', '--name')
  for (const name of names) t.ok(said.includes(`${name}\n`), JSON.stringify(name).slice(0, 40))
  // longer ones are no part of a path
  for (const name of names.slice(0, 5)) {
    const answer = await host.call(`domains/${encodeURIComponent(name)}/virDomainGetInfo`)
    t.same(answer, { status: 404, body: {} }, `asked of the shim, which has no such path: ${JSON.stringify(name)}`)
  }
  for (const shim of named) shim.close()
  for (const name of names) await host.until(name, entry => entry === undefined)
})

t.test('what one says of others’ names, uuids and resources takes nothing from them', async t => {
  const thief = await watched(300, { uuid: good.uuid, name: 'good', allocations: good.allocations })
  await host.untilSo('both are there', async () => (await host.call('guests')).body.guests.length === 2)
  const { guests } = (await host.call('guests')).body
  for (const { flags } of guests) t.same(flags, ['same uuid'])
  const { conflicts } = (await host.ask('GET', '/v1/conflicts')).body
  const disk = conflicts.find(({ kind }: { kind: string }) => kind === 'disk')
  t.equal(disk.holders.length, 2, 'it is flagged')
  thief.close()
  await host.untilSo('it is over', async () => (await host.ask('GET', '/v1/conflicts')).body.conflicts.length === 0)
})

t.test('a shim that changes its mind all the time', async t => {
  const shim = await watched(400, { name: 'restless' })
  await host.until('restless', entry => entry !== undefined)
  const changes: Change[] = [
    { name: 'a' },
    { uuid: good.uuid },
    { id: -1, state: 5 },
    { persistent: false },
    { name: 'b' }
  ]
  for (let i = 0; i < 100; i++) shim.change(changes[i % changes.length]!)
  shim.change({ name: 'settled', uuid: simulatedReport(400).uuid, id: 5, state: 1, persistent: true })
  await host.until('settled', entry => entry?.id === 5)
  t.same((await host.entry('good')).flags, [])
  t.equal(host.child?.exitCode, null)
  t.notMatch(host.stderr, /"level":(50|60)|^ {4}at /m, 'no error was logged')
})
