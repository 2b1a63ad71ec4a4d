import t from 'tap'
import { throttleArguments } from '../../../../src/drivers/qemu/block/throttle.ts'
import { define } from '../../../helper/definition.ts'

t.test('limits have QEMU’s names', async t => {
  const def = await define("<disk><source file='/a'/><target dev='sda' bus='usb'/></disk>")
  const disk = { ...def.devices.disks[0]!, alias: 'usb-disk0' }
  t.match(
    throttleArguments(disk, {
      total_bytes_sec: 1n,
      write_iops_sec_max: 2n,
      write_iops_sec_max_length: 3n,
      size_iops_sec: 4n,
      group_name: 'g'
    }),
    {
      id: '/machine/peripheral/usb-disk0/usb-disk0.0/legacy[0]',
      bps: 1n,
      bps_rd: 0n,
      iops_wr_max: 2n,
      iops_wr_max_length: 3n,
      iops_size: 4n,
      group: 'g'
    }
  )
  t.notMatch(Object.keys(throttleArguments(disk, { total_bytes_sec: 1n })), ['bps_max_length'])
})
