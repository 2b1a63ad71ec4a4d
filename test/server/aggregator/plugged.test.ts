// What is plugged into a guest is claimed at its host's aggregator before, and given back after.
import t from 'tap'
import { virDomainState } from '../../../src/conf/enums.ts'
import { AggregatorRun } from '../../helper/aggregator.ts'

t.setTimeout(240_000)

const LIVE = 1
const { VIR_DOMAIN_PAUSED } = virDomainState

/** A guest's ACPI that never runs lets no device go. */
const guest = (name: string) => `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>${name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
  <devices><controller type='pci' model='pcie-root'/>${"<controller type='pci' model='pcie-root-port'/>".repeat(4)}
  <memballoon model='none'/></devices><qemu:commandline><qemu:arg value='-global'/>
  <qemu:arg value='ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off'/></qemu:commandline></domain>`

const card = (last: string, type = 'user', source = '') =>
  `<interface type='${type}'><mac address='52:54:00:7a:61:${last}'/>${source}<model type='virtio'/></interface>`

t.test('addresses of cards', async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start()
  for (const name of ['one', 'two']) {
    await aggregator.call('virDomainDefineXML', { xml: guest(name) })
    t.equal((await aggregator.call(`domains/${name}/virDomainCreateWithFlags`, { flags: 1 })).status, 200)
    t.equal((await aggregator.call(`domains/${name}/virDomainGetState`)).body.state, VIR_DOMAIN_PAUSED)
  }
  const change = async (api: string, name: string, xml: string) => {
    const { status, body } = await aggregator.call(`domains/${name}/virDomain${api}DeviceFlags`, { xml, flags: LIVE })
    return status === 200 ? 'done' : body.codeName
  }
  const xmlOf = async (name: string) => (await aggregator.call(`domains/${name}/virDomainGetXMLDesc`)).body.xml

  t.equal(await change('Attach', 'one', card('01')), 'done')
  const before = await xmlOf('two')
  t.equal(await change('Attach', 'two', card('01')), 'VIR_ERR_RESOURCE_BUSY')
  t.equal(await xmlOf('two'), before, 'the definition is what it was')

  t.equal(await change('Attach', 'one', card('02', 'bridge', "<source bridge='t-nosuch'/>")), 'VIR_ERR_SYSTEM_ERROR')
  // the aggregator hears of it a moment later
  const isFree = async (last: string) => (await change('Attach', 'two', card(last))) === 'done'
  await aggregator.untilSo('what failed holds nothing', () => isFree('02'))

  t.equal(await change('Detach', 'one', card('01')), 'done')
  await aggregator.untilSo('nor does what is gone', () => isFree('01'))
  t.match((await xmlOf('two')).match(/7a:61:\d\d/g), ['7a:61:02', '7a:61:01'])
})
