// Devices attached to, detached from and updated in definitions: guests, and what is done to them one after the other.

/** `+` attaches, `-` detaches, `~` updates, each with XML; `-alias` detaches by alias; flags VIR_DOMAIN_AFFECT_CONFIG. */
export type Step = ['+' | '-' | '~' | '-alias', string]

export interface Case {
  guest: keyof typeof guests
  /** the guest runs meanwhile: what is described is completed beside its live definition */
  running?: true
  steps: Step[]
}

const os = (machine: string, boot: string) => `<os><type arch='x86_64' machine='${machine}'>hvm</type>${boot}</os>`
const disk = (target: string, more = '', file = `/tmp/${target.match(/'(\w+)'/)?.[1]}.img`) =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file}'/><target ${target}/>${more}</disk>`

/** Definitions by name; each has a machine, and devices for the steps to find. */
export const guests = {
  pc: `<memory unit='MiB'>64</memory><vcpu>2</vcpu>${os('pc', "<boot dev='hd'/>")}<features><acpi/></features>
    <devices>${disk("dev='vda' bus='virtio'")}${disk("dev='sda' bus='scsi'")}${disk("dev='sdb' bus='usb'")}
      <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
      <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
      <interface type='user'><mac address='52:54:00:00:00:02'/><model type='e1000'/><alias name='ua-net'/></interface>
      <serial type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
      <graphics type='vnc' port='-1' autoport='yes'/><video><model type='vga'/></video>
      <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices>`,
  q35: `<memory unit='MiB'>64</memory><vcpu>1</vcpu>${os('q35', '')}<features><acpi/></features>
    <devices>${disk("dev='vda' bus='virtio'", "<boot order='1'/>")}${disk("dev='sda' bus='sata'")}
      <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface></devices>`,
  bare: `<memory unit='MiB'>64</memory><vcpu>1</vcpu>${os('pc', '')}
    <devices><controller type='usb' model='none'/><memballoon model='none'/></devices>`,
  running: `<memory unit='MiB'>64</memory><vcpu>1</vcpu>${os('pc', '')}<features><acpi/></features>
    <devices><interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
      <serial type='null'/><channel type='null'><target type='virtio' name='one'/></channel>
      <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
      <rng model='virtio'><backend model='builtin'/></rng></devices>`,
  numa: `<maxMemory slots='2' unit='MiB'>512</maxMemory><memory unit='MiB'>128</memory><vcpu>2</vcpu>${os('q35', '')}
    <cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/><cell id='1' cpus='1' memory='64' unit='MiB'/></numa></cpu>
    <devices><memory model='dimm'><target><size unit='MiB'>64</size><node>0</node></target></memory></devices>`,
  full: `<memory unit='MiB'>64</memory><vcpu>1</vcpu>${os('pc', '')}<features><acpi/></features>
    <devices><watchdog model='i6300esb'/><vsock model='virtio'><cid auto='yes'/></vsock>
      <tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>
      <shmem name='one'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>
      <filesystem type='mount'><source dir='/tmp'/><target dir='one'/></filesystem>
      <lease><lockspace>space</lockspace><key>one</key><target path='/tmp/lease'/></lease>
      <sound model='ac97'/><sound model='ich6'><codec type='micro'/></sound>
      <hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>
      <hostdev mode='subsystem' type='pci'><source><address domain='0' bus='6' slot='2' function='0'/></source></hostdev>
      <hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='0' unit='0'/></source></hostdev>
      <redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' service='4000'/></redirdev>
      <input type='tablet' bus='usb'/><input type='keyboard' bus='virtio'/>
      <parallel type='pty'/><console type='pty'><target type='virtio'/></console>
      <serial type='file'><source path='/tmp/one'/></serial><serial type='pty'><target type='pci-serial'/></serial>
      <channel type='pty'><target type='virtio' name='one'/></channel>
      <panic model='isa'/><hub type='usb'/><memballoon model='virtio'/></devices>`
} as const

const nic = (mac: string, more = '') =>
  `<interface type='user'>${mac && `<mac address='52:54:00:00:00:${mac}'/>`}<model type='virtio'/>${more}</interface>`
const pci = (slot: number, bus = 0) => `<address type='pci' domain='0' bus='${bus}' slot='${slot}' function='0'/>`
const drive = (unit: number, controller = 0) =>
  `<address type='drive' controller='${controller}' bus='0' target='0' unit='${unit}'/>`
