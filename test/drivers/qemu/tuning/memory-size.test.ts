// The balloon and what the definition says of it.
import { writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { failureOf, type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Order, refuses, silent } from '../../../helper/stand-in-qemu.ts'

const SMALLER: GuestParts = {
  outside: "<vcpu>1</vcpu><currentMemory unit='MiB'>48</currentMemory>",
  devices: "<memballoon model='virtio'/>",
  persistent: true
}
const MIB = 1024 * 1024
const xmlOf = async (guest: StandInGuest): Promise<string> => (await guest.call('virDomainGetXMLDesc')).xml
const told = (guest: StandInGuest, command: string) =>
  guest.qemu.peer.orders.filter(order => order.command === command).map(({ args }) => args)
const running = (t: Test, parts: GuestParts = SMALLER) => StandInGuest.running(t, parts)

t.test('a start takes what the definition takes', async t => {
  const guest = await StandInGuest.make(t, SMALLER)
  await guest.start()
  t.same(told(guest, 'balloon'), [{ value: 48 * MIB }])
  t.match(await xmlOf(guest), /<currentMemory unit='KiB'>65536</, 'which is nothing before it runs')
  const refused = await StandInGuest.make(t, { ...SMALLER, persistent: false, answers: { balloon: refuses('no') } })
  t.match(await failureOf(() => refused.start()), /'balloon': no$/)
  t.same(refused.leftovers, [])
})

t.test('the guest gives memory back', async t => {
  const guest = await running(t)
  await guest.call('virDomainSetMemory', { memory: 32 * 1024 })
  t.same(told(guest, 'balloon'), [{ value: 32 * MIB }])
  t.match(await xmlOf(guest), /<currentMemory unit='KiB'>65536</, 'when it likes')
  guest.qemu.peer.event('BALLOON_CHANGE', { actual: 40 * MIB })
  await guest.untilTold('BALLOON_CHANGE')
  t.match(await xmlOf(guest), /<currentMemory unit='KiB'>40960</)
  guest.leave()
  guest.qemu.answers['query-balloon'] = { actual: 32 * MIB }
  await guest.takeOver()
  t.match(await xmlOf(guest), /<currentMemory unit='KiB'>32768</, 'also while no shim listens')
  t.equal((await guest.call('virDomainGetInfo')).memory, 32768n)
})

t.test('a QEMU that cannot', async t => {
  const guest = await running(t)
  for (const cls of ['DeviceNotActive', 'KVMMissingCap']) {
    guest.qemu.answers.balloon = refuses('no', cls)
    t.equal(
      await guest.failureOf('virDomainSetMemory', { memory: 1024 }),
      'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: Unable to change memory of active domain without the balloon device and guest OS balloon driver'
    )
  }
  guest.qemu.answers['qom-set'] = refuses()
  t.equal(
    await guest.failureOf('virDomainSetMemoryStatsPeriod', { period: 3, flags: 3 }),
    'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: unable to set balloon driver collection period'
  )
  t.notMatch(await xmlOf(guest), /<stats period/)
  t.notMatch((await guest.call('virDomainGetXMLDesc', { flags: 2 })).xml, /<stats period/)
})

t.test('what QEMU writes of the memory', async t => {
  const guest = await running(t)
  guest.qemu.answers.memsave = (order: Order) => {
    writeFileSync(order.args.filename, 'half')
    order.reply()
  }
  const peek = () => guest.call('virDomainMemoryPeek', { start: 7, size: 6, flags: 1 })
  const { buffer } = await peek()
  t.equal(Buffer.from(buffer, 'base64').toString('latin1'), 'half\0\0', 'the rest is zero')
  t.match(told(guest, 'memsave'), [{ val: 7, size: 6 }])
  const before = guest.leftovers
  guest.qemu.answers.memsave = silent
  peek().catch(() => undefined)
  await guest.qemu.peer.told('memsave')
  await guest.qemu.peer.told('memsave')
  t.equal(guest.leftovers.length, before.length + 1)
  guest.leave()
  await guest.takeOver()
  t.same(guest.leftovers, before, 'the next shim removes what a killed one has left')
  t.match(
    await guest.failureOf('virDomainMemoryPeek', { start: 0, size: 4 * MIB + 1, flags: 2 }),
    /size > maximum buffer size$/
  )
})

t.test('sizes that are none', async t => {
  const guest = await running(t)
  t.match(await guest.failureOf('virDomainSetMemory', { memory: 0 }), /memory in virDomainSetMemory must not be zero$/)
  t.match(
    await guest.failureOf('virDomainSetMemoryFlags', { memory: 2 ** 53 - 1, flags: 4 }),
    /^VIR_ERR_OVERFLOW VIR_FROM_DOMAIN: numerical overflow: input too large: 9007199254740991$/
  )
})
