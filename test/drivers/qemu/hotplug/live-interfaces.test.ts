// Cards of paused guests attached, detached and updated by libvirtd and by a shim.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CONFIG, compareLive, LIVE, type LiveCase } from '../../../helper/live-steps.ts'

t.setTimeout(600_000)

const canMakeTaps = process.getuid?.() === 0 && existsSync('/dev/net/tun') && spawnSync('ip', ['-V']).status === 0

const guest = (devices: string, machine = 'q35') =>
  `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><memory unit='MiB'>64</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='${machine}'>hvm</type></os><features><acpi/></features>
    <devices>${devices}<memballoon model='none'/></devices>
    ${machine === 'q35' ? NATIVE : ''}</domain>`

/** A guest's ACPI that never runs lets no device go. */
const NATIVE = `<qemu:commandline><qemu:arg value='-global'/>
  <qemu:arg value='ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off'/></qemu:commandline>`

const ports = (count: number) =>
  "<controller type='pci' model='pcie-root'/>" +
  Array.from({ length: count }, () => "<controller type='pci' model='pcie-root-port'/>").join('')

const mac = (last: string) => `<mac address='52:54:00:00:00:${last}'/>`
const nic = (type: string, inside: string, model = 'virtio') =>
  `<interface type='${type}'>${inside}${model && `<model type='${model}'/>`}</interface>`
const user = (last: string, more = '', model = 'virtio') => nic('user', mac(last) + more, model)
const tap = (last: string, more = '', model = 'virtio') => nic('ethernet', mac(last) + more, model)

const [ONE, TWO] = [`vsa${process.pid}`, `vsb${process.pid}`]
const onBridge = (last: string, bridge: string, more = '') =>
  nic('bridge', `${mac(last)}<source bridge='${bridge}'/>${more}`)

const onNetwork = (last: string, name: string, more = '') =>
  nic('network', `${mac(last)}<source network='t-live-${name}-${process.pid}'/>${more}`)
const onDevice = (last: string, dev: string, mode = 'bridge', more = '') =>
  nic('direct', `${mac(last)}<source dev='${dev}' mode='${mode}'/>${more}`)

