// Calls to D-Bus services by busctl: its argument words, and what comes back from a real dbus-daemon.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { argumentWords, callService, namesOnBus, refuses } from '../../src/host/bus.ts'
import { TestBus } from '../helper/host-bus.ts'

const missing = ['dbus-daemon', 'busctl'].find(program => spawnSync(program, ['--version']).status !== 0)
const skip = missing && `needs ${missing}`

t.afterEach(() => {
  delete process.env.DBUS_SYSTEM_BUS_ADDRESS
})

t.test('values as words', async t => {
  t.same(argumentWords('', []), [])
  t.same(argumentWords('su', ['-a b', 7]), ['-a b', '7'])
  t.same(argumentWords('ayai', [[1, 255], []]), ['2', '1', '255', '0'])
  t.same(argumentWords('b(sb)', [true, ['', false]]), ['true', '', 'false'])
  t.same(argumentWords('v', [{ type: 'as', value: ['x', 'y'] }]), ['as', '2', 'x', 'y'])
  t.same(argumentWords('a{sv}s', [[['k', { type: 'u', value: 1 }]], 'end']), ['1', 'k', 'u', '1', 'end'])
  const properties = [['Slice', { type: 's', value: 'a.slice' }] as const]
  t.same(argumentWords('ssa(sv)a(sa(sv))', ['u', 'fail', properties, []]), [
    ...['u', 'fail', '1', 'Slice', 's', 'a.slice', '0']
  ])
})

t.test('a call arrives as it was meant, and its answer comes back', { skip }, async t => {
  const bus = new TestBus()
  t.teardown(() => bus.end())
  process.env.DBUS_SYSTEM_BUS_ADDRESS = bus.address
  const { seen } = await bus.serve('org.virshim.Test', ({ member }) => {
    if (member === 'Refuse') return { error: 'org.virshim.Test.No', text: 'not today, nor tomorrow' }
    return member === 'Nothing' ? {} : { signature: 'sa(uv)', body: ['back', [[1, ['s', 'one']]]] }
  })
  const service = { service: 'org.virshim.Test', path: '/x', interface: 'org.virshim.Test' }
  const args = ['--help', "it's $(id)\n", [['a', { type: 'ab', value: [true, false] }]]] as const
  t.same(await callService({ ...service, member: 'All', signature: 'ssa(sv)', args: [...args] }), [
    'back',
    [[1, { type: 's', data: 'one' }]]
  ])
  t.same(seen[0]?.args, ['--help', "it's $(id)\n", [['a', [true, false]]]])
  const plain = { ...service, signature: '', args: [] }
  t.same(await callService({ ...plain, member: 'Nothing' }), [])
  const refused = { ...plain, member: 'Refuse' }
  await t.rejects(callService(refused), { name: 'ServiceError', message: 'not today, nor tomorrow' })
  t.ok((await namesOnBus()).has('org.virshim.Test'))
  t.equal(await refuses(refused), true)
  t.equal(await refuses({ ...plain, member: 'Nothing' }), false)
  t.equal(await refuses({ ...refused, service: 'org.virshim.Gone' }), false, 'nobody is there to refuse')
})

t.test('no bus', async t => {
  process.env.DBUS_SYSTEM_BUS_ADDRESS = 'unix:path=/nowhere/bus'
  await t.rejects(namesOnBus(), { name: 'NoBus' })
  process.env.DBUS_SYSTEM_BUS_ADDRESS = 'no address'
  await t.rejects(namesOnBus(), { name: 'NoBus' })
})
