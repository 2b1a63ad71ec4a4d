// vCPUs of a running guest: they come and go as QEMU and the guest let them, and the definition follows.
import t, { type Test } from 'tap'
import { Clock } from '../../../helper/clock.ts'
import { failureOf, type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Order, refuses } from '../../../helper/stand-in-qemu.ts'

const FOUR: GuestParts = {
  outside: "<vcpu current='1'>4</vcpu><cputune><vcpupin vcpu='2' cpuset='0'/><vcpupin vcpu='3' cpuset='0'/></cputune>",
  persistent: true
}
const LIVE = 1
const CONFIG = 2
const ASYNC_UNPLUG = 32
const ASYNC_UNPLUG_ONE = 4

const running = (t: Test, parts: GuestParts = FOUR) => StandInGuest.running(t, parts)
const xmlOf = async (guest: StandInGuest, flags = 0): Promise<string> =>
  (await guest.call('virDomainGetXMLDesc', { flags })).xml
const INACTIVE = 2

/** `id` of those that are enabled, with their order where there is one. */
function enabledIn(xml: string): string {
  const found = xml.matchAll(/<vcpu id='(\d+)' enabled='yes' hotpluggable='\w+'(?: order='(\d+)')?/g)
  return [...found].map(([, id, order]) => (order === undefined ? id : `${id}:${order}`)).join(' ')
}

const enabled = async (guest: StandInGuest) => enabledIn(await xmlOf(guest))
const removed = (guest: StandInGuest) =>
  guest.told.filter(([event]) => event === 'VCPU_REMOVED').map(([, fields]) => (fields as { vcpuid: number }).vcpuid)

t.test('some come and go', async t => {
  const guest = await running(t)
  await guest.call('virDomainSetVcpus', { nvcpus: 3 })
  t.equal(await enabled(guest), '0:1 1:2 2:3')
  t.match((await guest.status())?.xml, /<vcpu placement='static' current='3'>4</)
  t.equal((await guest.call('virDomainGetVcpusFlags', { flags: LIVE })).num, 3)
  t.equal((await guest.call('virDomainGetVcpus')).info.length, 3)
  await guest.call('virDomainSetVcpu', { vcpumap: '1', state: 0, flags: LIVE })
  await guest.call('virDomainSetVcpu', { vcpumap: '3', state: 1, flags: LIVE })
  t.equal(await enabled(guest), '0:1 2:2 3:3', 'in the order in which they came')
  t.same(removed(guest), [1])
  await guest.call('virDomainSetVcpusFlags', { nvcpus: 1, flags: LIVE | CONFIG })
  t.equal(await enabled(guest), '0:1')
  t.same(removed(guest), [1, 3, 2])
  t.match(await xmlOf(guest), /<vcpupin vcpu='2'/, 'pins stay with those that may come again')
  t.match(await xmlOf(guest, INACTIVE), /<vcpu placement='static' current='1'>4</)
})

t.test('the guest keeps one, and gives it up later', async t => {
  const guest = await running(t)
  await guest.call('virDomainSetVcpus', { nvcpus: 2 })
  const clock = new Clock(t)
  const { device_del: unplug } = guest.qemu.peer.defaults as { device_del(order: Order): void }
  guest.qemu.answers.device_del = {}
  const failed = guest.failureOf('virDomainSetVcpus', { nvcpus: 1 })
  const order = await guest.qemu.peer.told('device_del')
  clock.pass(5000)
  t.equal(
    await failed,
    'VIR_ERR_OPERATION_TIMEOUT VIR_FROM_QEMU: Timed out during operation: vcpu unplug request timed out. Unplug result must be manually inspected in the domain'
  )
  t.equal(await enabled(guest), '0:1 1:2', 'it is still there')
  unplug(order)
  await guest.untilTold('VCPU_REMOVED')
  t.equal(await enabled(guest), '0:1')
  t.same(removed(guest), [1])
})

