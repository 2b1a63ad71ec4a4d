// Guests that end with the connection of the client that started them (VIR_DOMAIN_START_AUTODESTROY).
import t from 'tap'
import { isTied } from '../../../../src/drivers/qemu/process/auto-destroy.ts'
import { failureOf, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { silent } from '../../../helper/stand-in-qemu.ts'

const TIED = { flags: ['VIR_DOMAIN_START_AUTODESTROY'] }
const CREATE = 'virDomainCreateWithFlags'

t.test('a caller without a connection that stays open is refused before anything is done', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  const starts: [api: string, args: object][] = [
    [CREATE, TIED],
    ['virDomainCreateXML', { ...TIED, xmlDesc: guest.xml }],
    ['virDomainCreateLinux', { ...TIED, xmlDesc: guest.xml }]
  ]
  for (const [api, args] of starts) {
    t.match(await guest.failureOf(api, args), new RegExp(`^VIR_ERR_INVALID_ARG .* in ${api} needs a connection`))
    t.equal(await guest.state(), 'SHUTOFF UNKNOWN')
  }
  t.equal(await guest.failureOf(CREATE, { flags: [] }), '', 'a start that is not tied needs none')
})

t.test('the connection closes', async t => {
  const starts: [api: string, args: (xml: string) => object][] = [
    [CREATE, () => TIED],
    ['virDomainCreateXML', xmlDesc => ({ ...TIED, xmlDesc })]
  ]
  for (const [api, args] of starts) {
    const guest = await StandInGuest.make(t, { persistent: true })
    const client = new AbortController()
    await guest.call(api, args(guest.xml), client.signal)
    t.ok(isTied(guest.domain))
    guest.forget()
    client.abort()
    await guest.ended()
    t.equal(await guest.state(), 'SHUTOFF DESTROYED', api)
    t.same(guest.lifecycle, ['STOPPED DESTROYED'])
    t.notOk(isTied(guest.domain))
    await guest.qemu.gone()
  }
})

t.test('it closes while the guest is started', async t => {
  const guest = await StandInGuest.make(t, { persistent: true, answers: { cont: silent } })
  const client = new AbortController()
  const started = failureOf(() => guest.call(CREATE, TIED, client.signal))
  const order = await guest.qemu.peer.told('cont')
  client.abort()
  order.peer.event('RESUME')
  order.reply()
  t.equal(await started, '', 'the start is not held up')
  await guest.untilState('SHUTOFF DESTROYED')
  t.same(guest.lifecycle.slice(-2), ['STARTED BOOTED', 'STOPPED DESTROYED'])
})

t.test('it closes while something else is done to the guest', async t => {
  const guest = await StandInGuest.make(t, { persistent: true, answers: { stop: silent } })
  const client = new AbortController()
  await guest.call(CREATE, TIED, client.signal)
  const suspended = guest.failureOf('virDomainSuspend')
  await guest.qemu.peer.told('stop')
  client.abort()
  await guest.untilState('SHUTOFF DESTROYED')
  t.not(await suspended, '')
})

t.test('a tie is of one run', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  const [first, second] = [new AbortController(), new AbortController()]
  await guest.call(CREATE, TIED, first.signal)
  await guest.call('virDomainDestroy')
  await guest.call(CREATE, TIED, second.signal)
  first.abort()
  t.equal(await guest.failureOf('virDomainSuspend'), '')
  t.equal(await guest.state(), 'PAUSED USER', 'the client of an earlier run is nobody to this one')
  second.abort()
  await guest.untilState('SHUTOFF DESTROYED')
})

t.test('the client of a start that is not tied goes', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  const client = new AbortController()
  await guest.call(CREATE, {}, client.signal)
  client.abort()
  t.equal(await guest.failureOf('virDomainSuspend'), '')
  t.equal(await guest.state(), 'PAUSED USER')
})

t.test('whoever takes the guest over knows of no tie', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  await guest.call(CREATE, TIED, new AbortController().signal)
  guest.leave()
  t.equal(await guest.takeOver(), true)
  t.notOk(isTied(guest.domain))
  t.equal(await guest.state(), 'RUNNING BOOTED')
})
