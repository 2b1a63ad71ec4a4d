// A run from another definition than the one that is kept (virDomainCreateXML).
import t from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { refuses } from '../../../helper/stand-in-qemu.ts'

const create = (guest: StandInGuest, xmlDesc: string, flags: string[] = []) =>
  guest.failureOf('virDomainCreateXML', { xmlDesc, flags })
const other = (guest: StandInGuest) => guest.xml.replace('</name>', '</name><title>of this run</title>')

const titleOf = (guest: StandInGuest, flags: string[] = []) =>
  guest.call('virDomainGetMetadata', { type: 1, flags }).then(
    ({ metadata }) => metadata,
    () => undefined
  )

t.test('the guest has it for one run', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  const { dom } = await guest.call('virDomainCreateXML', { xmlDesc: other(guest), flags: ['VIR_DOMAIN_START_PAUSED'] })
  t.match(dom, { name: 't-stand-in', id: 1 })
  t.equal(await guest.state(), 'PAUSED USER')
  t.equal(await titleOf(guest), 'of this run')
  t.equal(await titleOf(guest, ['VIR_DOMAIN_AFFECT_CONFIG']), undefined, 'the next start has its own')
  guest.leave()
  await guest.takeOver()
  t.equal(await titleOf(guest), 'of this run', 'for whoever takes it over, too')
  await guest.call('virDomainDestroy')
})

t.test('its own definition is back when the run is over, or never was', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  t.equal(await create(guest, other(guest)), '')
  await guest.call('virDomainDestroy')
  t.equal(await titleOf(guest), undefined)
  guest.qemu.answers.cont = refuses('no')
  t.match(await create(guest, other(guest)), /'cont': no$/)
  t.equal(await titleOf(guest), undefined)
  t.equal(await guest.state(), 'SHUTOFF FAILED')
  t.same(guest.leftovers, ['domain.xml'])
  guest.qemu.behave()
  await guest.start()
  t.equal(await titleOf(guest), undefined)
})

t.test('what cannot be created', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  const cases: [what: string, change: (xml: string) => string, error: RegExp][] = [
    ['no XML', () => '<domain', /^VIR_ERR_XML_DETAIL VIR_FROM_DOMAIN: /],
    ['nothing', () => '', /^VIR_ERR_XML_ERROR |^VIR_ERR_XML_DETAIL /],
    [
      'another name',
      xml => xml.replace('t-stand-in', 'other'),
      /^VIR_ERR_OPERATION_FAILED VIR_FROM_DOMAIN: .* is already defined with uuid/
    ],
    [
      'another uuid',
      xml => xml.replace('00000a<', '00000b<'),
      /^VIR_ERR_OPERATION_FAILED VIR_FROM_DOMAIN: .* already exists with uuid/
    ],
    [
      'another guest',
      xml => xml.replace('t-stand-in', 'other').replace('00000a<', '00000b<'),
      /^VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_QEMU: .* this process serves only domain 't-stand-in'/
    ],
    [
      'a machine there is not',
      xml => xml.replace("machine='pc'", "machine='pc-0.0'"),
      /^VIR_ERR_(CONFIG_UNSUPPORTED|INVALID_ARG) /
    ]
  ]
  for (const [what, change, error] of cases) {
    t.match(await create(guest, change(guest.xml)), error, what)
    t.match(await guest.failureOf('virDomainDefineXML', { xml: change(guest.xml) }), error, `${what}: nor defined`)
    t.equal(await guest.state(), 'SHUTOFF UNKNOWN')
    t.same(guest.leftovers, ['domain.xml'])
  }
  t.equal(guest.qemu.launches, 0)
  await guest.start()
  t.match(await create(guest, guest.xml), /^VIR_ERR_OPERATION_INVALID .* domain 't-stand-in' is already active$/)
  t.equal(await guest.state(), 'RUNNING BOOTED')
})
