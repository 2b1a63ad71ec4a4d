// Disks, drives and SCSI controllers of a guest that does not run its CPUs: plugged in and out, media changed.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

t.setTimeout(600_000)

const disk = (target: string, source = "file='$D/other.qcow2'", more = '', { type = 'file', device = 'disk' } = {}) =>
  `<disk type='${type}' device='${device}'><driver name='qemu' type='${/qcow2/.test(source) ? 'qcow2' : 'raw'}'/>${source && `<source ${source}/>`}<target ${target}/>${more}</disk>`
const cdrom = (target: string, source = '', more = '') =>
  disk(target, source, `${more}<readonly/>`, { device: 'cdrom' })
const SCSI = "dev='sdb' bus='scsi'"
const controller = (type: string, index: string, more = '') => `<controller type='${type}' ${index} ${more}/>`

const devices = {
  virtio: disk("dev='vdb' bus='virtio'", "file='$D/one.raw'"),
  'virtio-at': disk("dev='vdc' bus='virtio'", "file='$D/two.raw'", "<address type='pci' slot='0x1a'/>"),
  'virtio-taken': disk("dev='vdd' bus='virtio'", "file='$D/three.raw'", "<address type='pci' slot='0x1a'/>"),
  'virtio-boot': disk("dev='vdd' bus='virtio'", "file='$D/three.raw'", "<boot order='1'/>"),
  'virtio-iothread': disk("dev='vdd' bus='virtio'", "file='$D/three.raw'").replace('<driver ', "<driver iothread='1' "),
  'virtio-noiothread': disk("dev='vde' bus='virtio'", "file='$D/three.raw'").replace(
    '<driver ',
    "<driver iothread='7' "
  ),
  'virtio-cdrom': cdrom("dev='vdd' bus='virtio'", "file='$D/a.iso'"),
  missing: disk("dev='vdd' bus='virtio'", "file='$D/nosuch.img'"),
  directory: disk("dev='vdd' bus='virtio'", "file='$D'"),
  'not-qcow2': disk("dev='vdd' bus='virtio'", "file='$D/one.raw'").replace("type='raw'", "type='qcow2'"),
  sata: disk("dev='sdc' bus='sata'", "file='$D/one.raw'"),
  ide: disk("dev='hdd' bus='ide'", "file='$D/three.raw'"),
  sd: disk("dev='sdd' bus='sd'", "file='$D/three.raw'"),
  floppy: disk("dev='fdb' bus='fdc'", "file='$D/a.iso'", '', { device: 'floppy' }),
  lun: disk("dev='sde' bus='usb'", "dev='/dev/null'", '', { type: 'block', device: 'lun' }),
  scsi: disk(SCSI),
  'scsi-same': disk("dev='sdf' bus='scsi'", "file='$D/three.raw'", "<address type='drive' controller='0' unit='1'/>"),
  'scsi-second': disk("dev='sdh' bus='scsi'", "file='$D/three.raw'", '<serial>S1</serial>'),
  'scsi-own': disk("dev='sdi' bus='scsi'", "file='$D/four.raw'", "<alias name='ua-own'/>"),
  'scsi-serial': disk(SCSI, "file='$D/other.qcow2'", '<serial>other</serial>'),
  'scsi-cache': disk(SCSI).replace('<driver ', "<driver cache='none' "),
  'scsi-source': disk(SCSI, "file='$D/one.raw'"),
  'scsi-policy': disk(SCSI, "file='$D/other.qcow2' startupPolicy='optional'"),
  'scsi-blocks': disk(SCSI, "file='$D/other.qcow2'", "<blockio logical_block_size='4096'/>"),
  'scsi-order': disk(SCSI, "file='$D/other.qcow2'", "<boot order='3'/>"),
  'scsi-place': disk(SCSI, "file='$D/other.qcow2'", "<address type='drive' controller='0' unit='5'/>"),
  'scsi-alias': disk(SCSI, "file='$D/other.qcow2'", "<alias name='ua-x'/>"),
  'scsi-readonly': disk(SCSI, "file='$D/other.qcow2'", '<readonly/>'),
  'scsi-iotune': disk(SCSI, "file='$D/other.qcow2'", '<iotune><total_bytes_sec>1000</total_bytes_sec></iotune>'),
  'scsi-bus': disk("dev='sdb' bus='usb'"),
  nosuch: disk("dev='sdz' bus='scsi'"),
  throttled: disk("dev='sdj' bus='scsi'", "file='$D/five.raw'", '<iotune><total_iops_sec>50</total_iops_sec></iotune>'),
  chain: disk("dev='sdk' bus='scsi'", "file='$D/top.qcow2'"),
  luks: disk(
    "dev='sdl' bus='scsi'",
    "file='$D/luks.raw'",
    "<encryption format='luks'><secret type='passphrase' uuid='00000000-1111-2222-3333-444444444444'/></encryption>"
  ),
  usb: disk("dev='sdm' bus='usb' removable='on'", "file='$D/six.raw'"),
  'usb-port': disk("dev='sdn' bus='usb'", "file='$D/seven.raw'", "<address type='usb' bus='0' port='2'/>"),
  'usb-full': disk("dev='sdo' bus='usb'", "file='$D/seven.raw'"),
  'usb-nobus': disk("dev='sdp' bus='usb'", "file='$D/seven.raw'", "<address type='usb' bus='3' port='1'/>"),
  nbd: disk("dev='sdq' bus='scsi'", "protocol='nbd' name='x'", '', { type: 'network' }).replace(
    '/><target',
    "><host name='127.0.0.1' port='1'/></source><target"
  ),
  'ide-cdrom-a': cdrom("dev='hdc' bus='ide'", "file='$D/a.iso'"),
  'ide-cdrom-b': cdrom("dev='hdc' bus='ide'", "file='$D/b.iso'"),
  'ide-cdrom-none': cdrom("dev='hdc' bus='ide'"),
  'ide-cdrom-missing': cdrom("dev='hdc' bus='ide'", "file='$D/nosuch.iso'"),
  'ide-cdrom-optional': cdrom("dev='hdc' bus='ide'", "file='$D/b.iso' startupPolicy='optional'"),
  'ide-cdrom-serial': cdrom("dev='hdc' bus='ide'", "file='$D/b.iso'", '<serial>x</serial>'),
  'ide-cdrom-disk': disk("dev='hdc' bus='ide'", "file='$D/b.iso'"),
  'cdrom-policy': cdrom("dev='hdc' bus='ide'", "file='$D/nosuch.iso' startupPolicy='optional'"),
  'floppy-a': disk("dev='fda' bus='fdc'", "file='$D/a.img'", '', { device: 'floppy' }),
  'floppy-none': disk("dev='fda' bus='fdc'", '', '', { device: 'floppy' }),
  'scsi-cdrom': cdrom("dev='sdr' bus='scsi'", "file='$D/a.iso'"),
  'scsi-cdrom-empty': cdrom("dev='sds' bus='scsi'"),
  'c-scsi': controller('scsi', "index='4'", "model='virtio-scsi'"),
  'c-scsi-next': controller('scsi', '', "model='virtio-scsi'"),
  'c-scsi-0': controller('scsi', "index='0'", "model='virtio-scsi'"),
  'c-scsi-9': controller('scsi', "index='9'", "model='virtio-scsi'"),
  'c-serial': controller('virtio-serial', "index='1'"),
  'c-usb': controller('usb', "index='1'", "model='ehci'"),
  'c-pci': controller('pci', '', "model='pci-bridge'"),
  'c-sata': controller('sata', "index='1'"),
  lease: '<lease><lockspace>space</lockspace><key>one</key><target path="/tmp/lease"/></lease>'
}

const floppy = "<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>"
const scsi = "<controller type='scsi' index='0' model='virtio-scsi'/>"
const g = guest({ devices: `${floppy}${scsi}` }).replace('<title>', '<iothreads>1</iothreads><title>')

await scenario({
  group: 'disks',
  files: {
    'g.xml': g,
    ...Object.fromEntries(Object.entries(devices).map(([name, xml]) => [`${name}.xml`, xml])),
    ...Object.fromEntries(
      ['one', 'two', 'three', 'four', 'five', 'six', 'seven'].map(name => [`${name}.raw`, '\0'.repeat(65536)])
    ),
    'a.iso': 'a'.repeat(65536),
    'b.iso': 'b'.repeat(65536),
    'a.img': '\0'.repeat(1474560)
  },
  overlays: [['top.qcow2', 'other.qcow2']],
  shim: 'g.xml'
})
