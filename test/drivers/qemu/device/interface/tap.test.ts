import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import type { HostGuest } from '../../../../../src/drivers/qemu/device/family.ts'
import { removeStrayDevices } from '../../../../../src/drivers/qemu/device/interface/tap.ts'
import { define, errorOf } from '../../../../helper/definition.ts'
import { giveDevices, hostGuest, takeDevices } from '../../../../helper/host-guest.ts'

const BRIDGE = `vst${process.pid}`
const ip = (...args: string[]) => spawnSync('ip', args, { encoding: 'utf8' })

const skip =
  process.getuid?.() === 0 && existsSync('/dev/net/tun') && ip('link', 'add', BRIDGE, 'type', 'bridge').status === 0
    ? false
    : 'making network devices needs root and ip(8)'
t.teardown(() => ip('link', 'delete', BRIDGE))

const about = (device: string, file: string) => readFileSync(`/sys/class/net/${device}/${file}`, 'utf8').trim()
const onBridge = `<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='${BRIDGE}'/></interface>`

const warnings: object[] = []
const owner = async (devices: string, root: string) => hostGuest(await define(devices), root, { warnings })
const connectInterfaces = (guest: HostGuest) => takeDevices('interfaces', guest)
const namesOf = ({ def }: HostGuest) => def.devices.interfaces.map(({ target }) => target?.dev ?? '')

async function end(one: HostGuest): Promise<object[]> {
  await giveDevices('interfaces', one)
  await removeStrayDevices(one)
  return warnings.splice(0)
}

t.test('devices on a bridge and of their own come and go', { skip }, async t => {
  const own = `<interface type='ethernet'><mac address='fe:54:00:00:00:02'/><source><ip address='10.255.255.1' prefix='30'/></source><target dev='vst%d'/><mtu size='1400'/></interface>`
  const guest = await owner(onBridge + own, '/guest-a')
  await connectInterfaces(guest)
  const [first = '', second = ''] = namesOf(guest)
  t.match(first, /^vnet\d+$/)
  t.match(second, /^vst\d+$/)
  t.equal(about(first, 'address'), 'fe:54:00:00:00:01')
  t.ok(existsSync(`/sys/class/net/${BRIDGE}/brif/${first}`))
  t.equal(about(second, 'address'), 'fa:54:00:00:00:02')
  t.equal(about(second, 'mtu'), '1400')
  t.match(ip('-brief', 'address', 'show', second).stdout, '10.255.255.1/30')
  t.same(await end(guest), [])
  t.notOk(existsSync(`/sys/class/net/${first}`) || existsSync(`/sys/class/net/${second}`))
  t.same(namesOf(guest), ['', 'vst%d'], 'the user’s wish stays')
})

t.test(
  'a device has the MTU of its bridge unless it is told another, and leaves the bridge its own',
  { skip },
  async t => {
    ip('link', 'set', BRIDGE, 'mtu', '9000')
    t.teardown(() => ip('link', 'set', BRIDGE, 'mtu', '1500'))
    const small = onBridge.replace('</interface>', "<mtu size='1400'/></interface>")
    const guest = await owner(onBridge + small, '/guest-mtu')
    await connectInterfaces(guest)
    t.same(
      namesOf(guest).map(name => about(name, 'mtu')),
      ['9000', '1400']
    )
    await end(guest)
    t.equal(about(BRIDGE, 'mtu'), '9000')
  }
)

t.test('guests that start at once get devices of their own', { skip }, async t => {
  const guests = await Promise.all([0, 1, 2, 3].map(i => owner(onBridge + onBridge, `/guest-${i}`)))
  await Promise.all(guests.map(connectInterfaces))
  t.equal(new Set(guests.flatMap(namesOf)).size, 8)
  await end(guests[0]!)
  for (const name of guests.slice(1).flatMap(namesOf)) t.ok(existsSync(`/sys/class/net/${name}`), name)
  await Promise.all(guests.slice(1).map(end))
})

t.test('a name that is taken is left alone', { skip }, async t => {
  const wanted = `<interface type='ethernet'><target dev='${BRIDGE}'/></interface>`
  const guest = await owner(wanted, '/guest-b')
  t.match(
    await errorOf(() => connectInterfaces(guest)),
    `VIR_ERR_OPERATION_INVALID: Requested operation is not valid: The ${BRIDGE} interface already exists`
  )
  t.same(await end(guest), [])
  t.ok(existsSync(`/sys/class/net/${BRIDGE}`))
  t.notMatch(ip('-brief', 'link').stdout, /^vs[0-9a-f]{12}/m, 'nothing is left')
})

t.test('what needs a libvirt daemon is refused before anything is made', { skip }, async t => {
  const filtered = onBridge.replace('</interface>', "<filterref filter='f'/></interface>")
  t.match(await errorOf(async () => connectInterfaces(await owner(filtered, '/guest-c'))), 'filterref cannot be set up')
})
