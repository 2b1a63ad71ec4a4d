import t from 'tap'
import { interfaceFields } from '../../../src/conf/devices/interface.ts'
import { define, errorOf, throughTable } from '../../helper/definition.ts'

const MAC = "<mac address='52:54:00:00:00:01'/>"
const nic = (inside: string, type = 'bridge', attributes = '') =>
  `<interface type='${type}'${attributes}>${MAC}${type === 'bridge' ? "<source bridge='br0'/>" : ''}${inside}</interface>`

t.test('reads and writes every part', async t => {
  for (const xml of [
    nic("<port isolated='yes'/><model type='virtio'/><backend tap='/dev/net/tun'/>"),
    nic(
      "<vlan trunk='yes'><tag id='1'/><tag id='2' nativeMode='tagged'/></vlan><bandwidth><inbound average='5'/></bandwidth>"
    ),
    nic("<source network='n' portgroup='p'/><bandwidth><inbound floor='7'/></bandwidth>", 'network'),
    nic("<source dev='eth0' mode='vepa'/>", 'direct', " trustGuestRxFilters='yes'"),
    nic("<source address='a' port='-1'><local address='b' port='2'/></source>", 'udp'),
    nic("<source><ip address='10.0.0.1' family='ipv4'/></source><target dev='vnet5' managed='no'/>", 'ethernet'),
    nic("<model type='virtio'/><driver name='qemu' queues='2' iommu='on'><host csum='off'/><guest ufo='on'/></driver>"),
    nic("<filterref filter='f'><parameter name='A' value='1'/><parameter name='A' value='2'/></filterref>"),
    nic(
      "<tune><sndbuf>0</sndbuf></tune><teaming type='transient' persistent='ua-x'/><link state='down'/><mtu size='9'/>"
    ),
    nic(
      "<source dev='eth0'/><portForward proto='udp' address='::1' dev='lo'><range start='5' end='9' to='15'/></portForward><backend type='passt' logFile='/l'/>",
      'user'
    ),
    nic("<source dev='eth0'/><backend type='passt'/>", 'vhostuser'),
    nic("<virtualport type='midonet'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>")
  ]) {
    t.equal(throughTable(interfaceFields, xml), xml)
  }
})

t.test('drops what libvirt drops', async t => {
  for (const [given, left] of [
    [nic("<target dev='vnet5'/>"), nic('')],
    [nic("<driver queues='4'/>"), nic('')],
    [nic("<model type='VIRTIO'/><driver queues='1' rx_queue_size='0'/>"), nic("<model type='virtio'/>")],
    [nic("<model type='e1000'/><backend vhost='/dev/vhost-net'/>"), nic("<model type='e1000'/>")],
    [nic("<filterref filter='f'/>", 'user'), nic('', 'user')],
    [nic("<source dev='eth0'/>", 'user'), nic('', 'user')],
    [nic("<backend type='default'/>", 'user'), nic('', 'user')],
    [
      nic("<source type='unix' path='/s' mode='server'/><backend type='passt'/>", 'vhostuser'),
      nic("<backend type='passt'/>", 'vhostuser')
    ],
    [nic("<vlan trunk='no'><tag id='1'/></vlan>"), nic("<vlan><tag id='1'/></vlan>")],
    [nic("<mtu size='0'/><coalesce><rx><frames max='0'/></rx></coalesce>"), nic('')],
    [nic("<link/><link state='up'/>"), nic("<link state='up'/>")]
  ] as const) {
    t.equal(throughTable(interfaceFields, given), left)
  }
  const live = nic("<target dev='vnet5'/>")
  t.equal(throughTable(interfaceFields, live, { parse: { inactive: false }, format: { inactive: false } }), live)
})

t.test('draws a MAC address and port ids', async t => {
  t.match(throughTable(interfaceFields, '<interface/>'), /type='user'><mac address='52:54:00(:[0-9a-f]{2}){3}'/)
  t.match(throughTable(interfaceFields, nic("<virtualport type='openvswitch'/>")), /interfaceid='[0-9a-f-]{36}'/)
})

t.test('refuses with libvirt’s words', async t => {
  for (const [xml, error] of [
    [nic('', 'network'), "VIR_ERR_XML_ERROR: XML error: interface type='network' requires a 'source' element"],
    [nic('', 'foo'), "Invalid value for attribute 'type' in element 'interface': 'foo'."],
    ["<interface><mac address='01:00:00:00:00:00'/></interface>", 'expected unicast mac address'],
    [nic("<model type='a b'/>"), 'VIR_ERR_INVALID_ARG: invalid argument: Model name contains invalid characters'],
    [nic("<bandwidth><inbound floor='1'/></bandwidth>"), 'floor attribute is not supported for this config'],
    [nic("<bandwidth><inbound peak='1'/></bandwidth>"), 'Missing mandatory average or floor attributes'],
    [nic('<vlan/>'), 'missing tag id'],
    [nic("<vlan trunk='no'><tag id='1'/><tag id='2'/></vlan>"), `trunk='yes' is required for more than one vlan tag`],
    [nic('<virtualport/>', 'user'), "<virtualport> element unsupported for <interface type='user'>"],
    [nic('<virtualport/>'), 'missing required virtualport type'],
    [nic("<virtualport type='802.1Qbh'/>"), "missing profileid in <virtualport type='802.1Qbh'>"],
    [nic("<backend type='x'/>"), "Invalid value for attribute 'type' in element 'backend': 'x'."],
    [nic("<link state='x'/>"), "unknown interface link state 'x'"],
    [nic("<teaming persistent='ua-x'/>"), "unknown teaming type '(null)'"],
    [nic("<ip address='10.0.0.1' prefix='33'/>", 'user'), "Invalid prefix value '33' in <ip>"],
    [
      nic("<source><route address='10.0.0.1' prefix='8' gateway='10.0.0.2'/></source>", 'ethernet'),
      "interface host IP: Address '10.0.0.1' in route definition is not a network address"
    ]
  ] as const) {
    t.match(await errorOf(() => throughTable(interfaceFields, xml)), error, xml)
  }
})

t.test('checks what is left', async t => {
  for (const [xml, error] of [
    [nic("<target dev='x' managed='no'/>"), "unmanaged target dev is not supported on interfaces of type 'bridge'"],
    [nic("<teaming type='transient'/>"), 'teaming persistent attribute must be set'],
    [nic("<port isolated='yes'/>", 'user'), "<port isolated='yes'/> is not supported"],
    [nic("<driver iommu='on'/>"), 'iommu driver option is only supported for virtio devices'],
    [nic("<source type='unix' path='/x' mode='client'/>", 'vhostuser'), "'interface' requires shared memory"],
    [nic("<source><ip address='10.0.0.1'/></source>", 'user'), 'host-side IP route and/or address info']
  ] as const) {
    t.match(await errorOf(() => define(xml)), error, xml)
  }
})
