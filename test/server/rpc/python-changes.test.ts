// The real libvirt-python changes a guest of libvirtd and an equal one of a shim: what it may take of the host, its
// devices, its disks' limits, its life. The same values, types and errors, and the same definitions afterwards.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Daemons } from '../../helper/libvirtd.ts'
import {
  type Call,
  codeOf,
  compareCalls,
  conn,
  dom,
  qemu,
  type Side,
  typesOf,
  xmlOf
} from '../../helper/python-calls.ts'
import { Shim } from '../../helper/shim.ts'

t.setTimeout(600_000)

const SHUTOFF = 5
const RUNNING = 1
const NAME = `t-pychange-${process.pid}`
const LIVE = 1
const CONFIG = 2
const BOTH = LIVE | CONFIG
const INACTIVE = 'VIR_DOMAIN_XML_INACTIVE'
const KIB = 1024
/** VIR_DOMAIN_MEMORY_PARAM_UNLIMITED */
const UNLIMITED_KIB = 2 ** 53 - 1

const guest = (name: string, number: number) => `<domain type='qemu'><name>${name}</name>
  <uuid>6dfc3c2b-7a4e-4f6e-9f0d-${process.pid.toString(16).padStart(10, '0')}${number}</uuid>
  <maxMemory slots='4' unit='MiB'>512</maxMemory><memory unit='MiB'>64</memory><vcpu current='2'>4</vcpu>
  <iothreads>2</iothreads><os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
  <cpu><numa><cell id='0' cpus='0-3' memory='64' unit='MiB'/></numa></cpu>
  <devices>
    <controller type='pci' index='0' model='pcie-root'/>${"<controller type='pci' model='pcie-root-port'/>".repeat(16)}
    <controller type='scsi' index='0' model='virtio-scsi'/><controller type='usb' index='0' model='qemu-xhci'/>
    <controller type='virtio-serial' index='0'/>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$D/main.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$D/raw.img'/><target dev='sda' bus='scsi'/></disk>
    <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
    <interface type='ethernet'><mac address='52:54:00:7a:33:01'/><target dev='$T'/><model type='virtio'/></interface>
    <interface type='user'><mac address='52:54:00:7a:33:02'/><model type='e1000'/></interface>
    <serial type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <channel type='unix'><target type='virtio' name='org.example.0'/></channel>
    <graphics type='vnc' passwd='secret'><listen type='socket'/></graphics><video><model type='vga'/></video>
    <memballoon model='virtio'/>
  </devices></domain>`