t.test('the guest refuses', async t => {
  const guest = await running(t)
  await guest.call('virDomainSetVcpus', { nvcpus: 2 })
  guest.qemu.answers.device_del = (order: Order) => {
    order.reply()
    order.peer.event('DEVICE_UNPLUG_GUEST_ERROR', { device: 'vcpu1', path: '/machine/peripheral/vcpu1' })
  }
  t.equal(
    await guest.failureOf('virDomainSetVcpus', { nvcpus: 1 }),
    'VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: unplug of device was rejected by the guest'
  )
  t.same(
    guest.told.filter(([event]) => event === 'DEVICE_REMOVAL_FAILED'),
    [['DEVICE_REMOVAL_FAILED', { devAlias: 'vcpu1' }]]
  )
  t.equal(await enabled(guest), '0:1 1:2')
})

t.test('QEMU has it no more', async t => {
  const guest = await running(t)
  await guest.call('virDomainSetVcpus', { nvcpus: 2 })
  const { device_del: unplug } = guest.qemu.peer.defaults as { device_del(order: Order): void }
  guest.qemu.answers.device_del = (order: Order) => {
    unplug(Object.assign(Object.create(order), { reply() {} }))
    order.refuse("Device 'vcpu1' not found", 'DeviceNotFound')
  }
  await guest.call('virDomainSetVcpus', { nvcpus: 1 })
  t.equal(await enabled(guest), '0:1')
})

t.test('nobody waits for the guest', async t => {
  const guest = await running(t)
  await guest.call('virDomainSetVcpus', { nvcpus: 3 })
  const { device_del: unplug } = guest.qemu.peer.defaults as { device_del(order: Order): void }
  guest.qemu.answers.device_del = {}
  await guest.call('virDomainSetVcpusFlags', { nvcpus: 2, flags: LIVE | ASYNC_UNPLUG })
  await guest.call('virDomainSetVcpu', { vcpumap: '1', state: 0, flags: LIVE | ASYNC_UNPLUG_ONE })
  t.equal(await enabled(guest), '0:1 1:2 2:3')
  unplug(await guest.qemu.peer.told('device_del'))
  unplug(await guest.qemu.peer.told('device_del'))
  while (removed(guest).length < 2) await new Promise(resolve => setImmediate(resolve))
  t.same(removed(guest).sort(), [1, 2])
  t.equal(await enabled(guest), '0:1')
})

t.test('QEMU refuses one of several', async t => {
  const guest = await running(t)
  const { device_add: plug } = guest.qemu.peer.defaults as { device_add(order: Order): void }
  guest.qemu.answers.device_add = (order: Order) => (order.args.id === 'vcpu2' ? order.refuse('no') : plug(order))
  t.match(await guest.failureOf('virDomainSetVcpusFlags', { nvcpus: 4, flags: LIVE | CONFIG }), /'device_add': no$/)
  t.equal(await enabled(guest), '0:1 1:2', 'the definition has what QEMU has')
  t.match(await xmlOf(guest, INACTIVE), /current='1'>4</, 'the persistent one is as it was')
})

t.test('what QEMU has done without a word', async t => {
  const guest = await running(t)
  guest.qemu.answers.device_add = {}
  t.equal(
    await guest.failureOf('virDomainSetVcpus', { nvcpus: 2 }),
    "VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: qemu didn't report thread id for vcpu '1'"
  )
  delete guest.qemu.answers.device_add
  await guest.call('virDomainSetVcpus', { nvcpus: 2 })
  guest.qemu.answers.device_del = (order: Order) => {
    order.reply()
    order.peer.event('DEVICE_DELETED', { device: 'vcpu1', path: '' })
  }
  t.equal(
    await guest.failureOf('virDomainSetVcpus', { nvcpus: 1 }),
    "VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: qemu reported thread id for inactive vcpu '1'"
  )
  t.equal(await enabled(guest), '0:1 1:2')
})