const cases: LiveCase[] = [
  {
    name: 'cards of user mode',
    guest: guest(user('01') + ports(5)),
    steps: [
      ['+', nic('server', `${mac('07')}<source address='127.0.0.1' port='5558'/>`)],
      [
        '+',
        nic(
          'udp',
          `${mac('07')}<source address='127.0.0.1' port='5558'><local address='127.0.0.1' port='5559'/></source>`
        )
      ],
      ['+', nic('internal', `${mac('07')}<source name='one'/>`)],
      ['+', nic('null', mac('07'))],
      ['+', nic('network', `${mac('07')}<source network='t-nonesuch'/>`)],
      ['+', nic('bridge', `${mac('07')}<source bridge='t-nonesuch'/>`)],
      ['+', nic('direct', `${mac('07')}<source dev='t-nonesuch' mode='bridge'/>`)],
      ['+', user('07', "<source dev='eth0'/><driver queues='2'/>")],
      ['+', user('07', "<filterref filter='clean-traffic'/>")],
      ['+', user('07', "<vlan><tag id='5'/></vlan>")],
      ['+', user('02')],
      ['+', user('03', "<link state='down'/><alias name='ua-down'/>"), LIVE | CONFIG],
      ['+', user('04', '', 'e1000e')],
      ['+', user('05', '', 'nonesuch')],
      ['+', user('05', "<alias name='ua-down'/>")],
      ['+', user('05', "<boot order='1'/>")],
      ['+', user('06', "<boot order='1'/>")],
      ['+', nic('vhostuser', `${mac('07')}<source type='unix' path='/nowhere/sock' mode='client'/>`)],
      ['+', user('07', "<mtu size='1400'/>")],
      ['+', user('07', "<address type='pci' bus='0' slot='0x1f' function='2'/>")],
      ['+', user('07', "<address type='pci' bus='0x30' slot='0' function='0'/>")],
      ['+', user('07', "<rom bar='off'/>")],
      ['+', user('08')],
      ['+', '<interface type="user"><mac address="33:33:33:33:33:33"/></interface>'],
      ['-', user('09')],
      ['-', '<interface type="user"/>'],
      ['-', "<interface type='user'><mac address='52:54:00:00:00:03'/><alias name='ua-other'/></interface>"],
      ['-', user('03'), LIVE | CONFIG],
      ['-', user('02')],
      ['-', user('02')],
      ['-alias', 'net1'],
      ['-alias', 'nonesuch']
    ]
  },
  {
    name: 'cards that this host or guest cannot have',
    guest: guest(user('01') + ports(3)),
    steps: [
      ['+', nic('vdpa', `${mac('02')}<source dev='/dev/vhost-vdpa-nonesuch'/>`)],
      ['+', user('02', "<backend type='passt'/>")],
      ['+', nic('ethernet', `${mac('02')}<target dev='t-nonesuch' managed='no'/>`)],
      ['+', nic('ethernet', `${mac('02')}<target managed='no'/>`)],
      ['+', nic('ethernet', `${mac('02')}<virtualport type='openvswitch'/>`)],
      [
        '+',
        nic(
          'vds',
          `${mac('02')}<source switchid='12345678-1234-1234-1234-123456789abc' portid='6' portgroupid='pg' connectionid='12'/>`
        )
      ],
      ['+', user('02', '', 'usb-net')],
      ['-', user('02', '', 'usb-net')],
      ['+', user('02', "<driver iommu='on' ats='on'/>")],
      ['+', user('03', "<mtu size='1400'/>")],
      ['+', user('03', "<coalesce><rx><frames max='7'/></rx></coalesce>")],
      ['+', user('03', "<teaming type='transient' persistent='ua-x'/>")],
      ['+', user('03', "<teaming type='persistent'/>")],
      ['+', user('04', "<ip family='ipv4' address='172.17.2.0' prefix='24'/>")],
      ['-', user('03')],
      ['-', user('04')],
      [
        '-',
        "<interface type='user'><mac address='52:54:00:00:00:02'/><address type='pci' domain='0' bus='7' slot='0' function='0'/></interface>"
      ],
      ['-', user('02')]
    ]
  },
  {
    name: 'changes of cards of user mode',
    guest: guest(user('01') + user('02', "<boot order='2'/><rom bar='on'/>", 'e1000e')),
    steps: [
      ['~', user('01', "<link state='down'/>")],
      ['~', user('01', "<link state='down'/>"), LIVE | CONFIG],
      ['~', user('01', "<link state='up'/>")],
      ['~', user('01')],
      ['~', user('09')],
      ['~', user('01', '', 'e1000')],
      ['~', user('01', '', '')],
      ['~', user('01', '', 'nonesuch')],
      ['~', user('01', "<driver queues='4'/>")],
      ['~', user('01', "<driver name='vhost'/>")],
      ['~', user('01', "<driver ats='on'/>")],
      ['~', user('01', '<tune><sndbuf>1000</sndbuf></tune>')],
      ['~', user('01', "<script path='/bin/true'/>")],
      ['~', user('01', "<target dev='tapother'/>")],
      ['~', user('01', "<boot order='1'/>")],
      ['~', user('02', "<boot order='2'/>", 'e1000e')],
      ['~', user('02', "<boot order='2'/><rom bar='off'/>", 'e1000e')],
      ['~', user('02', "<boot order='2'/><rom bar='on' file='/rom'/>", 'e1000e')],
      ['~', user('02', "<boot order='2'/><rom enabled='no'/>", 'e1000e')],
      ['~', user('02', "<boot order='3'/><rom bar='on'/>", 'e1000e')],
      ['~', user('02', "<boot order='2'/><rom bar='on'/><link state='down'/>", 'e1000e'), LIVE | CONFIG],
      ['~', user('01', "<mtu size='1400'/>")],
      ['~', user('01', "<backend type='passt'/>")],
      ['~', user('01', "<backend tap='/dev/net/tun'/>")],
      ['~', user('01', "<alias name='ua-other'/>")],
      ['~', user('01', "<acpi index='7'/>")],
      ['~', user('01', "<address type='pci' bus='0' slot='0x1e' function='0'/>")],
      ['~', nic('user', '')],
      ['~', nic('ethernet', mac('01'))],
      [
        '~',
        nic('hostdev', `${mac('01')}<source><address type='pci' domain='0' bus='0x70' slot='0' function='0'/></source>`)
      ],
      ['~', nic('network', `${mac('01')}<source network='t-nonesuch'/>`)],
      ['~', nic('bridge', `${mac('01')}<source bridge='t-nonesuch'/>`)],
      ['~', user('01', "<filterref filter='clean-traffic'/>")],
      [
        '~',
        "<interface type='user' trustGuestRxFilters='yes'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>"
      ],
      ['~', user('01', "<link state='sideways'/>")],
      ['~', user('01', "<guest dev='eth7'/>")]
    ]
  },
  {
    name: 'the default card, and no slot for another',
    guest: guest('', 'pc'),
    steps: [
      ['+', nic('user', mac('01'), '')],
      ['+', nic('user', mac('02'), 'virtio')],
      ['+', nic('user', mac('02'), 'e1000')],
      ['+', nic('user', mac('03'), 'usb-net')],
      ['-', nic('user', mac('03'), 'usb-net')]
    ]
  },
  {
    name: 'no port for another card',
    guest: guest(ports(1)),
    steps: [
      ['+', user('01')],
      ['+', user('02')],
      ['+', nic('user', mac('03'), 'rtl8139')],
      ['-', user('01')],
      ['+', user('02')]
    ]
  }
]