/** CPUs, time, memory and disks of the host. */
const tuning: Call[] = [
  dom('schedulerType'),
  dom('schedulerParameters'),
  ...[0, LIVE, CONFIG, BOTH, 4].flatMap(flags => [
    dom('schedulerParametersFlags', flags),
    dom('memoryParameters', flags),
    dom('blkioParameters', flags),
    dom('numaParameters', flags),
    dom('perfEvents', flags),
    dom('vcpuPinInfo', flags),
    dom('emulatorPinInfo', flags),
    dom('ioThreadInfo', flags),
    dom('interfaceParameters', '$T', flags),
    dom('blockIoTune', 'vda', flags)
  ]),
  dom('setSchedulerParameters', { cpu_shares: 500 }),
  dom('setSchedulerParameters', {}),
  dom('setSchedulerParameters', { nosuch: 500 }),
  dom('setSchedulerParameters', { cpu_shares: 'x' }),
  dom('setSchedulerParameters', { cpu_shares: -1 }),
  ...[CONFIG, LIVE, BOTH, 0].flatMap(flags => [
    dom('setSchedulerParametersFlags', { vcpu_quota: 9000 + flags, vcpu_period: 20000 }, flags),
    dom('setSchedulerParametersFlags', { emulator_quota: 8000 + flags, emulator_period: 30000 }, flags),
    dom('setSchedulerParametersFlags', { iothread_quota: 7000 + flags, iothread_period: 40000 }, flags),
    dom('setSchedulerParametersFlags', { global_quota: 90000 + flags, global_period: 50000 }, flags),
    dom('setMemoryParameters', { hard_limit: 2 * KIB * KIB + flags * 4, swap_hard_limit: 3 * KIB * KIB }, flags),
    dom('setMemoryParameters', { soft_limit: 900_000 + flags * 4 }, flags),
    dom('setBlkioParameters', { weight: 300 + flags }, flags),
    dom('setBlkioParameters', { device_read_iops_sec: '/dev/null,100' }, flags),
    dom('setBlkioParameters', { device_write_bytes_sec: '/dev/nosuch,100' }, flags),
    dom('setNumaParameters', { numa_mode: 0, numa_nodeset: '0' }, flags),
    dom('setNumaParameters', { numa_nodeset: '0' }, flags),
    dom('setPerfEvents', { cpu_clock: true, task_clock: true }, flags),
    dom('setPerfEvents', { cpu_clock: false }, flags),
    dom('pinVcpuFlags', 0, 'CPUS 10', flags),
    dom('pinVcpuFlags', 1, 'CPUS 01', flags),
    dom('pinEmulator', 'CPUS 11', flags),
    dom('pinIOThread', 1, 'CPUS 10', flags),
    dom('setInterfaceParameters', '$T', { 'inbound.average': 500 + flags, 'inbound.peak': 900 }, flags),
    dom('setInterfaceParameters', '$T', { 'outbound.average': 400, 'outbound.burst': 90 }, flags),
    dom('setInterfaceParameters', '52:54:00:7a:33:01', { 'outbound.average': 300 }, flags),
    dom('setBlockIoTune', 'vda', { total_bytes_sec: 1_000_000 + flags }, flags),
    dom('setBlockIoTune', 'vda', { read_iops_sec: 100, read_iops_sec_max: 200, read_iops_sec_max_length: 3 }, flags),
    dom('setBlockIoTune', 'sda', { total_iops_sec: 100, group_name: 'drives' }, flags)
  ]),
  ...[
    'cputune',
    'memtune',
    'blkiotune',
    'numatune',
    'perf',
    'devices/disk/iotune',
    'devices/interface/bandwidth'
  ].flatMap(path => [xmlOf(path), xmlOf(path, INACTIVE)]),
  dom('schedulerParameters'),
  ...[LIVE, CONFIG].flatMap(flags => [
    dom('schedulerParametersFlags', flags),
    dom('memoryParameters', flags),
    dom('blkioParameters', flags),
    dom('numaParameters', flags),
    dom('perfEvents', flags),
    dom('vcpuPinInfo', flags),
    dom('emulatorPinInfo', flags),
    dom('ioThreadInfo', flags),
    dom('interfaceParameters', '$T', flags),
    dom('interfaceParameters', '52:54:00:7a:33:01', flags),
    dom('blockIoTune', 'vda', flags),
    dom('blockIoTune', 'sda', flags),
    dom('blockIoTune', '$D/raw.img', flags)
  ]),
  // what is refused
  dom('setSchedulerParametersFlags', { vcpu_quota: 5 }),
  dom('setSchedulerParametersFlags', { vcpu_period: 5 }, CONFIG),
  dom('setSchedulerParametersFlags', { global_period: 5_000_000 }),
  dom('setSchedulerParametersFlags', { cpu_shares: 1 }),
  dom('setSchedulerParametersFlags', { weight: 1 }),
  dom('setSchedulerParametersFlags', { cpu_shares: 5 }, 4),
  dom('setMemoryParameters', { hard_limit: -1 }),
  dom('setMemoryParameters', { min_guarantee: 5 }),
  dom('setMemoryParameters', { swap_hard_limit: 5 }),
  dom('setMemoryParameters', { nosuch: 5 }),
  dom('setMemoryParameters', { soft_limit: 5 }, 4),
  dom('setBlkioParameters', { weight: 5 }),
  dom('setBlkioParameters', { weight: 5000 }, CONFIG),
  dom('setBlkioParameters', { device_weight: '/dev/null,5' }, CONFIG),
  dom('setBlkioParameters', { device_weight: '/dev/null' }, CONFIG),
  dom('setBlkioParameters', { device_weight: '/dev/null,x' }),
  dom('setBlkioParameters', { weight: 300 }, 4),
  dom('setNumaParameters', { numa_mode: 9 }),
  dom('setNumaParameters', { numa_mode: 2 }),
  dom('setNumaParameters', { numa_nodeset: 'x' }),
  dom('setNumaParameters', { numa_nodeset: '' }),
  dom('setNumaParameters', { numa_nodeset: '0' }, 4),
  dom('setPerfEvents', { cmt: true }),
  dom('setPerfEvents', { nosuch: true }),
  dom('setPerfEvents', { cpu_clock: true }, 4),
  dom('pinVcpu', 0, 'CPUS 11'),
  dom('pinVcpu', 0, 'CPUS 00'),
  dom('pinVcpu', 3, 'CPUS 10'),
  dom('pinVcpu', 4, 'CPUS 10'),
  dom('pinVcpu', -1, 'CPUS 10'),
  dom('pinVcpu', 0, [1]),
  dom('pinVcpuFlags', 0, 'CPUS 10', 8),
  dom('pinVcpuFlags', 9, 'CPUS 10', CONFIG),
  dom('pinVcpuFlags', 3, 'CPUS 10', CONFIG),
  dom('pinEmulator', 'CPUS 00'),
  dom('pinEmulator', 'CPUS 10', 4),
  dom('pinIOThread', 9, 'CPUS 10'),
  dom('pinIOThread', 9, 'CPUS 10', CONFIG),
  dom('pinIOThread', 0, 'CPUS 10'),
  dom('pinIOThread', 1, 'CPUS 00'),
  dom('pinIOThread', 1, 'CPUS 10', 8),
  dom('setInterfaceParameters', 'nosuch', { 'inbound.average': 5 }),
  dom('setInterfaceParameters', 'nosuch', { 'inbound.average': 5 }, CONFIG),
  dom('setInterfaceParameters', '$T', { 'inbound.nosuch': 5 }),
  dom('setInterfaceParameters', '$T', { 'inbound.peak': 5 }),
  dom('setInterfaceParameters', '52:54:00:7a:33:02', { 'inbound.average': 5 }),
  dom('setInterfaceParameters', '$T', { 'inbound.average': 5 }, 4),
  dom('setInterfaceParameters', '$T', { 'inbound.average': 0, 'outbound.average': 0 }, BOTH),
  dom('interfaceParameters', 'nosuch'),
  dom('interfaceParameters', '52:54:00:7a:33:02'),
  dom('setBlockIoTune', 'vdz', { total_bytes_sec: 5 }),
  dom('setBlockIoTune', 'vda', { total_bytes_sec: 5, read_bytes_sec: 5 }),
  dom('setBlockIoTune', 'vda', { read_iops_sec_max: 5 }),
  dom('setBlockIoTune', 'vda', { total_bytes_sec: 2 ** 62 }),
  dom('setBlockIoTune', 'vda', { total_bytes_sec: -1 }),
  dom('setBlockIoTune', 'vda', { nosuch: 5 }),
  dom('setBlockIoTune', 'vda', { total_bytes_sec: 5 }, 4),
  dom('setBlockIoTune', 'sdb', { total_bytes_sec: 5 }),
  dom('setBlockIoTune', 'sdb', { total_bytes_sec: 5 }, CONFIG),
  dom('blockIoTune', 'vdz'),
  dom('blockIoTune', 'sdb'),
  dom('blockIoTune', 'vdz', CONFIG),
  // what is to follow is not to be slowed
  dom('setSchedulerParametersFlags', { vcpu_quota: -1, emulator_quota: -1, iothread_quota: -1, global_quota: -1 }),
  dom('setBlockIoTune', 'vda', { total_bytes_sec: 0, read_iops_sec: 0, read_iops_sec_max: 0 }, CONFIG),
  dom('setBlockIoTune', 'vda', {}),
  // libvirtd has a hard limit raise that of locked memory, which some hosts do not allow it
  dom('setMemoryParameters', { hard_limit: UNLIMITED_KIB, swap_hard_limit: UNLIMITED_KIB }, LIVE),
  xmlOf('devices/disk/iotune'),
  xmlOf('devices/disk/iotune', INACTIVE)
]