t.test('who takes the guest over asks QEMU', async t => {
  const guest = await running(t)
  const { status } = await guest.status().then(status => ({ status: status! }))
  await guest.call('virDomainSetVcpus', { nvcpus: 3 })
  guest.leave()
  await guest.takeOver({ xml: status.xml })
  t.equal(await enabled(guest), '0:1 1:2 2:3', 'plugged, and not saved')
  t.equal((await guest.call('virDomainGetVcpus')).info.length, 3)
  const plugged = (await guest.status())!
  await guest.call('virDomainSetVcpus', { nvcpus: 2 })
  guest.leave()
  guest.forget()
  await guest.takeOver({ xml: plugged.xml })
  t.equal(await enabled(guest), '0:1 1:2', 'given up, and not saved')
  t.notOk(guest.qemu.peer.commands.includes('device_add'), 'it is not plugged again')
  guest.leave()
  guest.qemu.answers['query-hotpluggable-cpus'] = refuses()
  t.equal(await guest.takeOver(), true, 'a guest whose QEMU does not tell is taken over all the same')
})

/** Four vCPUs of which two come and go together. */
const PAIRS = ['/machine/unattached/device[0]', undefined].map((path, core) => ({
  type: 'host-powerpc64-cpu',
  props: { 'core-id': core * 8 },
  'vcpus-count': 2,
  ...(path !== undefined && { 'qom-path': path })
}))
const THREADS = [0, 1].map(i => ({
  'cpu-index': i,
  'thread-id': process.pid,
  'qom-path': `/machine/unattached/device[0]/thread[${i}]`
}))

t.test('vCPUs that come and go together', async t => {
  const outside = "<vcpu current='2'>4</vcpu>"
  const guest = await running(t, { outside, answers: { 'query-hotpluggable-cpus': PAIRS, 'query-cpus-fast': THREADS } })
  const set = (vcpumap: string) => guest.failureOf('virDomainSetVcpu', { vcpumap, state: 1, flags: LIVE })
  t.equal(
    await guest.failureOf('virDomainSetVcpus', { nvcpus: 3 }),
    'VIR_ERR_CONFIG_UNSUPPORTED VIR_FROM_QEMU: unsupported configuration: target vm vcpu granularity does not allow the desired vcpu count'
  )
  t.match(await set('3'), /vcpu '3' belongs to a larger hotpluggable entity, but siblings were not selected$/)
  t.match(
    await set('2'),
    /vcpu '3' was not selected but it belongs to hotpluggable entity '2-3' which was partially selected$/
  )
  guest.qemu.answers.device_add = (order: Order) => {
    guest.qemu.answers['query-hotpluggable-cpus'] = [PAIRS[0], { ...PAIRS[1], 'qom-path': '/machine/peripheral/vcpu2' }]
    const more = [2, 3].map(i => ({
      'cpu-index': i + 6,
      'thread-id': process.pid,
      'qom-path': `/machine/peripheral/vcpu2/thread[${i - 2}]`
    }))
    guest.qemu.answers['query-cpus-fast'] = [...THREADS, ...more]
    order.reply()
  }
  t.equal(await set('2-3'), '')
  t.match(guest.qemu.peer.orders.find(({ command }) => command === 'device_add')?.args, { id: 'vcpu2', 'core-id': 8 })
  t.equal(await enabled(guest), '0:1 1:1 2:2 3:2')
  t.same(
    (await guest.call('virDomainGetVcpus')).info.map(({ number }: { number: number }) => number),
    [0, 1, 2, 3]
  )
})

t.test('a list of vCPUs that QEMU cannot follow', async t => {
  const on = "enabled='yes' hotpluggable='yes'"
  const outside = (second: string, third: string) => `<vcpu current='3'>3</vcpu><vcpus>
    <vcpu id='0' enabled='yes' hotpluggable='no' order='1'/><vcpu id='1' ${second}/><vcpu id='2' ${third}/></vcpus>`
  const started = async (xml: string) => {
    const guest = await StandInGuest.make(t, { outside: xml })
    return { guest, failure: await failureOf(() => guest.start()) }
  }
  t.match((await started(outside(`${on} order='2'`, `${on} order='2'`))).failure, /duplicate vcpu order '2'$/)
  t.match((await started(outside(`${on} order='2'`, `${on} order='4'`))).failure, /vcpu order '4' exceeds vcpu count$/)
  const { guest, failure } = await started(outside(`${on} order='3'`, `${on} order='2'`))
  t.equal(failure, '')
  t.equal(await enabled(guest), '0:1 1:3 2:2')
})
