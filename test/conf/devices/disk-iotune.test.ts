import t from 'tap'
import {
  checkIoTuneSums,
  hasIoTuneLimits,
  IOTUNE_LIMITS,
  IOTUNE_RATES,
  sameIoTune
} from '../../../src/conf/devices/disk-iotune.ts'
import { errorOf } from '../../helper/definition.ts'
import { fragments } from '../../helper/fragments.ts'

fragments('limits', {
  around: [
    "<disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/><iotune>",
    '</iotune></disk>'
  ],
  show: ['disk']
})`
  <total_bytes_sec>1</total_bytes_sec><total_iops_sec>2</total_iops_sec>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/><iotune><total_bytes_sec>1</total_bytes_sec><total_iops_sec>2</total_iops_sec></iotune></disk>
  <write_bytes_sec>2</write_bytes_sec><read_bytes_sec>1</read_bytes_sec>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/><iotune><read_bytes_sec>1</read_bytes_sec><write_bytes_sec>2</write_bytes_sec></iotune></disk>
  <read_iops_sec>0</read_iops_sec>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <read_iops_sec/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <total_bytes_sec>5</total_bytes_sec><total_bytes_sec_max>10</total_bytes_sec_max><total_bytes_sec_max_length>3</total_bytes_sec_max_length>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/><iotune><total_bytes_sec>5</total_bytes_sec><total_bytes_sec_max>10</total_bytes_sec_max><total_bytes_sec_max_length>3</total_bytes_sec_max_length></iotune></disk>
  <total_iops_sec>5</total_iops_sec><size_iops_sec>7</size_iops_sec><group_name>g</group_name>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/><iotune><total_iops_sec>5</total_iops_sec><size_iops_sec>7</size_iops_sec><group_name>g</group_name></iotune></disk>
  <total_bytes_sec>5</total_bytes_sec><total_bytes_sec_max_length>3</total_bytes_sec_max_length>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/><iotune><total_bytes_sec>5</total_bytes_sec><total_bytes_sec_max_length>3</total_bytes_sec_max_length></iotune></disk>
  <total_bytes_sec_max>10</total_bytes_sec_max>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/><iotune><total_bytes_sec_max>10</total_bytes_sec_max></iotune></disk>
  <group_name>g</group_name>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: group_name can be configured only together with settings
  <total_bytes_sec>1</total_bytes_sec><read_bytes_sec>1</read_bytes_sec>
    ! VIR_ERR_XML_ERROR: XML error: total and read/write bytes_sec cannot be set at the same time
  <total_iops_sec>1</total_iops_sec><write_iops_sec>1</write_iops_sec>
    ! VIR_ERR_XML_ERROR: XML error: total and read/write iops_sec cannot be set at the same time
  <total_bytes_sec_max>1</total_bytes_sec_max><read_bytes_sec_max>1</read_bytes_sec_max>
    ! VIR_ERR_XML_ERROR: XML error: total and read/write bytes_sec_max cannot be set at the same time
  <total_iops_sec_max>1</total_iops_sec_max><write_iops_sec_max>1</write_iops_sec_max>
    ! VIR_ERR_XML_ERROR: XML error: total and read/write iops_sec_max cannot be set at the same time
  <total_bytes_sec>x</total_bytes_sec>
    ! VIR_ERR_XML_ERROR: XML error: disk iotune field 'total_bytes_sec' must be an integer
  <total_bytes_sec>18446744073709551615</total_bytes_sec>
    ! VIR_ERR_ARGUMENT_UNSUPPORTED: argument unsupported: block I/O throttle limit must be no more than 1000000000000000 using QEMU
  <total_bytes_sec>18446744073709551616</total_bytes_sec>
    ! VIR_ERR_XML_ERROR: XML error: disk iotune field 'total_bytes_sec' must be an integer
  <total_bytes_sec>1000000000000001</total_bytes_sec>
    ! VIR_ERR_ARGUMENT_UNSUPPORTED: argument unsupported: block I/O throttle limit must be no more than 1000000000000000 using QEMU
  <total_bytes_sec>-1</total_bytes_sec>
    ! VIR_ERR_XML_ERROR: XML error: disk iotune field 'total_bytes_sec' must be an integer
  <nosuch>1</nosuch>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
`

t.test('limits are compared by what is set', async t => {
  t.same(
    [hasIoTuneLimits(undefined), hasIoTuneLimits({ group_name: 'g' }), hasIoTuneLimits({ size_iops_sec: 1n })],
    [false, false, true]
  )
  t.ok(sameIoTune(undefined, {}))
  t.ok(sameIoTune({ read_iops_sec: 0n }, {}), 'zero is no limit')
  t.notOk(sameIoTune({ group_name: 'a' }, { group_name: 'b' }))
  for (const limit of IOTUNE_LIMITS) t.notOk(sameIoTune({ [limit]: 1n }, { [limit]: 2n }), limit)
})

t.test('every sum excludes each of its parts and no other', async t => {
  const rates = IOTUNE_RATES.filter(rate => rate.startsWith('total_'))
  t.equal(rates.length, 4)
  for (const total of rates) {
    for (const other of IOTUNE_RATES) {
      const isPart = other !== total && other.replace(/^(read|write)_/, '') === total.replace('total_', '')
      const error = await errorOf(() => checkIoTuneSums({ [total]: 1n, [other]: 1n }))
      t.equal(error === 'accepted', !isPart, `${total} with ${other}`)
    }
  }
})