/** vCPUs, IOThreads and memory that come and go. */
const sizes: Call[] = [
  ...[0, LIVE, CONFIG, 'VIR_DOMAIN_VCPU_MAXIMUM', 5, 6, 3].map(flags => dom('vcpusFlags', flags)),
  typesOf(dom('vcpus')),
  dom('setVcpusFlags', 3, LIVE),
  dom('setVcpusFlags', 3, CONFIG),
  dom('setVcpusFlags', 5, CONFIG),
  dom('setVcpusFlags', 5, 'VIR_DOMAIN_VCPU_MAXIMUM'),
  dom('setVcpusFlags', 4, 6),
  dom('setVcpusFlags', 3, 'VIR_DOMAIN_VCPU_HOTPLUGGABLE'),
  dom('setVcpusFlags', -1),
  dom('setVcpus', 0),
  dom('setVcpus', 5),
  dom('setVcpu', '3', 1, LIVE),
  dom('setVcpu', '3', 1, CONFIG),
  dom('setVcpu', '2,3', 0, CONFIG),
  dom('setVcpu', '0', 0, CONFIG),
  dom('setVcpu', '^', 0),
  dom('setVcpu', '1', 1),
  dom('vcpusFlags', LIVE),
  dom('vcpusFlags', CONFIG),
  typesOf(dom('vcpus')),
  typesOf(dom('getCPUStats', true)),
  dom('getCPUStats', true, 1),
  xmlOf('vcpu'),
  xmlOf('vcpus'),
  xmlOf('vcpu', INACTIVE),
  xmlOf('vcpus', INACTIVE),
  dom('addIOThread', 3, BOTH),
  dom('addIOThread', 5, CONFIG),
  dom('addIOThread', 3, LIVE),
  dom('addIOThread', 3, CONFIG),
  dom('addIOThread', 9, 8),
  dom('setIOThreadParams', 1, { poll_max_ns: 9000, poll_grow: 2, poll_shrink: 3 }, LIVE),
  dom('setIOThreadParams', 1, { poll_max_ns: 8000, thread_pool_min: 2, thread_pool_max: 9 }, CONFIG),
  dom('setIOThreadParams', 1, { thread_pool_max: 2, thread_pool_min: 5 }, LIVE),
  dom('setIOThreadParams', 1, { poll_max_ns: -1 }, LIVE),
  dom('setIOThreadParams', 9, { poll_max_ns: 1 }, LIVE),
  dom('setIOThreadParams', 9, { poll_max_ns: 1 }, CONFIG),
  dom('setIOThreadParams', 1, {}, LIVE),
  dom('setIOThreadParams', 1, { poll_grow: 1 }, 8),
  dom('ioThreadInfo', LIVE),
  dom('ioThreadInfo', CONFIG),
  xmlOf('iothreadids'),
  xmlOf('iothreadids', INACTIVE),
  dom('delIOThread', 3, LIVE),
  dom('delIOThread', 5, CONFIG),
  dom('delIOThread', 9, CONFIG),
  dom('delIOThread', 3, 8),
  dom('setMemory', 60_000),
  dom('setMemory', 70_000),
  dom('setMemoryFlags', 50_000, CONFIG),
  dom('setMemoryFlags', 70_000, CONFIG),
  dom('setMemoryFlags', 65_536, BOTH),
  dom('setMemoryFlags', 65_536, 'VIR_DOMAIN_MEM_MAXIMUM'),
  dom('setMemoryFlags', 131_072, 6),
  dom('setMaxMemory', 65_536),
  dom('setMemoryStatsPeriod', 3, LIVE),
  dom('setMemoryStatsPeriod', 4, CONFIG),
  dom('setMemoryStatsPeriod', -1, BOTH),
  dom('maxMemory'),
  xmlOf('devices/memballoon', INACTIVE),
  dom('startDirtyRateCalc', 1, 0),
  dom('startDirtyRateCalc', 1, 'VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING'),
  dom('startDirtyRateCalc', 1, 3),
  dom('startDirtyRateCalc', -1, 0),
  typesOf(dom('memoryStats')),
  dom('memoryStats', 1),
  // the firmware's entry and its date
  dom('memoryPeek', 0xf_fff0, 14, 'VIR_MEMORY_PHYSICAL'),
  dom('memoryPeek', 0, 0, 'VIR_MEMORY_PHYSICAL'),
  dom('memoryPeek', 0, 2 ** 30, 'VIR_MEMORY_PHYSICAL'),
  dom('memoryPeek', 0, 1, 3)
]

