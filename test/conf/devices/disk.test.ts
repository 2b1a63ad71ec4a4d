import t from 'tap'
import { diskFields } from '../../../src/conf/devices/disk.ts'
import { diskIndex, diskPartition } from '../../../src/conf/devices/disk-name.ts'
import { define, errorOf, throughTable } from '../../helper/definition.ts'

const disk = (inner: string, attributes = '') =>
  `<disk type='file'${attributes}><source file='/a'/><target dev='vda'/>${inner}</disk>`

t.test('names are numbers', async t => {
  for (const [name, index, partition] of [
    ['vda', 0, 0],
    ['vdz', 25, 0],
    ['sdaa', 26, 0],
    ['xvdb3', 1, 3],
    ['hda01', 0, undefined],
    ['vd', -1, undefined],
    ['vdA', -1, undefined],
    ['sr0', -1, undefined]
  ] as const) {
    t.equal(diskIndex(name), index, name)
    t.equal(diskPartition(name), partition, name)
  }
})

t.test('parts of a disk come in libvirt’s order', async t => {
  const xml =
    "<disk type='block' device='lun' model='virtio' rawio='no' sgio='filtered' snapshot='no'><driver name='qemu' type='qcow2' cache='none' error_policy='stop' rerror_policy='report' io='threads' ioeventfd='on' event_idx='off' copy_on_read='off' discard='unmap' iothread='1' detect_zeroes='on' queues='2' queue_size='128' iommu='on' ats='on' packed='off' page_per_vq='on'><metadata_cache><max_size unit='bytes'>1024</max_size></metadata_cache></driver><auth username='u'><secret type='iscsi' usage='s'/></auth><source dev='/dev/a' startupPolicy='optional'/><backenddomain name='b'/><geometry cyls='1' heads='2' secs='3' trans='lba'/><blockio logical_block_size='512' physical_block_size='4096'/><target dev='vda' bus='virtio' rotation_rate='1'/><iotune><read_bytes_sec>1</read_bytes_sec><group_name>g</group_name><read_bytes_sec_max_length>2</read_bytes_sec_max_length></iotune><shareable/><transient shareBacking='yes'/><serial>s</serial><wwn>0123456789abcdef</wwn><vendor>v</vendor><product>p</product><encryption format='luks'><secret type='passphrase' usage='e'/></encryption><boot order='1'/><alias name='ua-x'/></disk>"
  t.equal(throughTable(diskFields, xml), xml)
})

t.test('values that say nothing are not written', async t => {
  t.equal(
    throughTable(
      diskFields,
      "<disk><driver cache='default' type='aio'/><source file=''/><geometry cyls='1'/><blockio logical_block_size='0'/><target dev='hda' tray='closed' rotation_rate='0'/><iotune><read_bytes_sec>0</read_bytes_sec></iotune></disk>"
    ),
    "<disk type='file' device='disk'><driver type='raw'/><target dev='hda'/></disk>"
  )
})

// The order is libvirt's: by number, all of them on no bus yet when it sorts them
t.test('defaults follow from name, device and kind', async t => {
  const xml = (device: string, dev: string) =>
    `<disk device='${device}'><source file='/${dev}'/><target dev='${dev}'/></disk>`
  const { devices } = await define(
    [xml('disk', 'vdb'), xml('disk', 'sdh'), xml('cdrom', 'hdc'), xml('floppy', 'fda'), xml('disk', 'vda')].join('')
  )
  t.same(
    devices.disks.map(({ target, readonly, snapshot, address }) => [
      target?.dev,
      target?.bus,
      readonly,
      snapshot,
      address?.type === 'drive' ? [address.controller, address.bus, address.unit] : address?.type
    ]),
    [
      ['fda', 'fdc', undefined, undefined, [0, 0, 0]],
      ['vda', 'virtio', undefined, undefined, 'pci'],
      ['vdb', 'virtio', undefined, undefined, 'pci'],
      ['hdc', 'ide', true, 'no', [0, 1, 0]],
      ['sdh', 'scsi', undefined, undefined, [1, 0, 0]]
    ]
  )
})

t.test('disks of a group share their limits', async t => {
  const { devices } = await define(
    `<disk><source file='/b'/><target dev='vdb'/><iotune><group_name>g</group_name></iotune></disk>${disk('<iotune><read_iops_sec>7</read_iops_sec><group_name>g</group_name></iotune>')}`
  )
  t.same(devices.disks[1]!.iotune, { read_iops_sec: 7n, group_name: 'g' })
})

t.test('contradictions are refused in libvirt’s words', async t => {
  const without = (inner: string) => `<disk><source file='/a'/>${inner}</disk>`
  for (const [xml, error] of [
    [without(''), 'VIR_ERR_NO_TARGET: missing target information for device /a'],
    ["<disk><target dev='vda'/></disk>", 'VIR_ERR_NO_SOURCE: missing source information for device vda'],
    [without("<target dev='sr0'/>"), "VIR_ERR_XML_ERROR: XML error: Unknown disk name 'sr0' and no address specified"],
    [
      without("<target dev='vda1'/>"),
      "VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: invalid disk target 'vda1', partitions can't appear in disk targets"
    ],
    [
      without("<target dev='vda' tray='open'/>"),
      'VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: tray is only valid for cdrom and floppy'
    ],
    [
      without("<target dev='vda' removable='on'/>"),
      'VIR_ERR_XML_ERROR: XML error: removable is only valid for usb or scsi disks'
    ],
    [disk('<wwn>12</wwn>'), 'VIR_ERR_INTERNAL_ERROR: internal error: Malformed wwn: 12'],
    [
      disk('<vendor>123456789</vendor>'),
      'VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk vendor is more than 8 characters'
    ],
    [
      disk('', " device='lun'"),
      "VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk device='lun' is only valid for block type disk source"
    ],
    [
      disk('', " rawio='yes'"),
      "VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: rawio can be used only with device='lun'"
    ],
    [
      disk('<serial>a/b</serial>'),
      "VIR_ERR_INTERNAL_ERROR: internal error: driver serial 'a/b' contains unsafe characters"
    ],
    [
      disk('<iotune><total_bytes_sec>1</total_bytes_sec><read_bytes_sec>1</read_bytes_sec></iotune>'),
      'VIR_ERR_XML_ERROR: XML error: total and read/write bytes_sec cannot be set at the same time'
    ],
    [
      disk('<iotune><total_iops_sec>1000000000000001</total_iops_sec></iotune>'),
      'VIR_ERR_ARGUMENT_UNSUPPORTED: argument unsupported: block I/O throttle limit must be no more than 1000000000000000 using QEMU'
    ],
    [
      disk("<driver io='native'/>"),
      "VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: io='native' needs either no disk cache or directsync cache mode"
    ],
    [
      disk("<driver iothread='1'/>"),
      "VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Disk iothread '1' not defined in iothreadid"
    ],
    [
      disk("<driver type='qcow2'/><shareable/>"),
      "VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: shared access for disk 'vda' requires use of supported storage format"
    ],
    [disk('') + disk(''), "VIR_ERR_XML_ERROR: XML error: target 'vda' duplicated for disk sources '/a' and '/a'"],
    [
      "<disk type='dir'><driver type='fat'/><source dir='/d'/><target dev='vda'/></disk>",
      "VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: virtual FAT storage can't be accessed in read-write mode"
    ],
    [
      "<disk type='vhostuser'><source type='unix' path='/s'/><target dev='vda' bus='virtio'/><serial>x</serial></disk>",
      'VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: serial is not supported with vhostuser disk'
    ]
  ] as const)
    t.equal(await errorOf(() => define(xml)), error, xml)
})
