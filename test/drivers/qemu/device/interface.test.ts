import t from 'tap'
import type { Capability } from '../../../../src/drivers/qemu/capabilities/signs.ts'
import { buildCommand } from '../../../../src/drivers/qemu/command/index.ts'
import { prepareStart } from '../../../../src/drivers/qemu/definition/passes.ts'
import { argvOf, define, errorOf, type GuestOptions, testContext } from '../../../helper/definition.ts'

const MAC = "<mac address='52:54:00:00:00:01'/>"
const nic = (type: string, inside = '') => `<interface type='${type}'>${MAC}${inside}</interface>`

const SHARED = { outside: "<memoryBacking><access mode='shared'/></memoryBacking>" }

const isNetwork = (line: string) => /hostnet|charnet|add-fd/.test(line)
const shortened = (line: string) => line.replace(/,"bus":"pci.*/, '}')

/** The arguments a start would give, not those of domxml-to-native. */
async function startArgv(devices: string, options: GuestOptions = {}): Promise<string[]> {
  const def = await define(devices, options)
  const { argv } = buildCommand(def, prepareStart(def, testContext(options)))
  return argv
    .filter(isNetwork)
    .filter(word => !word.startsWith('-'))
    .map(shortened)
}

t.test('domxml-to-native makes plain interfaces of all, with libvirtd’s descriptors', async t => {
  const lines = await argvOf(
    nic('user', "<model type='e1000'/><address type='pci' slot='9'/>") +
      nic('network', "<source network='n'/>") +
      nic('null')
  )
  t.same(lines.filter(isNetwork).map(shortened), [
    '-netdev {"type":"tap","fd":"25","id":"hostnet0"}',
    '-device {"driver":"e1000","netdev":"hostnet0","id":"net0","mac":"52:54:00:00:00:01"}',
    '-netdev {"type":"tap","fd":"26","id":"hostnet1"}',
    '-device {"driver":"rtl8139","netdev":"hostnet1","id":"net1","mac":"52:54:00:00:00:01"}',
    '-netdev {"type":"tap","fd":"27","id":"hostnet2"}',
    '-device {"driver":"rtl8139","netdev":"hostnet2","id":"net2","mac":"52:54:00:00:00:01"}'
  ])
})

t.test('the host’s end by type', async t => {
  for (const [xml, netdev] of [
    [nic('bridge', "<source bridge='b'/>"), '{"type":"tap","fd":"25","id":"hostnet0"}'],
    [
      nic('ethernet', "<model type='virtio'/><driver queues='2'/><tune><sndbuf>0</sndbuf></tune>"),
      '{"type":"tap","fds":"25:26","sndbuf":0,"id":"hostnet0"}'
    ],
    [nic('client', "<source address='a' port='1'/>"), '{"type":"socket","connect":"a:1","id":"hostnet0"}'],
    [nic('server', "<source port='1'/>"), '{"type":"socket","listen":":1","id":"hostnet0"}'],
    [nic('mcast', "<source address='a' port='1'/>"), '{"type":"socket","mcast":"a:1","id":"hostnet0"}'],
    [
      nic('udp', "<source address='a' port='1'><local address='b' port='2'/></source>"),
      '{"type":"socket","udp":"a:1","localaddr":"b:2","id":"hostnet0"}'
    ],
    [
      nic('user', "<ip address='10.0.2.0' prefix='24'/><ip address='fec0::' prefix='64'/>"),
      '{"type":"user","net":"10.0.2.0/24","ipv6-prefix":"fec0::","ipv6-prefixlen":64,"id":"hostnet0"}'
    ],
    [nic('internal', "<source name='x'/>"), '{"type":"user","id":"hostnet0"}']
  ] as const) {
    t.equal((await startArgv(xml))[0], netdev)
  }
  t.same((await startArgv(nic('vhostuser', "<source type='unix' path='/s' mode='server'/>"), SHARED)).slice(0, 2), [
    'socket,id=charnet0,path=/s,server=on',
    '{"type":"vhost-user","chardev":"charnet0","id":"hostnet0"}'
  ])
})

t.test('passt serves a card over a socket', async t => {
  const passt = "<backend type='passt'/>"
  const socket = `${testContext().paths.libDir}/net0-passt.sock`
  const stream = (retry: string) =>
    `{"type":"stream","addr":{"type":"unix","path":"${socket}"},"server":false${retry},"id":"hostnet0"}`
  for (const [missing, retry] of [
    [[], ',"reconnect-ms":5000'],
    [['netdev-stream-reconnect-miliseconds'], ',"reconnect":5'],
    [['netdev-stream-reconnect-miliseconds', 'netdev.stream.reconnect'], '']
  ] as [Capability[], string][]) {
    t.equal((await startArgv(nic('user', passt), { missing }))[0], stream(retry))
  }
  t.same((await startArgv(nic('vhostuser', passt), SHARED)).slice(0, 2), [
    `socket,id=charnet0,path=${socket},reconnect-ms=5000`,
    '{"type":"vhost-user","chardev":"charnet0","id":"hostnet0"}'
  ])
  const gone = "the 'passt' network backend is not supported with this QEMU binary"
  t.match(await errorOf(() => startArgv(nic('user', passt), { missing: ['netdev.stream'] })), gone)
  t.match(await define(nic('user'), { missing: ['netdev.user'] }), {
    devices: { interfaces: [{ backend: { type: 'passt' }, source: { passt: {} } }] }
  })
})

t.test('what only virtio cards have', async t => {
  const driver =
    "<driver txmode='timer' event_idx='on' queues='3' rx_queue_size='256' rss='on' packed='on'><host gso='off'/><guest tso4='on'/></driver>"
  const [, card] = await startArgv(
    nic('bridge', `<source bridge='b'/><model type='virtio'/>${driver}<mtu size='1400'/><teaming type='persistent'/>`)
  )
  t.same(JSON.parse(card!), {
    driver: 'virtio-net-pci',
    packed: true,
    tx: 'timer',
    event_idx: true,
    gso: false,
    guest_tso4: true,
    mq: true,
    vectors: 8,
    rx_queue_size: 256,
    rss: true,
    host_mtu: 1400,
    failover: true,
    netdev: 'hostnet0',
    id: 'net0',
    mac: '52:54:00:00:00:01'
  })
})

t.test('refuses what QEMU cannot do', async t => {
  for (const [xml, error] of [
    [nic('null'), "network device type 'null' is not supported by this hypervisor"],
    [nic('user', "<mtu size='1'/>"), 'setting MTU on interface type user is not supported yet'],
    [nic('user', "<script path='/x'/>"), 'scripts are not supported on interfaces of type user'],
    [
      nic('user', "<model type='virtio'/><driver queues='2'/>"),
      'multiqueue is not supported for network interfaces of type user'
    ],
    [nic('direct', "<source dev='e'/><vlan><tag id='1'/></vlan>"), 'vlan tag not supported for this connection type'],
    [nic('ethernet', "<ip address='10.0.0.1'/>"), 'guest-side IP address info, not supported by QEMU'],
    [nic('user', "<ip address='10.0.0.1' prefix='28'/>"), 'invalid prefix, must be in range of 4-27'],
    [
      nic('vdpa', "<source dev='/dev/none'/><model type='e1000'/>"),
      "invalid model for interface of type 'vdpa': 'e1000'"
    ],
    [nic('ethernet', "<model type='virtio'/><driver rx_queue_size='3'/>"), 'rx_queue_size has to be a power of two'],
    [nic('user', "<teaming type='persistent'/>"), "must be <model type='virtio'/>, not 'rtl8139'"]
  ] as const) {
    t.match(await errorOf(() => startArgv(xml)), error, xml)
  }
  t.match(
    await errorOf(() => startArgv(nic('network', "<source network='n'/>"), { pretend: false })),
    'VIR_ERR_NO_SUPPORT'
  )
})