const disk = (target: string, bus: string, file: string, more = '') =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$D/${file}'/><target dev='${target}' bus='${bus}'/>${more}</disk>`
const tray = (source: string) =>
  `<disk type='file' device='cdrom'>${source}<target dev='sdb' bus='sata'/><readonly/></disk>`
const card = (mac: string, more = '') =>
  `<interface type='user'><mac address='52:54:00:7a:33:${mac}'/><model type='virtio'/>${more}</interface>`
const channel = (name: string) => `<channel type='unix'><target type='virtio' name='${name}'/></channel>`

/** A device of each class that QEMU plugs and lets go at once, by itself. */
const DEVICES: [name: string, xml: string][] = [
  ['usb disk', disk('sdx', 'usb', 'usb.qcow2')],
  [
    'scsi disk',
    disk('sdy', 'scsi', 'scsi.qcow2', '<serial>S1</serial><iotune><read_iops_sec>9</read_iops_sec></iotune>')
  ],
  ['channel', channel('org.example.1')],
  ['tablet', "<input type='tablet' bus='usb'/>"],
  ['redirected device', "<redirdev bus='usb' type='pty'/>"],
  ['serial port', "<serial type='pty'><target type='usb-serial'/></serial>"]
]
/** Those that the guest would have to let go: it does not, so they stay. */
const STAYING: [name: string, xml: string][] = [
  ['disk', disk('vdb', 'virtio', 'plug.qcow2', "<alias name='ua-plug'/>")],
  ['interface', card('10', "<alias name='ua-card'/>")],
  ['rng', "<rng model='virtio'><backend model='random'>/dev/urandom</backend><alias name='ua-rng'/></rng>"],
  ['controller', "<controller type='scsi' index='4' model='virtio-scsi'><alias name='ua-scsi'/></controller>"],
  ['memory', "<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target></memory>"],
  ['watchdog', "<watchdog model='i6300esb' action='none'/>"],
  ['sound', "<sound model='ich9'/>"],
  ['video', "<video><model type='virtio'/></video>"],
  ['graphics', "<graphics type='vnc'/>"],
  ['balloon', "<memballoon model='virtio'/>"],
  ['hub', "<hub type='usb'/>"],
  ['panic', "<panic model='isa'/>"],
  ['lease', "<lease><lockspace>a</lockspace><key>b</key><target path='/nosuch'/></lease>"]
]

/** A disk without a target is left out: libvirtd 11.3 does not survive its removal. */
const broken = [
  '',
  '<nosuch/>',
  "<disk><target dev='vdr'/></disk>",
  "<interface><mac address='52:54:00:7a:33:30'/></interface>",
  "<input type='tablet'/>",
  '<memory/>'
]