const onTaps: LiveCase[] = [
  {
    name: 'cards of taps and bridges',
    guest: guest(tap('01') + onBridge('02', ONE) + ports(6)),
    steps: [
      ['+', tap('03', `<target dev='te${process.pid}'/><mtu size='1400'/>`)],
      ['+', tap('04', `<target dev='${ONE}'/>`)],
      ['+', tap('04', "<target dev='longer-than-fifteen'/>")],
      ['+', onBridge('05', ONE, "<bandwidth><inbound average='1000' peak='5000' burst='1024'/></bandwidth>")],
      ['+', onBridge('06', TWO, "<port isolated='yes'/><link state='down'/>"), LIVE | CONFIG],
      ['+', onBridge('07', ONE, "<driver queues='2'/>")],
      ['~', onBridge('02', TWO)],
      ['~', onBridge('02', ONE, "<port isolated='yes'/>")],
      ['~', onBridge('02', ONE)],
      ['~', onBridge('02', 't-nonesuch')],
      ['+', onBridge('08', ONE, "<vlan><tag id='5'/></vlan>")],
      ['+', onBridge('08', ONE, "<vlan trunk='yes'><tag id='5' nativeMode='tagged'/><tag id='6'/></vlan>")],
      ['~', onBridge('02', ONE, "<vlan><tag id='5'/></vlan>")],
      [
        '~',
        onBridge('02', ONE, "<bandwidth><inbound average='1000'/><outbound average='2000' burst='64'/></bandwidth>")
      ],
      ['~', onBridge('02', ONE, "<bandwidth><outbound average='3000'/></bandwidth>"), LIVE | CONFIG],
      ['~', onBridge('02', ONE, "<bandwidth><outbound average='99999999999999999999'/></bandwidth>")],
      ['~', onBridge('02', ONE, "<link state='down'/>")],
      ['~', onBridge('02', ONE, "<target dev='other'/>")],
      ['~', onBridge('02', ONE, "<mtu size='1300'/>")],
      ['~', onBridge('02', ONE, "<driver queues='2'/>")],
      ['~', onBridge('02', ONE, '<tune><sndbuf>0</sndbuf></tune>')],
      ['~', nic('user', mac('02'))],
      ['~', nic('ethernet', mac('02'))],
      ['~', nic('direct', `${mac('02')}<source dev='${ONE}'/>`)],
      ['~', nic('bridge', `${mac('01')}<source bridge='${ONE}'/>`)],
      ['~', tap('01', "<bandwidth><inbound average='500'/></bandwidth>")],
      ['~', tap('01', "<script path='/bin/true'/>")],
      ['~', tap('01')],
      ['~', `<interface type='ethernet' trustGuestRxFilters='yes'>${mac('01')}<model type='virtio'/></interface>`],
      ['-', onBridge('05', ONE)],
      ['-', tap('03')],
      ['-', onBridge('07', ONE)],
      ['-', onBridge('06', ONE), LIVE | CONFIG]
    ]
  },
  {
    name: 'cards of networks and devices',
    guest: guest(ports(6)),
    steps: [
      ['+', onNetwork('01', 'one')],
      ['+', onNetwork('02', 'two', "<link state='down'/>"), LIVE | CONFIG],
      ['+', onNetwork('03', 'nonesuch')],
      ['+', onNetwork('03', 'one', "<portgroup name='x'/><driver queues='2'/>")],
      ['~', onNetwork('01', 'two')],
      ['~', onNetwork('01', 'nonesuch')],
      ['~', onBridge('01', ONE)],
      ['~', onNetwork('01', 'one', "<link state='down'/>")],
      ['~', onNetwork('01', 'one', "<mtu size='1300'/>")],
      ['~', nic('user', mac('01'))],
      ['+', onDevice('04', ONE)],
      ['+', onDevice('05', ONE, 'private'), LIVE | CONFIG],
      ['~', onDevice('04', ONE, 'vepa')],
      ['~', onDevice('04', TWO)],
      ['~', onDevice('04', ONE, 'bridge', "<link state='down'/>")],
      ['~', onDevice('04', ONE, 'bridge', "<bandwidth><inbound average='100'/></bandwidth>")],
      ['~', onBridge('04', ONE)],
      ['-', onDevice('04', ONE)],
      ['-', onNetwork('01', 'one')],
      ['-', onNetwork('02', 'one')],
      ['-', onDevice('05', ONE), LIVE | CONFIG]
    ]
  }
]

t.test('cards without a device of the host', async t => compareLive(t, cases))

/** A network of libvirtd's on a bridge. */
function networkOn(t: Test, name: string, bridge: string): void {
  const called = `t-live-${name}-${process.pid}`
  const xml = `<network><name>${called}</name><forward mode='bridge'/><bridge name='${bridge}'/></network>`
  const virsh = (...words: string[]) => execFileSync('virsh', ['-q', '-c', 'qemu:///system', ...words])
  const file = join(t.testdir({ 'network.xml': xml }), 'network.xml')
  virsh('net-create', file)
  t.teardown(() => virsh('net-destroy', called))
}

t.test('cards with one', { skip: !canMakeTaps && 'making network devices needs root and ip(8)' }, async t => {
  for (const name of [ONE, TWO]) {
    execFileSync('ip', ['link', 'add', name, 'type', 'bridge'])
    t.teardown(() => execFileSync('ip', ['link', 'delete', name]))
  }
  await compareLive(t, onTaps, () => {
    networkOn(t, 'one', ONE)
    networkOn(t, 'two', TWO)
  })
})
