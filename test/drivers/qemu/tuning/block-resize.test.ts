// Disks of a running guest that are to get another size.
import t from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'

const BYTES = 1
const CAPACITY = 2
const EXTEND = 4
const MIB = 1024 * 1024

const disk = (target: string, format = 'raw', more = '') =>
  `<disk type='file' device='disk'><driver name='qemu' type='${format}'/><source file='@/${target}'>${more}</source><target dev='${target}' bus='virtio'/></disk>`
const slice = (offset: number) => `<slices><slice type='storage' offset='${offset}' size='4096'/></slices>`

t.test('a size, and no smaller one if so asked', async t => {
  const guest = await StandInGuest.running(t, {
    files: Object.fromEntries(['vda', 'vdb', 'vdc', 'vdd'].map(name => [name, ''])),
    devices:
      disk('vda') + disk('vdb', 'raw', slice(512)) + disk('vdc', 'qcow2', slice(0)) + disk('vdd', 'raw', slice(0)),
    missing: ['blockjob.backing-mask-protocol'],
    answers: {
      'query-named-block-nodes': [1, 2, 3, 4].flatMap(number => [
        { 'node-name': `libvirt-${number}-storage`, image: { 'virtual-size': 0 } },
        { 'node-name': `libvirt-${number}-format`, image: { 'virtual-size': 4 * MIB } }
      ])
    }
  })
  const resize = (size: number, flags: number, name = 'vda') =>
    guest.failureOf('virDomainBlockResize', { disk: name, size, flags })
  const told = () =>
    guest.qemu.peer.orders.flatMap(({ command, args }) => (command === 'block_resize' ? [args.size] : []))
  t.equal(await resize(2048, 0), '')
  t.equal(await resize(3 * MIB, BYTES), '')
  t.equal(await resize(4 * MIB, BYTES | EXTEND), '', 'its own')
  t.equal(await resize(8192, EXTEND), '')
  t.same(told(), [2 * MIB, 3 * MIB, 4 * MIB, 8 * MIB])
  t.equal(
    await resize(4 * MIB - 1, BYTES | EXTEND),
    "VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: resize of 'vda' would shrink it from '4194304' to '4194303' bytes"
  )
  t.match(await resize(0, CAPACITY | EXTEND), /full capacity supported only with 'raw' local block-based disks/)
  t.match(await resize(1, 0, 'vdb'), /UNSUPPORTED.*storage slice with non-zero 'offset' is not supported/)
  t.match(await resize(1, 0, 'vdc'), /UNSUPPORTED.*with storage slice is supported only for 'raw' images/)
  t.match(await resize(1, 0, 'vdd'), /UNSUPPORTED.*resizing of a part of an image/)
  t.equal(told().length, 4)
})