const devices: Call[] = [
  ...DEVICES.flatMap(([, xml]) => [
    dom('attachDeviceFlags', xml, LIVE),
    dom('attachDeviceFlags', xml, CONFIG),
    dom('attachDeviceFlags', xml, BOTH),
    dom('updateDeviceFlags', xml, LIVE),
    dom('updateDeviceFlags', xml, CONFIG),
    dom('detachDeviceFlags', xml, LIVE),
    dom('detachDeviceFlags', xml, CONFIG),
    dom('detachDeviceFlags', xml, BOTH),
    dom('attachDevice', xml),
    dom('detachDevice', xml)
  ]),
  ...STAYING.flatMap(([, xml]) => [
    dom('attachDeviceFlags', xml, LIVE),
    dom('attachDeviceFlags', xml, CONFIG),
    dom('attachDeviceFlags', xml, LIVE),
    dom('updateDeviceFlags', xml, LIVE),
    dom('detachDeviceFlags', xml, CONFIG)
  ]),
  ...broken.flatMap(xml =>
    ['attachDevice', 'detachDevice', 'updateDeviceFlags'].map(method => codeOf(dom(method, xml)))
  ),
  ...['attachDeviceFlags', 'detachDeviceFlags', 'updateDeviceFlags'].flatMap(method => [
    dom(method, card('20'), 8),
    dom(method, card('20'), 16),
    dom(method, "<input type='tablet' bus='usb'/>", 0)
  ]),
  dom('detachDeviceFlags', card('66'), LIVE),
  dom('detachDeviceFlags', card('66'), CONFIG),
  dom('detachDeviceFlags', disk('vdq', 'virtio', 'plug.qcow2'), LIVE),
  dom('detachDeviceAlias', 'ua-plug', CONFIG),
  dom('detachDeviceAlias', 'nosuch', LIVE),
  dom('detachDeviceAlias', '', LIVE),
  dom('detachDeviceAlias', 'ua-nosuch', CONFIG),
  dom('detachDeviceAlias', 'ua-plug', 8),
  dom('detachDeviceAlias', 'pcie.0', LIVE),
  // media, links, passwords
  dom('updateDeviceFlags', tray("<source file='$D/one.iso'/>"), LIVE),
  xmlOf("devices/disk[@device='cdrom']/source"),
  dom('updateDeviceFlags', tray("<source file='$D/two.iso'/>"), CONFIG),
  dom('updateDeviceFlags', tray("<source file='$D/two.iso'/>"), LIVE),
  dom('updateDeviceFlags', tray(''), LIVE),
  dom('updateDeviceFlags', tray(''), 'VIR_DOMAIN_DEVICE_MODIFY_FORCE'),
  codeOf(dom('updateDeviceFlags', tray("<source file='$D/nosuch.iso'/>"), LIVE)),
  xmlOf("devices/disk[@device='cdrom']/source"),
  xmlOf("devices/disk[@device='cdrom']/source", INACTIVE),
  dom('updateDeviceFlags', tray("<source file='$D/one.iso'/>"), LIVE),
  dom('updateDeviceFlags', disk('vda', 'virtio', 'other.qcow2'), LIVE),
  dom('updateDeviceFlags', card('10', "<link state='down'/>"), LIVE),
  dom('updateDeviceFlags', card('10', "<link state='up'/>").replace('virtio', 'rtl8139'), LIVE),
  dom('updateDeviceFlags', card('67'), LIVE),
  dom('updateDeviceFlags', "<graphics type='vnc' passwd='other'><listen type='socket'/></graphics>", LIVE),
  dom('updateDeviceFlags', "<graphics type='vnc' passwd='other'><listen type='none'/></graphics>", LIVE),
  dom('updateDeviceFlags', "<graphics type='spice'/>", LIVE),
  dom('updateDeviceFlags', "<memballoon model='virtio'><stats period='7'/></memballoon>", LIVE),
  dom('updateDeviceFlags', "<memballoon model='none'/>", LIVE),
  // one that has been asked to go is asked again
  dom('detachDeviceAlias', 'ua-card', LIVE),
  dom('detachDeviceAlias', 'ua-card', LIVE),
  dom('detachDeviceFlags', card('10'), LIVE),
  ...[
    'disk/target',
    'disk/alias',
    'interface/mac',
    'channel/target',
    'rng',
    'input',
    'redirdev/alias',
    'memory',
    'watchdog',
    'sound',
    'hub',
    'lease',
    'panic'
  ].flatMap(path => [xmlOf(`devices/${path}`), xmlOf(`devices/${path}`, INACTIVE)])
]

