// Disks and interfaces as the XML has them, sizes of disks.
import { device } from '../../../src/client/commands/device.ts'
import { BOOM, checkRows } from '../../helper/command-rows.ts'

const DISKS = `<domain><devices>
  <disk type='file' device='disk'><source file='/a.img'/><target dev='vda'/></disk>
  <disk type='file' device='cdrom'><target dev='hdc'/></disk>
  <disk type='block'><source dev='/dev/sdb'/><target dev='vdb'/></disk>
  <disk type='network' device='disk'><source protocol='nbd' name='export'/><target dev='vdc'/></disk>
  <disk type='nvme'><source namespace='1'><address domain='0x0000' bus='0x1a' slot='0x02' function='0x7'/></source><target dev='vdd'/></disk>
  <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
  <interface type='bridge'><source bridge='br0'/><target dev='vnet3'/></interface>
</devices></domain>`
const ADDRESSES = [
  {
    name: 'vnet0',
    hwaddr: '52:54:00:00:00:01',
    addrs: [
      { type: 0, addr: '10.0.0.2', prefix: 24 },
      { type: 1, addr: 'fe80::1', prefix: 64 }
    ]
  },
  { name: 'lo', addrs: [] }
]
const ADDRESS_HEADER = ` Name       MAC address          Protocol     Address
-------------------------------------------------------------------------------
`
const sizes = (capacity: number | bigint, allocation = 0, physical = 0) => ({ capacity, allocation, physical })

await checkRows(device, [
  ['domblkerror tiny', { virDomainGetDiskErrors: { errors: [] } }, ['virDomainGetDiskErrors {}'], 'No errors found\n'],
  [
    'domblkerror tiny',
    { virDomainGetDiskErrors: { errors: [1, 2, 9].map(error => ({ disk: `vd${error}`, error })) } },
    ['virDomainGetDiskErrors {}'],
    'vd1: unspecified error\nvd2: no space\nvd9: unknown error\n'
  ],
  [
    'domblklist tiny',
    { virDomainGetXMLDesc: { xml: DISKS } },
    ['virDomainGetXMLDesc {"flags":0}'],
    ` Target   Source
---
 vda      /a.img
 hdc      -
 vdb      /dev/sdb
 vdc      export
 vdd      nvme://0000:1a:02.7/1
`
  ],
  [
    'domblklist tiny --details --inactive',
    { virDomainGetXMLDesc: { xml: "<domain><devices><disk type='dir'><source dir='/d'/></disk></devices></domain>" } },
    ['virDomainGetXMLDesc {"flags":2}'],
    ' Type   Device   Target   Source\n---\n dir                      /d\n'
  ],
  [
    'domblklist tiny',
    { virDomainGetXMLDesc: { xml: '<domain/>' } },
    ['virDomainGetXMLDesc {"flags":0}'],
    ' Target   Source\n---\n'
  ],
  [
    'domif-getlink tiny 52:54:00:00:00:01',
    { virDomainGetXMLDesc: { xml: DISKS } },
    ['virDomainGetXMLDesc {"flags":0}'],
    '52:54:00:00:00:01 up'
  ],
  [
    'domif-getlink tiny vnet9 --config',
    { virDomainGetXMLDesc: { xml: DISKS } },
    ['virDomainGetXMLDesc {"flags":2}'],
    '',
    ['Interface (dev: vnet9) not found.']
  ],
  [
    'domiflist tiny',
    { virDomainGetXMLDesc: { xml: DISKS } },
    ['virDomainGetXMLDesc {"flags":0}'],
    ` Interface   Type     Source   Model    MAC
---
 -           user     -        virtio   52:54:00:00:00:01
 vnet3       bridge   br0      -        -
`
  ],
  [
    'domblkinfo tiny vda',
    { virDomainGetBlockInfo: sizes(2n ** 63n, 1, 2) },
    ['virDomainGetBlockInfo {"disk":"vda"}'],
    'Capacity:       9223372036854775808\nAllocation:     1\nPhysical:       2\n'
  ],
  [
    'domblkinfo tiny vda --human',
    { virDomainGetBlockInfo: sizes(2 ** 51, 1536, 1023) },
    ['virDomainGetBlockInfo {"disk":"vda"}'],
    'Capacity:       2.000 PiB\nAllocation:     1.500 KiB\nPhysical:       1023.000 B\n'
  ],
  [
    'domblkinfo tiny --all',
    {
      virDomainGetXMLDesc: { xml: DISKS },
      virDomainGetBlockInfo: ({ disk }: { disk?: string }) => sizes(disk === 'vdb' ? 0 : 512, 1, 1)
    },
    [
      'virDomainGetXMLDesc {"flags":0}',
      ...['vda', 'vdb', 'vdc', 'vdd'].map(disk => `virDomainGetBlockInfo {"disk":"${disk}"}`)
    ],
    ` Target   Capacity   Allocation   Physical
---
 vda      512        1            1
 hdc      -          -            -
 vdb      0          1            1
 vdc      512        1            1
 vdd      512        1            1
`
  ],
  ['domblkinfo tiny', {}, [], '', ["command 'domblkinfo' requires <device> option"]],
  ['domblkinfo tiny vda --all', {}, [], '', ['Options --all and --device are mutually exclusive']],
  [
    'domifaddr tiny',
    { virDomainInterfaceAddresses: { ifaces: ADDRESSES } },
    ['virDomainInterfaceAddresses {"source":0}'],
    `${ADDRESS_HEADER} vnet0      52:54:00:00:00:01    ipv4         10.0.0.2/24
 -          -                    ipv6         fe80::1/64
 lo         N/A                  N/A          N/A
`
  ],
  [
    'domifaddr tiny --source arp --full --interface vnet0',
    { virDomainInterfaceAddresses: { ifaces: ADDRESSES } },
    ['virDomainInterfaceAddresses {"source":2}'],
    `${ADDRESS_HEADER} vnet0      52:54:00:00:00:01    ipv4         10.0.0.2/24
 vnet0      52:54:00:00:00:01    ipv6         fe80::1/64
`
  ],
  ['domifaddr tiny --source dns', {}, [], '', ["Unknown data source 'dns'"]],
  [
    'domifaddr tiny --source agent',
    { virDomainInterfaceAddresses: BOOM },
    ['virDomainInterfaceAddresses {"source":1}'],
    '',
    ['Failed to query for interfaces addresses', 'it went wrong']
  ]
])
