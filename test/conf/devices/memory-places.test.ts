import t from 'tap'
import { define, errorOf } from '../../helper/definition.ts'

const outside = (maxMemory: string) => ({
  outside: `<maxMemory ${maxMemory} unit='GiB'>1</maxMemory><cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>`
})
const dimm = (slot: number, base: string) =>
  `<memory model='dimm'><target><size unit='MiB'>64</size><node>0</node></target>` +
  `<address type='dimm' slot='${slot}' base='${base}'/></memory>`
const virtioMem = (base: string) =>
  `<memory model='virtio-mem'><target><size unit='MiB'>64</size><node>0</node><block unit='MiB'>2</block>` +
  `<requested>0</requested><address base='${base}'/></target></memory>`

t.test('only modules take slots', async t => {
  t.equal((await define(virtioMem('0x140000000'), outside(''))).maxMemory?.slots, 0)
  t.match(
    await errorOf(() =>
      define(
        dimm(0, '0x100000000')
          .replace(/<address.*?>/, '')
          .repeat(2),
        outside("slots='1'")
      )
    ),
    'VIR_ERR_INTERNAL_ERROR: internal error: failed to find an empty memory slot'
  )
})

t.test('two devices have neither one slot nor one place', async t => {
  const slots = outside("slots='4'")
  await define(dimm(0, '0x100000000') + dimm(1, '0x104000000'), slots)
  for (const [devices, error] of [
    [
      dimm(0, '0x100000000') + dimm(0, '0x200000000'),
      "memory device slot '0' is already being used by another memory device"
    ],
    [
      dimm(0, '0x100000000') + dimm(1, '0x102000000'),
      'memory device address [0x100000000:0x104000000] overlaps with other memory device (0x102000000)'
    ],
    [
      dimm(0, '0x100000000') + virtioMem('0x102000000'),
      'memory device address [0x100000000:0x104000000] overlaps with other memory device (0x102000000)'
    ]
  ] as const) {
    t.match(await errorOf(() => define(devices, slots)), error)
  }
})