/** Disks, interfaces and what the guest shows of itself. */
const insight: Call[] = [
  dom('blockInfo', 'vda', 1),
  typesOf(dom('blockInfo', 'vda')),
  typesOf(dom('blockInfo', '$D/raw.img')),
  typesOf(dom('blockStats', 'vda')),
  typesOf(dom('blockStats', '')),
  typesOf(dom('blockStats', 'sda')),
  dom('blockStats', '$D/nosuch'),
  typesOf(dom('blockStatsFlags', 'vda')),
  typesOf(dom('blockStatsFlags', '')),
  dom('blockStatsFlags', 'nosuch'),
  typesOf(dom('blockStatsFlags', 'vda', 4)),
  dom('blockPeek', 'sda', 0, 16),
  dom('blockPeek', '$D/raw.img', 4, 12),
  dom('blockPeek', 'sda', 2 ** 40, 16),
  dom('blockPeek', 'sda', 0, 0),
  dom('blockPeek', 'sda', 0, 16, 1),
  dom('blockPeek', 'nosuch', 0, 16),
  dom('blockPeek', '', 0, 16),
  codeOf(dom('blockPeek', 'sdb', 0, 16)),
  dom('setBlockThreshold', 'vda', 4096),
  dom('setBlockThreshold', 'vda[1]', 4096),
  dom('setBlockThreshold', 'vda[3]', 8192),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_BLOCK', 'VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING')),
  dom('setBlockThreshold', 'vda[9]', 4096),
  dom('setBlockThreshold', 'nosuch', 4096),
  dom('setBlockThreshold', 'vda[', 4096),
  dom('setBlockThreshold', 'sdb', 4096),
  dom('setBlockThreshold', 'vda', 0),
  dom('setBlockThreshold', 'vda', 1, 1),
  dom('blockResize', 'vda', 32 * KIB),
  dom('blockResize', 'vda', 33 * KIB * KIB, 'VIR_DOMAIN_BLOCK_RESIZE_BYTES'),
  dom('blockResize', 'vda', 0),
  dom('blockResize', 'vda', 1, 8),
  dom('blockResize', 'nosuch', 1024),
  dom('blockResize', 'sdb', 1024),
  dom('blockResize', 'sda', 0, 2),
  dom('blockResize', 'vda', 2 ** 63, 0),
  dom('diskErrors'),
  dom('diskErrors', 1),
  typesOf(dom('interfaceStats', '$T')),
  dom('interfaceStats', '52:54:00:7a:33:02'),
  typesOf(dom('interfaceStats', '52:54:00:7a:33:01')),
  dom('interfaceStats', ''),
  ...['LEASE', 'AGENT', 'ARP'].map(source => dom('interfaceAddresses', `VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_${source}`)),
  dom('interfaceAddresses', 'VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP', 1),
  dom('hostname', 'VIR_DOMAIN_GET_HOSTNAME_AGENT'),
  dom('messages'),
  ...['DEPRECATION', 'TAINTING'].map(kind => dom('messages', `VIR_DOMAIN_MESSAGE_${kind}`)),
  dom('messages', 4),
  dom('messages', 8),
  dom('jobInfo'),
  dom('jobStats'),
  dom('jobStats', 'VIR_DOMAIN_JOB_STATS_COMPLETED'),
  dom('jobStats', 'VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED'),
  dom('jobStats', 3),
  dom('abortJobFlags'),
  dom('abortJobFlags', 'VIR_DOMAIN_ABORT_JOB_POSTCOPY'),
  dom('abortJobFlags', 2),
  dom('launchSecurityInfo'),
  dom('launchSecurityInfo', 1),
  dom('setLaunchSecurityState', { 'sev-secret': 'x', 'sev-secret-header': 'y' }),
  dom('setLaunchSecurityState', {}, 1),
  dom('controlInfo'),
  typesOf(dom('securityLabel')),
  typesOf(dom('securityLabelList')),
  dom('isUpdated'),
  dom('FDAssociate', 'name', ['FILE'], 0),
  dom('FDAssociate', 'name', ['FILE', 'FILE'], 'VIR_DOMAIN_FD_ASSOCIATE_SECLABEL_RESTORE'),
  dom('FDAssociate', 'name', ['FILE'], 4),
  dom('FDAssociate', 'name', [], 0),
  dom('FDAssociate', '', ['FILE'], 0),
  typesOf(dom('openGraphicsFD', 0)),
  typesOf(dom('openGraphicsFD', 0, 'VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH')),
  dom('openGraphicsFD', 0, 2),
  dom('openGraphicsFD', 1),
  dom('openGraphics', 0, 'SOCKET'),
  dom('openGraphics', 0, 'SOCKET', 'VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH'),
  dom('openGraphics', 0, 'SOCKET', 2),
  dom('openGraphics', 5, 'SOCKET'),
  dom('openGraphics', 0, 'FILE'),
  dom('openChannel', null, 'STREAM'),
  dom('openChannel', 'org.example.0', 'STREAM'),
  dom('openChannel', 'org.nosuch', 'STREAM'),
  dom('openChannel', 'org.example.0', 'STREAM', 4),
  dom('openConsole', 'serial0', 'STREAM', 4),
  dom('screenshot', 'STREAM', 0),
  dom('screenshot', 'STREAM', 0, 1),
  dom('screenshot', 'STREAM', 4),
  dom('sendKey', 'VIR_KEYCODE_SET_QNUM', 5, [30, 31], 2),
  dom('sendKey', 'VIR_KEYCODE_SET_LINUX', 0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17], 17),
  dom('sendKey', 'VIR_KEYCODE_SET_LINUX', 0, [9999], 1),
  dom('sendKey', 'VIR_KEYCODE_SET_LINUX', 0, [], 0),
  dom('sendKey', 'VIR_KEYCODE_SET_WIN32', 0, [65], 1),
  dom('sendProcessSignal', 1, 'VIR_DOMAIN_PROCESS_SIGNAL_TERM'),
  dom('sendProcessSignal', 0, 15),
  dom('sendProcessSignal', 1, 99),
  dom('sendProcessSignal', 1, 15, 1),
  dom('injectNMI'),
  conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_IOTHREAD'),
  conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_STATE'),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_CPU_TOTAL')),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_BALLOON')),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_VCPU')),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_INTERFACE')),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_BLOCK')),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_BLOCK', 'VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING')),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_PERF')),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_MEMORY')),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_DIRTYRATE')),
  typesOf(conn('domainListGetStats', ['DOM'], 'VIR_DOMAIN_STATS_VM')),
  typesOf(conn('domainListGetStats', ['DOM'], 0, 'VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT')),
  conn('domainListGetStats', ['DOM'], 0, 1 << 20),
  conn('domainListGetStats', [], 0),
  typesOf(conn('getAllDomainStats', 0, 'VIR_CONNECT_GET_ALL_DOMAINS_STATS_PERSISTENT')),
  ...[0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map(types => dom('guestInfo', types)),
  dom('guestInfo', 0, 1)
]