const dimm = (mib: number, node: number | '', more = '') =>
  `<memory model='dimm'><target><size unit='MiB'>${mib}</size>${node === '' ? '' : `<node>${node}</node>`}</target>${more}</memory>`
const usbHost = (source: string) => `<hostdev mode='subsystem' type='usb'><source>${source}</source></hostdev>`
const pciHost = (bus: number, more = '') =>
  `<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='${bus}' slot='2' function='0'/></source>${more}</hostdev>`
const scsiHost = (unit: number, more = '') =>
  `<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='0' unit='${unit}'/></source>${more}</hostdev>`
const rng = (path: string, more = '') => `<rng model='virtio'><backend model='random'>${path}</backend>${more}</rng>`
const shmem = (name: string, mib: number, more = '') =>
  `<shmem name='${name}'><model type='ivshmem-plain'/><size unit='M'>${mib}</size>${more}</shmem>`
const fs = (dir: string, more = '') =>
  `<filesystem type='mount'><source dir='/tmp'/><target dir='${dir}'/>${more}</filesystem>`
const lease = (key: string, space = 'space') =>
  `<lease><lockspace>${space}</lockspace><key>${key}</key><target path='/tmp/other'/></lease>`
const redirdev = (service: number, more = '') =>
  `<redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' service='${service}'/>${more}</redirdev>`
const serial = (path: string, target = '', source = `<source path='${path}'/>`) =>
  `<serial type='file'>${source}${target}</serial>`
const channel = (name: string, type = 'pty', source = '') =>
  `<channel type='${type}'>${source}<target type='virtio' name='${name}'/></channel>`
const controller = (type: string, more = '', inside = '') => `<controller type='${type}' ${more}>${inside}</controller>`

