// IOThreads of a running guest: made, removed and changed wholly or not at all.
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Order, refuses } from '../../../helper/stand-in-qemu.ts'

const TWO: GuestParts = {
  outside: `<vcpu>1</vcpu><iothreads>2</iothreads><cputune><iothreadpin iothread='2' cpuset='0'/>
    <iothreadsched iothreads='2' scheduler='batch'/></cputune>`,
  persistent: true
}
const BOTH = 3
const INACTIVE = 2

const running = (t: Test, parts: GuestParts = TWO) => StandInGuest.running(t, parts)
const xmlOf = async (guest: StandInGuest, flags = 0): Promise<string> =>
  (await guest.call('virDomainGetXMLDesc', { flags })).xml
const idsOf = async (guest: StandInGuest) =>
  (await guest.call('virDomainGetIOThreadInfo')).info.map((one: { iothread_id: number }) => one.iothread_id)

/** The next persistent definition cannot be saved. */
function unsaved(guest: StandInGuest): () => void {
  rmSync(guest.root.definition)
  mkdirSync(guest.root.definition)
  return () => rmSync(guest.root.definition, { recursive: true })
}

t.test('one comes and one goes', async t => {
  const guest = await running(t)
  await guest.call('virDomainAddIOThread', { iothread_id: 7, flags: BOTH })
  t.same(await idsOf(guest), [1, 2, 7])
  t.match((await guest.status())?.xml, /<iothread id='7'\/>/)
  await guest.call('virDomainDelIOThread', { iothread_id: 2, flags: BOTH })
  t.same(await idsOf(guest), [1, 7])
  for (const flags of [0, INACTIVE])
    t.notMatch(await xmlOf(guest, flags), /iothread(pin|sched)/, 'nor what was said of it')
})

t.test('one in use stays', async t => {
  const devices = `<disk type='file' device='disk'><driver name='qemu' iothread='1'/><source file='@/disk.img'/>
      <target dev='vda' bus='virtio'/></disk>
    <controller type='scsi' model='virtio-scsi'><driver iothread='2'/></controller>`
  const guest = await running(t, { ...TWO, devices, files: { 'disk.img': 'x'.repeat(4096) } })
  const failed = (iothread_id: number) => guest.failureOf('virDomainDelIOThread', { iothread_id })
  t.match(await failed(1), /cannot remove IOThread 1 since it is being used by disk 'vda'$/)
  t.match(await failed(2), /cannot remove IOThread '2' since it is being used by controller$/)
  t.same(guest.qemu.peer.commands, [])
})

t.test('one that QEMU makes without a word, and one that cannot be saved', async t => {
  const guest = await running(t)
  guest.qemu.answers['query-iothreads'] = [{ id: 'mine', 'thread-id': 1 }]
  const group = join(guest.dir, 'iothread7')
  mkdirSync(group)
  guest.domain.running.cgroups = [guest.dir]
  t.match(
    await guest.failureOf('virDomainAddIOThread', { iothread_id: 7 }),
    /cannot find new IOThread '7' in QEMU monitor\.$/
  )
  guest.domain.running.cgroups = []
  delete guest.qemu.answers['query-iothreads']
  t.same(await idsOf(guest), [1, 2], 'it is taken back')
  t.notOk(existsSync(group), 'with the group that was made for it')
  const restore = unsaved(guest)
  t.match(await guest.failureOf('virDomainAddIOThread', { iothread_id: 7, flags: BOTH }), /^VIR_ERR_SYSTEM_ERROR /)
  t.same(await idsOf(guest), [1, 2])
  t.match(await guest.failureOf('virDomainDelIOThread', { iothread_id: 1, flags: BOTH }), /^VIR_ERR_SYSTEM_ERROR /)
  t.same((await idsOf(guest)).sort(), [1, 2], 'it is made again')
  restore()
  t.match(await xmlOf(guest), /<iothreads>2</)
})

/** Properties of iothread1 in QEMU. */
function propertiesOf(guest: StandInGuest, properties: Record<string, number>) {
  guest.qemu.answers['qom-get'] = (order: Order) => order.reply(properties[order.args.property])
  guest.qemu.answers['qom-set'] = (order: Order) => {
    properties[order.args.property] = order.args.value
    order.reply()
  }
  return properties
}

t.test('settings', async t => {
  const guest = await running(t)
  const properties = propertiesOf(guest, { 'thread-pool-min': 0, 'thread-pool-max': 4, 'poll-max-ns': 32768 })
  const set = (params: object, flags = 0) =>
    guest.failureOf('virDomainSetIOThreadParams', { iothread_id: 1, params, flags })
  t.equal(await set({ thread_pool_min: 8, thread_pool_max: 16, poll_max_ns: 5 }, BOTH), '')
  const order = guest.qemu.peer.orders.filter(({ command }) => command === 'qom-set').map(({ args }) => args.property)
  t.same(order, ['poll-max-ns', 'thread-pool-max', 'thread-pool-min'], 'the least is never above the greatest')
  t.same(properties, { 'thread-pool-min': 8, 'thread-pool-max': 16, 'poll-max-ns': 5 })
  for (const flags of [0, INACTIVE]) {
    t.match(await xmlOf(guest, flags), /<iothread id='1' thread_pool_min='8' thread_pool_max='16'>\s*<poll max='5'\/>/)
  }
  const before = { ...properties }
  const { 'qom-set': store } = guest.qemu.answers as { 'qom-set'(order: Order): void }
  guest.qemu.answers['qom-set'] = (order: Order) =>
    order.args.property === 'thread-pool-max' && order.args.value === 9 ? order.refuse('no') : store(order)
  t.match(await set({ poll_max_ns: 6, thread_pool_min: 2, thread_pool_max: 9 }), /'qom-set': no$/)
  t.same(properties, before, 'what was set is set back')
  const restore = unsaved(guest)
  t.match(await set({ poll_max_ns: 7 }, BOTH), /^VIR_ERR_SYSTEM_ERROR /)
  t.same(properties, before)
  restore()
  t.match(await xmlOf(guest), /<poll max='5'\/>/)
})

t.test('who takes the guest over asks QEMU', async t => {
  const guest = await running(t)
  const saved = (await guest.status())!
  await guest.call('virDomainAddIOThread', { iothread_id: 7 })
  await guest.call('virDomainDelIOThread', { iothread_id: 2 })
  guest.leave()
  await guest.takeOver({ xml: saved.xml })
  const xml = await xmlOf(guest)
  t.match(xml, /<iothread id='1'\/>\s*<iothread id='7'\/>/)
  t.notMatch(xml, /iothreadpin/)
  t.match((await guest.status())?.xml, /<iothread id='7'\/>/)
  guest.leave()
  guest.qemu.answers['query-iothreads'] = refuses()
  t.equal(await guest.takeOver(), true, 'a guest whose QEMU does not tell is taken over all the same')
})