/** The guest's life, but for its end. */
const life: Call[] = [
  ...[0, 1, 2].flatMap(event => [
    dom('setLifecycleAction', event, 3, LIVE),
    dom('setLifecycleAction', event, 0, CONFIG)
  ]),
  dom('setLifecycleAction', 2, 4, BOTH),
  dom('setLifecycleAction', 0, 4, LIVE),
  dom('setLifecycleAction', 9, 0),
  dom('setLifecycleAction', 0, 9),
  dom('setLifecycleAction', -1, 0),
  dom('setLifecycleAction', 0, 1, 8),
  ...['on_poweroff', 'on_reboot', 'on_crash'].flatMap(path => [xmlOf(path), xmlOf(path, INACTIVE)]),
  ...[0, 1, 2, 3].map(target => dom('pMSuspendForDuration', target, 0)),
  dom('pMSuspendForDuration', 0, 5),
  dom('pMSuspendForDuration', 0, 0, 1),
  dom('pMWakeup'),
  dom('pMWakeup', 1),
  ...['', 'a/b'].map(name => dom('rename', name)),
  dom('rename', 'x', 1),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_TITLE', 'Title', null, null, LIVE),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_TITLE', 'Later', null, null, CONFIG),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_ELEMENT', "<a b='c'/>", 'k', 'urn:k', BOTH),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_ELEMENT', '<a/>', 'k', null, LIVE),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_ELEMENT', '<a/>', null, 'urn:k', LIVE),
  ...[0, LIVE, CONFIG, BOTH].flatMap(flags => [
    dom('metadata', 'VIR_DOMAIN_METADATA_TITLE', null, flags),
    dom('metadata', 'VIR_DOMAIN_METADATA_ELEMENT', 'urn:k', flags),
    dom('metadata', 'VIR_DOMAIN_METADATA_ELEMENT', null, flags),
    dom('metadata', 'VIR_DOMAIN_METADATA_DESCRIPTION', null, flags)
  ]),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_ELEMENT', null, null, 'urn:k', BOTH),
  dom('setMetadata', 'VIR_DOMAIN_METADATA_ELEMENT', null, null, 'urn:k', BOTH),
  dom('autostart'),
  dom('setAutostart', 1),
  dom('autostart'),
  dom('setAutostart', 0),
  dom('autostart'),
  dom('isUpdated'),
  dom('createWithFiles', ['FILE'], 0),
  dom('createWithFlags', 0),
  dom('undefineFlags', 1024),
  dom('undefineFlags', 12),
  dom('reset'),
  dom('state'),
  qemu('qemuMonitorCommand', 'info name', 1),
  typesOf(qemu('qemuMonitorCommand', '{"execute":"nosuch"}', 0)),
  codeOf(qemu('qemuMonitorCommand', '', 0)),
  qemu('qemuMonitorCommand', '{"execute":"query-name"}', 4)
]

/** Names are taken by guests that do not run. */
const renaming: Call[] = [
  dom('rename', `${NAME}-new`),
  dom('name'),
  conn('lookupByName', `${NAME}-off`),
  conn('lookupByName', `${NAME}-new`),
  dom('rename', `${NAME}-new`),
  dom('rename', `${NAME}-off`),
  dom('name')
]

/** Every call that changes something, once: a read-only connection refuses it. */
const changes: Call[] = [
  ...new Map([...tuning, ...sizes, ...devices, ...insight, ...life, ...renaming].map(call => [call[1], call])).values()
].filter(([on]) => on !== 'conn')

const areas = { tuning, sizes, devices, insight, life }

const dir = mkdtempSync(join(tmpdir(), 'virshim-pychange-'))
/** Each on the one after it. */
const CHAIN = ['main', 'middle', 'base']
const IMAGES = ['usb', 'scsi', 'plug', 'other']
const RAW = Buffer.alloc(KIB * KIB, 'virshim ')

