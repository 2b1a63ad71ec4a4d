// Addresses of a guest's interfaces as its network knows them: virsh says the same on a guest of libvirtd and on an equal
// one of a shim. The leases are in the file that libvirt's leases helper writes. And as the host's neighbour table does.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { secondaryDrivers } from '../../src/server/secondary-drivers.ts'
import { AggregatorRun } from '../helper/aggregator.ts'
import { Daemons } from '../helper/libvirtd.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const NAME = `t-lease-${process.pid}`
const BRIDGE = `tlse${process.pid % 100_000}`
const STATUS = `/var/lib/libvirt/dnsmasq/${BRIDGE}.status`
const SUBNET = `10.${process.pid % 200}.77`
/** one with two leases, one with none, one on another kind of network, one whose lease is over */
const MACS = ['01', '02', '03', '04'].map(last => `52:54:00:7a:44:${last}`)
const [LEASED = '', , OTHER = '', LATE = ''] = MACS

const dir = mkdtempSync(join(tmpdir(), 'virshim-leases-'))
const daemons = new Daemons(dir)

function run(program: string, ...words: string[]) {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', timeout: 60_000 })
  return { status, out: stdout, err: stderr }
}

/** Runs virsh on libvirtd, which on a machine where others use it may be on its way up again. */
function libvirtd(...words: string[]) {
  for (;;) {
    const ran = run('virsh', '-c', 'qemu:///system', ...words)
    if (!/Failed to connect socket|client socket is closed/.test(ran.err)) return ran
  }
}

function made(command: string, xml: string): void {
  const file = join(dir, 'made.xml')
  writeFileSync(file, xml)
  const { status, err } = libvirtd(command, file)
  if (status !== 0) throw new Error(`virsh ${command}: ${err}`)
}

t.teardown(() => {
  libvirtd('destroy', NAME)
  libvirtd('net-destroy', NAME)
  daemons.end()
  rmSync(STATUS, { force: true })
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)
// without DNS and DHCP it takes no dnsmasq
made(
  'net-create',
  `<network><name>${NAME}</name><bridge name='${BRIDGE}'/><dns enable='no'/>
    <ip address='${SUBNET}.1' netmask='255.255.255.0'/>
    <ip family='ipv6' address='fd00:77::1' prefix='64'/></network>`
)
const soon = Math.floor(Date.now() / 1000) + 100_000
writeFileSync(
  STATUS,
  JSON.stringify([
    { 'ip-address': `${SUBNET}.5`, 'mac-address': LEASED, hostname: 'leased', 'expiry-time': soon },
    { 'ip-address': 'fd00:77::5', 'mac-address': LEASED, iaid: '1', 'expiry-time': soon },
    { 'ip-address': `${SUBNET}.6`, 'mac-address': OTHER, 'expiry-time': soon },
    { 'ip-address': `${SUBNET}.7`, 'mac-address': LATE, 'expiry-time': 1000 }
  ])
)
const nic = (mac: string, source = `<source network='${NAME}'/>`, type = 'network') =>
  `<interface type='${type}'><mac address='${mac}'/>${source}<model type='virtio'/></interface>`
const XML = bareGuest(NAME, MACS.map(mac => (mac === OTHER ? nic(mac, '', 'user') : nic(mac))).join(''))
// one the host has met, and one that libvirt does not look at
run('ip', 'neigh', 'replace', `${SUBNET}.9`, 'lladdr', LEASED, 'dev', BRIDGE, 'nud', 'stale')
run('ip', 'neigh', 'replace', `${SUBNET}.10`, 'lladdr', LATE, 'dev', BRIDGE, 'nud', 'permanent')

const COMMANDS = [
  'domifaddr NAME',
  'domifaddr NAME --full',
  'domifaddr NAME --interface none',
  'domifaddr NAME --source lease',
  'domifaddr NAME --source agent',
  'domhostname NAME --source lease'
]
/** Names of taps are the kernel's choice. */
const steady = (text: string) => text.replace(/vnet\d+ */g, 'TAP ')
const asked = (program: string, ...options: string[]) =>
  COMMANDS.map(line => {
    const { status, out, err } = run(program, ...options, ...line.replace('NAME', NAME).split(' '))
    return [line, status, steady(out), err]
  })

made('create', XML)
const expected = asked('virsh', '-c', 'qemu:///system')
const readOnly = asked('virsh', '-r', '-c', 'qemu:///system')
libvirtd('destroy', NAME)

await t.test('what there is to tell', async t => {
  const text = JSON.stringify(expected)
  t.match(text, `${LEASED}    ipv4         ${SUBNET}.5/24`)
  t.match(text, `ipv6         fd00:77::5/64`)
  t.match(text, 'leased')
  t.notMatch(text, `${SUBNET}.6`)
})

await t.test('a shim', async t => {
  const shim = new Shim(XML)
  t.teardown(() => shim.end())
  void shim.start()
  await shim.untilState(RUNNING)
  const at = (socket: string) => `qemu+unix:///system?socket=${join(shim.root, socket)}`
  t.same(asked('virsh', '-c', at('libvirt-sock')), expected, 'virsh')
  t.same(asked('virsh', '-r', '-c', at('libvirt-sock-ro')), readOnly, 'virsh, read-only')
  t.same(asked('bin/virshim', '-c', join(shim.root, 'api.sock')), expected, 'virshim')
  const { body } = await shim.call('virDomainInterfaceAddresses', undefined, 'api-ro.sock')
  t.match(body.ifaces, [
    {
      hwaddr: LEASED,
      addrs: [
        { type: 0, addr: `${SUBNET}.5`, prefix: 24 },
        { type: 1, addr: 'fd00:77::5', prefix: 64 }
      ]
    }
  ])
  t.equal(body.ifaces.length, 1, 'interfaces without leases are left out')
  const agent = await shim.call('virDomainInterfaceAddresses', { source: 1 }, 'api-ro.sock')
  t.match(agent.body, { code: 29, message: /read only access prevents virDomainInterfaceAddresses/ })
  // libvirtd 9.0 cannot read what newer kernels send
  const met = { status: 0, out: ` TAP ${LEASED}    ipv4         ${SUBNET}.9/0`, err: '' }
  for (const [program, socket] of [
    ['virsh', at('libvirt-sock')],
    ['bin/virshim', join(shim.root, 'api.sock')]
  ] as const) {
    const { status, out, err } = run(program, '-q', '-c', socket, 'domifaddr', NAME, '--source', 'arp')
    t.same({ status, out: steady(out).trimEnd(), err }, met, `${program}, neighbours`)
  }
  libvirtd('net-destroy', NAME)
  const gone = await shim.call('virDomainInterfaceAddresses')
  t.match(
    gone.body,
    { codeName: 'VIR_ERR_NO_NETWORK', message: /Network not found/ },
    "the driver's error is the call's"
  )
})

await t.test('without a network driver', async t => {
  const drivers = secondaryDrivers(undefined)
  await t.rejects(drivers.leases([{ network: NAME, mac: LEASED }]), {
    code: 'VIR_ERR_NO_CONNECT',
    message: 'no connection driver available for network:///system'
  })
  const host = new AggregatorRun()
  t.teardown(() => host.end())
  await host.start()
  await host.call('virDomainCreateXML', { xmlDesc: bareGuest(NAME, nic(OTHER, '', 'user')) })
  const { status, body } = await host.call(`domains/${NAME}/virDomainInterfaceAddresses`)
  t.same([status, body], [200, { ifaces: [] }], 'a guest on no network has no addresses of one')
})