export const cases: Case[] = [
  // disks
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='vdb' bus='virtio'")],
      ['+', disk("dev='vdc'")],
      ['-', disk("dev='vdb'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='vda' bus='virtio'")],
      ['+', disk("dev='hda' bus='ide'")],
      ['+', disk("dev='hdb' bus='ide'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='sdc' bus='scsi'", drive(0))],
      ['+', disk("dev='sdc' bus='scsi'", drive(3))],
      ['+', disk("dev='sdq' bus='scsi'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='sdz' bus='scsi'", drive(0, 5))],
      ['+', disk("dev='sdy' bus='scsi'", drive(7))]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='sdd' bus='usb'")],
      ['-', disk("dev='sdb'")],
      ['+', disk("dev='sdb' bus='usb'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='fda' bus='fdc'").replace("'disk'", "'floppy'")],
      ['-', disk("dev='fda'").replace("'disk'", "'floppy'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='hdc' bus='ide'")],
      ['+', disk("dev='hdd' bus='ide'", drive(0))],
      ['-', disk("dev='hdx'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='vdb' bus='virtio'", pci(4))],
      ['+', disk("dev='vdb' bus='virtio'", pci(20))],
      ['+', disk("dev='vdd' bus='virtio'", pci(20))]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='vdb' bus='virtio'", "<boot order='1'/>")],
      ['+', disk("dev='vdb' bus='virtio'", "<serial>a b</serial><alias name='ua-b'/>")],
      ['+', disk("dev='vdc' bus='virtio'", "<alias name='ua-b'/>")]
    ]
  },
  {
    guest: 'q35',
    steps: [
      ['+', disk("dev='vdb' bus='virtio'", "<boot order='1'/>")],
      ['+', disk("dev='vdb' bus='virtio'", "<boot order='2'/>")],
      ['+', disk("dev='sdb' bus='sata'")],
      ['+', disk("dev='sdc' bus='usb'")],
      ['+', disk("dev='sde' bus='scsi'")]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', disk("dev='sda' bus='usb'")],
      ['+', disk("dev='sda' bus='scsi'")],
      ['+', disk("dev='hda' bus='ide'")],
      ['+', disk("dev='xvda' bus='xen'")],
      ['-', disk("dev='sda' bus='scsi'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='nope' bus='virtio'")],
      ['+', "<disk type='file'/>"],
      ['+', '<disk type="block" device="lun"><source dev="/dev/sdz"/><target dev="sdg" bus="scsi"/></disk>']
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['-', disk("dev='/tmp/vda.img'")],
      ['-', disk("dev='/tmp/none.img'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['~', "<disk type='file' device='cdrom'><source file='/tmp/cd.iso'/><target dev='hdc' bus='ide'/></disk>"],
      ['~', "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>"],
      ['~', disk("dev='hdz' bus='ide'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['~', disk("dev='vda' bus='virtio'", '', '/tmp/new.img')],
      ['~', disk("dev='vda' bus='scsi'")],
      ['~', disk("dev='sdb' bus='usb'")],
      ['+', disk("dev='vde' bus='virtio'")]
    ]
  },
  {
    guest: 'q35',
    steps: [
      ['~', disk("dev='vda' bus='virtio'", "<boot order='1'/>")],
      ['~', disk("dev='sda' bus='sata'", "<boot order='1'/>")],
      ['~', disk("dev='sda' bus='sata'", "<boot order='3'/>")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      [
        '+',
        "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='p/i'><host name='a' port='1'/></source><target dev='vdf' bus='virtio'/></disk>"
      ],
      [
        '+',
        "<disk type='file' device='disk'><source file='/tmp/x'/><target dev='vdg' bus='virtio'/><iotune><group_name>g</group_name></iotune></disk>"
      ]
    ]
  },
  // interfaces
  {
    guest: 'pc',
    steps: [
      ['+', nic('03')],
      ['+', nic('01')],
      ['-', nic('01')],
      ['-', nic('01', pci(3))],
      ['-', nic('01', pci(30))],
      ['-', nic('03')]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', nic('')],
      ['-', nic('')],
      ['-', nic('02', "<alias name='ua-net'/>")],
      ['-', nic('02')]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['-', nic('', pci(4))],
      ['-', nic('', pci(29))],
      ['-', nic('09', "<alias name='ua-other'/>")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['-alias', 'ua-net'],
      ['-alias', 'ua-net'],
      ['-alias', 'net0']
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['~', nic('01', "<link state='down'/>")],
      ['~', nic('07', "<link state='down'/>")],
      ['~', nic('', "<mtu size='1400'/>")],
      ['~', "<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/></interface>"]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', nic('04', pci(3))],
      ['+', nic('04', "<boot order='1'/>")],
      ['+', "<interface type='nosuch'/>"],
      ['+', "<interface type='network'/>"]
    ]
  },
  {
    guest: 'q35',
    steps: [
      ['+', nic('04')],
      ['+', nic('05')],
      ['+', nic('06')],
      ['+', nic('07', "<boot order='1'/>")],
      ['+', nic('07', "<boot order='4'/>")],
      ['-', nic('05')],
      ['-', nic('04')]
    ]
  },
  {
    guest: 'q35',
    steps: [
      [
        '+',
        "<interface type='hostdev' managed='yes'><mac address='52:54:00:00:00:08'/><source><address type='pci' domain='0' bus='7' slot='2' function='0'/></source></interface>"
      ],
      ['+', pciHost(7)],
      ['+', pciHost(8)],
      ['-', nic('08')],
      ['+', pciHost(7)]
    ]
  },
  // controllers
  {
    guest: 'pc',
    steps: [
      ['+', controller('scsi', "index='1' model='virtio-scsi'")],
      ['+', controller('scsi', "index='0'")],
      ['+', controller('scsi', "model='lsilogic'")],
      ['-', controller('scsi', "index='1'")],
      ['-', controller('scsi')]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['-', controller('usb', "index='0'")],
      ['-', controller('virtio-serial', "index='0'")],
      ['-', controller('sata', "index='0'")],
      ['+', controller('sata')],
      ['-', controller('sata', "index='0'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', controller('usb', "index='1' model='ich9-ehci1'")],
      ['+', controller('usb', "index='1' model='ich9-uhci1'")],
      ['+', controller('usb', "index='2' model='qemu-xhci'")],
      ['-', controller('usb', "index='1'")]
    ]
  },
  {
    guest: 'q35',
    steps: [
      ['+', controller('pci', "model='pcie-root-port'")],
      ['+', controller('pci', "index='1' model='pcie-root-port'")],
      ['+', controller('pci', "model='pcie-to-pci-bridge'")],
      ['-', controller('pci', "index='1'")]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', controller('usb', "index='0' model='qemu-xhci'")],
      ['+', controller('virtio-serial', "index='0' ports='4'")],
      ['+', controller('ccid', "index='0'")],
      ['+', controller('xenbus')]
    ]
  },
  // hostdevs
  {
    guest: 'full',
    steps: [
      ['+', usbHost("<vendor id='0x1234'/><product id='0xbeef'/>")],
      ['+', usbHost("<vendor id='0x1234'/><product id='0xbeee'/>")],
      ['+', usbHost("<address bus='1' device='3'/>")],
      ['-', usbHost("<vendor id='0x1234'/><product id='0xbeef'/>")],
      ['-', usbHost("<address bus='1' device='9'/>")]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', pciHost(6)],
      ['+', pciHost(9)],
      ['-', pciHost(6)],
      ['-', pciHost(6)]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', scsiHost(0)],
      ['+', scsiHost(1)],
      ['+', disk("dev='sda' bus='scsi'")],
      ['+', disk("dev='sdd' bus='scsi'")],
      ['+', scsiHost(2, drive(3))],
      ['-', scsiHost(0)],
      ['-', scsiHost(9)]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', usbHost("<vendor id='0x1234'/><product id='0xbeef'/>")],
      ['+', "<hostdev mode='capabilities' type='storage'><source><block>/dev/x</block></source></hostdev>"],
      [
        '+',
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='7d2a3b1c-0000-4000-8000-000000000001'/></source></hostdev>"
      ],
      [
        '+',
        "<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.5123456789abcde0'/></hostdev>"
      ],
      [
        '-',
        "<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.5123456789abcde0'/></hostdev>"
      ],
      [
        '-',
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='7d2a3b1c-0000-4000-8000-000000000001'/></source></hostdev>"
      ]
    ]
  },
  {
    guest: 'bare',
    steps: [
      [
        '+',
        "<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.1992-01.com.example:a/1'><host name='h' port='3260'/></source></hostdev>"
      ],
      [
        '+',
        "<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.1992-01.com.example:a/1'><host name='h' port='3260'/></source></hostdev>"
      ],
      [
        '-',
        "<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.1992-01.com.example:a/2'><host name='h' port='3260'/></source></hostdev>"
      ],
      [
        '-',
        "<hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.1992-01.com.example:a/1'><host name='h' port='3260'/></source></hostdev>"
      ]
    ]
  },
  // leases, filesystems
  {
    guest: 'full',
    steps: [
      ['+', lease('one')],
      ['+', lease('two')],
      ['+', lease('one', 'other')],
      ['-', lease('one')],
      ['-', lease('one')]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', fs('one')],
      ['+', fs('two')],
      ['-', fs('one')],
      ['-', fs('one')],
      ['+', "<filesystem type='mount'><driver type='virtiofs'/><source dir='/tmp'/><target dir='v'/></filesystem>"],
      ['+', "<filesystem type='mount'><source dir='/tmp'/></filesystem>"]
    ]
  },
  // memory
  {
    guest: 'numa',
    steps: [
      ['+', dimm(64, 1)],
      ['+', dimm(64, 1)],
      ['-', dimm(64, 0)],
      ['-', dimm(64, 0)],
      ['+', dimm(512, 0)],
      ['+', dimm(32, '')]
    ]
  },
  {
    guest: 'numa',
    steps: [
      ['+', dimm(64, 5)],
      ['+', dimm(64, 0, "<address type='dimm' slot='0'/>")],
      ['+', dimm(64, 0, "<address type='dimm' slot='1'/>")],
      ['-', dimm(64, 0, "<address type='dimm' slot='1'/>")]
    ]
  },
  {
    guest: 'numa',
    steps: [
      ['~', dimm(96, 1)],
      ['~', dimm(96, 1, "<address type='dimm' slot='0'/>")],
      ['~', dimm(96, 1, "<address type='dimm' slot='1'/>")],
      ['+', dimm(32, 1)]
    ]
  },
  {
    guest: 'numa',
    steps: [
      [
        '+',
        "<memory model='nvdimm'><source><path>/tmp/nv</path></source><target><size unit='MiB'>64</size><node>0</node></target></memory>"
      ],
      [
        '-',
        "<memory model='nvdimm'><source><path>/tmp/nx</path></source><target><size unit='MiB'>64</size><node>0</node></target></memory>"
      ],
      [
        '-',
        "<memory model='nvdimm'><source><path>/tmp/nv</path></source><target><size unit='MiB'>64</size><node>0</node></target></memory>"
      ],
      [
        '+',
        "<memory model='virtio-mem'><target><size unit='MiB'>64</size><node>0</node><block unit='MiB'>4</block><requested unit='MiB'>8</requested></target></memory>"
      ],
      [
        '~',
        "<memory model='virtio-mem'><target><size unit='MiB'>64</size><node>0</node><block unit='MiB'>4</block><requested unit='MiB'>16</requested></target></memory>"
      ]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', dimm(64, '')],
      ['~', dimm(64, '')],
      ['-', dimm(64, '')]
    ]
  },
  // character devices
  {
    guest: 'full',
    steps: [
      ['+', serial('/tmp/two')],
      ['+', serial('/tmp/one', "<target port='0'/>")],
      ['+', serial('/tmp/three', "<target port='2'/>")],
      ['-', serial('/tmp/one')],
      ['-', serial('/tmp/one', "<target port='0'/>")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['-', "<serial type='pty'><target port='0'/></serial>"],
      ['+', "<serial type='pty'/>"],
      ['+', "<serial type='pty'/>"],
      ['-', "<serial type='pty'><target port='1'/></serial>"],
      ['-', "<serial type='pty'/>"]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<serial type='pty'><target type='pci-serial'/></serial>"],
      ['+', "<serial type='null'/>"],
      ['-', "<serial type='pty'><target type='pci-serial' port='0'/></serial>"],
      ['+', "<serial type='spicevmc'/>"],
      ['+', "<serial type='pty'><target type='usb-serial'/></serial>"]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', "<parallel type='pty'/>"],
      ['+', "<parallel type='pty'><target port='0'/></parallel>"],
      ['-', "<parallel type='pty'><target port='1'/></parallel>"],
      ['-', "<parallel type='file'><source path='/tmp/p'/></parallel>"]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', "<console type='pty'><target type='virtio'/></console>"],
      ['+', "<console type='pty'/>"],
      ['+', "<console type='pty'><target type='virtio' port='1'/></console>"],
      ['-', "<console type='pty'/>"],
      ['-', "<console type='pty'><target type='virtio' port='1'/></console>"],
      ['-', "<console type='pty'><target type='virtio' port='7'/></console>"]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<console type='pty'><target type='virtio'/></console>"],
      ['+', "<serial type='pty'/>"],
      ['+', "<console type='pty'><target type='virtio'/></console>"],
      ['-', "<serial type='pty'><target port='0'/></serial>"]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', channel('one')],
      ['+', channel('two')],
      ['+', channel('three', 'unix', "<source mode='bind' path='/tmp/c'/>")],
      ['-', channel('two')],
      ['-', channel('two')],
      ['-', channel('three', 'unix', "<source mode='bind' path='/tmp/d'/>")]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<channel type='pty'><target type='guestfwd' address='10.0.2.1' port='600'/></channel>"],
      ['+', "<channel type='pty'><target type='guestfwd' address='10.0.2.1' port='600'/></channel>"],
      ['-', "<channel type='pty'><target type='guestfwd' address='10.0.2.1' port='601'/></channel>"],
      ['+', channel('a')],
      ['+', channel('a', 'spicevmc')],
      ['+', channel('com.redhat.spice.0', 'spicevmc')],
      ['+', "<channel type='pty'/>"]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', channel('org.qemu.guest_agent.0', 'unix')],
      ['-', channel('org.qemu.guest_agent.0', 'unix')],
      ['+', channel('org.qemu.guest_agent.0', 'unix')]
    ]
  },
  // rng, shmem
  {
    guest: 'pc',
    steps: [
      ['+', rng('/dev/random')],
      ['+', rng('/dev/urandom', pci(3))],
      ['+', rng('/dev/urandom', pci(25))],
      ['-', rng('/dev/urandom', pci(25))],
      ['-', rng('/dev/urandom', "<rate bytes='1'/>")],
      ['-', rng('/dev/urandom')],
      ['-', rng('/dev/urandom')]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<rng model='virtio'><backend model='builtin'/></rng>"],
      [
        '+',
        "<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='/tmp/egd'/></backend></rng>"
      ],
      [
        '-',
        "<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='/tmp/eg'/></backend></rng>"
      ],
      [
        '-',
        "<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='/tmp/egd'/></backend></rng>"
      ],
      ['-', "<rng model='virtio'><backend model='builtin'/></rng>"],
      ['+', '<rng/>']
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', shmem('one', 4)],
      ['+', shmem('one', 8)],
      ['+', shmem('two', 4)],
      ['-', shmem('one', 4)],
      ['-', shmem('one', 4)],
      ['+', "<shmem name='s'><model type='ivshmem-doorbell'/><server path='/tmp/s'/><msi vectors='4'/></shmem>"],
      ['-', "<shmem name='s'><model type='ivshmem-doorbell'/><server path='/tmp/s'/><msi vectors='4'/></shmem>"],
      ['+', shmem('a/b', 4)]
    ]
  },
  // one of each
  {
    guest: 'full',
    steps: [
      ['+', "<watchdog model='i6300esb'/>"],
      ['-', "<watchdog model='ib700' action='none'/>"],
      ['-', "<watchdog model='ib700'/>"],
      ['+', "<watchdog model='ib700' action='pause'/>"]
    ]
  },
  {
    guest: 'q35',
    steps: [
      ['+', "<watchdog model='i6300esb'/>"],
      ['+', "<watchdog model='i6300esb'/>"],
      ['-', "<watchdog model='i6300esb'/>"]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', "<vsock model='virtio'/>"],
      ['-', "<vsock model='virtio'><cid auto='no' address='5'/></vsock>"],
      ['-', "<vsock model='virtio'/>"],
      ['-', "<vsock model='virtio'/>"],
      ['+', "<vsock model='virtio'><cid auto='no' address='5'/></vsock>"],
      ['+', "<vsock><cid address='1'/></vsock>"]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', "<sound model='ac97'/>"],
      ['+', "<sound model='usb'/>"],
      ['-', "<sound model='ich6'/>"],
      ['-', "<sound model='ich6'><codec type='micro'/></sound>"],
      ['-', "<sound model='sb16'/>"],
      ['+', "<sound model='nosuch'/>"]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', "<input type='mouse' bus='usb'/>"],
      ['+', "<input type='mouse'/>"],
      ['-', "<input type='tablet' bus='usb'/>"],
      ['-', "<input type='tablet' bus='usb'/>"],
      ['-', "<input type='mouse' bus='ps2'/>"],
      ['+', "<input type='tablet' bus='ps2'/>"],
      ['+', "<input type='passthrough' bus='virtio'><source evdev='/dev/input/event9'/></input>"],
      ['-', "<input type='passthrough' bus='virtio'><source evdev='/dev/input/event8'/></input>"]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<input type='tablet'/>"],
      ['+', "<input type='tablet' bus='usb'/>"],
      ['+', "<input type='tablet' bus='virtio'/>"],
      ['+', "<input type='evdev'><source dev='/dev/input/event9'/></input>"],
      ['-', "<input type='evdev'><source dev='/dev/input/event1'/></input>"],
      ['+', `<input type='tablet' bus='usb'>${pci(9)}</input>`]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', redirdev(4000)],
      ['+', redirdev(4001, "<boot order='3'/>")],
      ['-', redirdev(4000)],
      ['-', redirdev(4005)],
      ['-', redirdev(4000)]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', redirdev(4000)],
      ['+', "<redirdev bus='usb' type='spicevmc'/>"],
      ['+', "<redirdev bus='usb'/>"],
      ['-', redirdev(4000)]
    ]
  },
  // addresses that are given, and buses that fill up
  { guest: 'pc', steps: Array.from({ length: 30 }, (_, at): Step => ['+', rng(`/dev/r${at}`)]) },
  { guest: 'q35', steps: Array.from({ length: 8 }, (_, at): Step => ['+', nic(String(at + 10))]) },
  { guest: 'pc', steps: Array.from({ length: 6 }, (_, at): Step => ['+', disk(`dev='sd${'defghi'[at]}' bus='usb'`)]) },
  {
    guest: 'pc',
    steps: Array.from({ length: 8 }, (_, at): Step => ['+', disk(`dev='sd${'defghijk'[at]}' bus='scsi'`)])
  },
  {
    guest: 'q35',
    steps: Array.from({ length: 8 }, (_, at): Step => ['+', disk(`dev='sd${'bcdefghi'[at]}' bus='sata'`)])
  },
  {
    guest: 'q35',
    steps: [
      ['+', nic('20', pci(0, 9))],
      ['+', nic('20', pci(3, 0))],
      ['+', nic('21', pci(0, 2))],
      ['-', nic('20')],
      ['+', "<sound model='ich9'/>"],
      ['+', "<sound model='ac97'/>"]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"],
      ['+', "<disk type='file' device='cdrom'><target dev='vdz' bus='virtio'/></disk>"],
      ['+', "<disk type='dir' device='disk'><source dir='/tmp'/><target dev='vda'/></disk>"],
      [
        '+',
        "<disk type='nvme' device='disk'><source type='pci' managed='yes' namespace='1'><address domain='0' bus='3' slot='0' function='0'/></source><target dev='vdb' bus='virtio'/></disk>"
      ]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<disk type='file' device='lun'><source file='/tmp/x'/><target dev='vda' bus='virtio'/></disk>"],
      [
        '+',
        disk(
          "dev='vda' bus='virtio'",
          '<iotune><total_bytes_sec>1</total_bytes_sec><read_bytes_sec>1</read_bytes_sec></iotune>'
        )
      ],
      ['+', disk("dev='vda' bus='virtio'", '<wwn>5000c50015ea71ac</wwn>')],
      ['+', disk("dev='vda' bus='virtio'").replace("type='qcow2'", "type='raw' iothread='4'")]
    ]
  },
  {
    guest: 'pc',
    steps: [
      ['+', disk("dev='vdb' bus='virtio'", "<address type='drive' unit='1'/>")],
      ['+', disk("dev='sdc' bus='scsi'", pci(9))],
      ['+', disk("dev='vdb' bus='virtio'", "<address type='nosuch'/>")],
      ['+', disk("dev='vdb' bus='virtio'", "<address type='pci' slot='0x20'/>")]
    ]
  },
  // updates of what has a place, a name or a number already
  {
    guest: 'pc',
    steps: [
      ['~', nic('01', pci(3))],
      ['~', nic('01', pci(4))],
      ['~', nic('02', "<alias name='ua-net'/><boot order='1'/>")],
      ['~', nic('02', "<alias name='ua-new'/>")],
      ['~', "<interface type='user'><mac address='52:54:00:00:00:02'/><model type='rtl8139'/></interface>"],
      ['-', nic('02')]
    ]
  },
  {
    guest: 'q35',
    steps: [
      ['~', nic('01', "<boot order='1'/>")],
      ['~', nic('01', "<boot order='7'/>")],
      [
        '~',
        "<interface type='hostdev'><mac address='52:54:00:00:00:01'/><source><address type='pci' domain='0' bus='7' slot='2' function='0'/></source></interface>"
      ]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', serial('/tmp/x', "<target type='isa-serial' port='0'/>")],
      ['+', serial('/tmp/x', "<target type='isa-serial' port='3'/>")],
      ['+', serial('/tmp/y', "<target type='isa-serial'/>")],
      ['+', serial('/tmp/z', "<target type='isa-serial' port='9'/>")],
      ['+', serial('/tmp/w', "<target type='usb-serial'/>")],
      ['+', serial('/tmp/v', "<target type='sclp-serial'/>")]
    ]
  },
  {
    guest: 'full',
    steps: [
      ['+', "<serial type='tcp'><source mode='bind' host='0' service='2445'/><protocol type='telnet'/></serial>"],
      [
        '-',
        "<serial type='tcp'><source mode='bind' host='0' service='2445'/><protocol type='raw'/><target port='2'/></serial>"
      ],
      [
        '-',
        "<serial type='tcp'><source mode='bind' host='0' service='2445'/><protocol type='telnet'/><target port='2'/></serial>"
      ],
      ['+', "<serial type='udp'><source mode='connect' host='a' service='1'/></serial>"],
      ['-', "<serial type='udp'><source mode='connect' host='a' service='1'/><target port='2'/></serial>"],
      ['+', "<serial type='nosuch'/>"]
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<channel type='unix'><target type='virtio' name='a'/><alias name='ua-c'/></channel>"],
      ['-alias', 'ua-c'],
      ['+', "<watchdog model='ib700'><alias name='ua-w'/></watchdog>"],
      ['+', "<rng model='virtio'><backend model='builtin'/><alias name='ua-w'/></rng>"],
      ['-alias', 'ua-w'],
      ['-alias', '']
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<tpm model='nosuch'/>"],
      ['+', "<video><model type='nosuch'/></video>"],
      ['+', "<graphics type='nosuch'/>"],
      ['+', "<memballoon model='nosuch'/>"],
      ['+', "<iommu model='nosuch'/>"],
      ['+', '<audio/>'],
      ['+', "<panic model='nosuch'/>"],
      ['+', '<smartcard/>'],
      ['+', '<hub/>'],
      ['+', '<nvram/>']
    ]
  },
  {
    guest: 'bare',
    steps: [
      ['+', "<memory model='dimm'><target><size>1</size></target></memory>"],
      ['+', '<memory/>'],
      ['+', '<lease/>'],
      ['+', '<shmem/>'],
      ['+', '<watchdog/>'],
      ['+', '<input/>'],
      ['+', '<sound/>'],
      ['+', '<hostdev/>'],
      ['+', '<controller/>'],
      ['+', '<interface/>'],
      ['+', '<filesystem/>'],
      ['+', '<redirdev/>'],
      ['+', '<vsock/>'],
      ['+', '<channel/>'],
      ['+', '<console/>'],
      ['+', '<parallel/>'],
      ['+', '<serial/>']
    ]
  },
  // beside a live definition
  {
    guest: 'running',
    running: true,
    steps: [
      ['+', "<serial type='null'/>"],
      ['-', "<serial type='null'/>"],
      ['-', "<serial type='null'/>"],
      ['+', "<parallel type='null'/>"],
      ['+', "<parallel type='null'/>"],
      ['-', "<parallel type='null'/>"],
      ['-', "<parallel type='null'/>"]
    ]
  },
  {
    guest: 'running',
    running: true,
    steps: [
      ['+', nic('02')],
      ['-', nic('')],
      ['-', nic('01', "<alias name='net0'/>")],
      ['-alias', 'net0'],
      ['~', nic('02', "<link state='down'/>")],
      ['+', disk("dev='vda' bus='virtio'")],
      ['+', disk("dev='vda' bus='virtio'")],
      ['~', "<disk type='file' device='cdrom'><source file='/tmp/cd.iso'/><target dev='hdc' bus='ide'/></disk>"],
      ['-', "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>"],
      ['+', "<watchdog model='i6300esb'/>"],
      ['-', "<rng model='virtio'><backend model='builtin'/></rng>"],
      ['+', dimm(64, 0)]
    ]
  },
  {
    guest: 'running',
    running: true,
    steps: [
      ['+', scsiHost(0)],
      ['+', scsiHost(1)],
      ['-', scsiHost(0)],
      ['+', "<console type='null'><target type='virtio'/></console>"],
      ['-', "<console type='null'><target type='virtio'/></console>"],
      ['+', "<vsock model='virtio'/>"],
      ['-', channel('one', 'null')],
      ['+', channel('two', 'unix')],
      ['-', channel('two', 'unix')]
    ]
  },
  // graphics and what stays as it was defined
  {
    guest: 'pc',
    steps: [
      ['~', "<graphics type='vnc' port='5999' autoport='no' passwd='secret'/>"],
      ['~', "<graphics type='spice' autoport='yes'/>"],
      ['+', "<graphics type='vnc'/>"],
      ['-', "<graphics type='vnc'/>"],
      ['~', "<graphics type='vnc'><listen type='address' address='127.0.0.1'/></graphics>"]
    ]
  },
  ...(
    [
      ["<video><model type='qxl'/></video>", 'pc'],
      ["<hub type='usb'/>", 'full'],
      ["<smartcard mode='host'/>", 'full'],
      ["<memballoon model='virtio'/>", 'full'],
      ["<nvram><address type='spapr-vio' reg='0x3000'/></nvram>", 'full'],
      ["<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>", 'full'],
      ["<panic model='isa'/>", 'full'],
      ["<panic model='hyperv'/>", 'pc'],
      ["<iommu model='intel'/>", 'q35'],
      ["<audio id='2' type='none'/>", 'pc'],
      ["<watchdog model='ib700'/>", 'full'],
      ["<sound model='ac97'/>", 'full'],
      [serial('/tmp/one', "<target port='0'/>"), 'full'],
      [channel('one'), 'full'],
      ["<console type='pty'><target type='virtio' port='1'/></console>", 'full'],
      ["<parallel type='pty'><target port='0'/></parallel>", 'full'],
      [rng('/dev/urandom'), 'pc'],
      [shmem('one', 4), 'full'],
      [fs('one'), 'full'],
      [lease('one'), 'full'],
      [pciHost(6), 'full'],
      [controller('scsi', "index='0'"), 'pc'],
      [redirdev(4000), 'full'],
      ["<input type='tablet' bus='usb'/>", 'full'],
      ["<vsock model='virtio'/>", 'full'],
      ['<redirfilter/>', 'full'],
      ['<emulator>/bin/true</emulator>', 'pc'],
      ['<nosuch/>', 'pc'],
      ['<disk', 'pc'],
      ['', 'pc']
    ] as const
  ).map(
    ([xml, guest]): Case => ({
      guest,
      steps: [
        ['~', xml],
        ['+', xml],
        ['-', xml]
      ]
    })
  )
]