const daemons = new Daemons(dir)
const shims: Shim[] = []
t.teardown(async () => {
  for (const name of [NAME, `${NAME}-off`, `${NAME}-new`]) {
    virsh('destroy', name)
    virsh('undefine', name)
  }
  for (const shim of shims) await shim.end()
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
// libvirtd's QEMU is another user
chmodSync(dir, 0o755)

const virsh = (...words: string[]) => spawnSync('virsh', ['-q', '-c', 'qemu:///system', ...words], { encoding: 'utf8' })

/** Makes a guest of libvirtd and one of a shim; gives both sides. */
async function guests(name: string, number: number): Promise<{ theirs: Side; ours: Side; shim: Shim }> {
  const side = (letter: string) => {
    const own = join(dir, `${name}-${letter}`)
    mkdirSync(own)
    const image = (name: string) => join(own, `${name}.qcow2`)
    const create = (name: string, ...more: string[]) => {
      spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...more, image(name), '16M'])
      chmodSync(image(name), 0o666)
    }
    for (const name of IMAGES) create(name)
    CHAIN.toReversed().forEach((name, i, all) => {
      create(name, ...(i > 0 ? ['-F', 'qcow2', '-b', image(all[i - 1]!)] : []))
    })
    for (const file of ['raw.img', 'one.iso', 'two.iso']) writeFileSync(join(own, file), RAW, { mode: 0o666 })
    return { $D: own, $T: `tp${letter}${number}.${process.pid}` }
  }
  const inSide = (words: Record<string, string>) =>
    Object.entries(words).reduce((xml, [word, own]) => xml.replaceAll(word, own), guest(name, number))
  const [theirs, ours] = [side('l'), side('s')]
  const file = join(theirs.$D, 'guest.xml')
  writeFileSync(file, inSide(theirs))
  const defined = virsh('define', file)
  if (defined.status !== 0) throw new Error(defined.stderr)
  const shim = new Shim(inSide(ours))
  shims.push(shim)
  const uri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
  return { theirs: { uri: 'qemu:///system', name, words: theirs }, ours: { uri, name, words: ours }, shim }
}

/**
 * Methods of virDomain whose rows are in python.test.ts, whose areas have tests of their own, or (the last line) that
 * libvirt-python 9.0 does not have.
 */
const ELSEWHERE = `
  abortJob ID OSType UUID UUIDString agentSetResponseTimeout authorizedSSHKeysGet authorizedSSHKeysSet backupGetXMLDesc
  blockJobAbort blockJobInfo blockJobSetSpeed checkpointLookupByName connect create destroy destroyFlags fSTrim fsFreeze
  fsInfo fsThaw getTime guestVcpus hasCurrentSnapshot hasManagedSaveImage info isActive isPersistent listAllCheckpoints
  listAllSnapshots managedSaveGetXMLDesc managedSaveRemove maxVcpus reboot resume setGuestVcpus setTime setUserPassword
  shutdown shutdownFlags snapshotCurrent snapshotListNames snapshotLookupByName snapshotNum suspend undefine
  backupBegin blockCommit blockCopy blockPull blockRebase checkpointCreateXML coreDump coreDumpWithFormat managedSave
  managedSaveDefineXML migrate migrate2 migrate3 migrateGetCompressionCache migrateGetMaxDowntime migrateGetMaxSpeed
  migrateSetCompressionCache migrateSetMaxDowntime migrateSetMaxSpeed migrateStartPostCopy migrateToURI migrateToURI2
  migrateToURI3 revertToSnapshot save saveFlags saveParams snapshotCreateXML c_pointer
  autostartOnce setAutostartOnce graphicsReload setThrottleGroup delThrottleGroup`

await daemons.ensure(2000)
await t.test('every method of a domain is called', async t => {
  const names = 'import libvirt; print(*[one for one in dir(libvirt.virDomain) if not one.startswith("_")])'
  const methods = spawnSync('/usr/bin/python3', ['-c', names], { encoding: 'utf8' }).stdout.trim().split(' ')
  const called = new Set([...Object.values(areas).flat(), ...renaming].map(([, method]) => method))
  const elsewhere = ELSEWHERE.trim().split(/\s+/)
  t.same(
    methods.filter(method => !called.has(method) && !elsewhere.includes(method)),
    []
  )
  // a name that is no method would be answered alike
  t.same([...called].filter(method => !methods.includes(method)).sort(), [
    'domainListGetStats',
    'getAllDomainStats',
    'lookupByName',
    'qemuMonitorCommand'
  ])
})
await t.test('a guest that runs', async t => {
  const { theirs, ours, shim } = await guests(NAME, 10)
  t.equal(virsh('start', NAME).status, 0)
  void shim.start('--define')
  await shim.untilState(RUNNING, 60_000)
  for (const [area, calls] of Object.entries(areas)) await t.test(area, t => compareCalls(t, calls, theirs, ours))
  const readOnly = { ...ours, uri: `${ours.uri}-ro` }
  await t.test('a read-only connection', t => compareCalls(t, changes, theirs, readOnly, 'readonly'))
})
await t.test('a guest that is shut off', async t => {
  const { theirs, ours, shim } = await guests(`${NAME}-off`, 11)
  void shim.start('--define', '--inactive')
  await shim.untilState(SHUTOFF, 60_000)
  for (const [area, calls] of Object.entries({ ...areas, renaming }))
    await t.test(area, t => compareCalls(t, calls, theirs, ours))
})
