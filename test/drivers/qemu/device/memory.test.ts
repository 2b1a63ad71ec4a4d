import t from 'tap'
import { loadDomain } from '../../../../src/drivers/qemu/definition/passes.ts'
import { argvOf, define, errorOf, type GuestOptions, guestXml, testContext } from '../../../helper/definition.ts'

const CELLS = "<numa><cell cpus='0' memory='32' unit='MiB'/><cell cpus='1' memory='31' unit='MiB'%/></numa>"
const cpu = (more = '') => `<vcpu>2</vcpu><cpu>${CELLS.replace('%', more)}</cpu>`
const MAX = "<maxMemory slots='4' unit='GiB'>4</maxMemory>"

const memoryOf = async (outside: string, devices = '', options: GuestOptions = {}) =>
  (await argvOf(devices, { outside, ...options })).filter(line =>
    /^-(m |mem-|numa|object \{"qom-type":"(memory|thread)|device \{"driver":"(pc-dimm|nvdimm|virtio-(p?mem)))/.test(
      line
    )
  )

t.test('the main memory object', async t => {
  const backing = (inner: string) => `<memoryBacking>${inner}</memoryBacking>`
  const size = '"size":67108864}'
  for (const [inner, object] of [
    ['', `{"qom-type":"memory-backend-ram","id":"pc.ram",${size}`],
    [
      "<source type='file'/><access mode='shared'/><discard/>",
      `{"qom-type":"memory-backend-file","id":"pc.ram","mem-path":"/lib/ram/pc.ram","discard-data":true,"share":true,"x-use-canonical-path-for-ramblock-id":false,${size}`
    ],
    [
      "<source type='memfd'/><allocation mode='immediate' threads='2'/>",
      `{"qom-type":"memory-backend-memfd","id":"pc.ram","x-use-canonical-path-for-ramblock-id":false,"prealloc":true,"prealloc-threads":2,${size}`
    ]
  ] as const) {
    t.same(await memoryOf(backing(inner)), ['-m size=65536k', `-object ${object}`])
  }
})

t.test('guest cells: memory of their own only where it is needed', async t => {
  t.same(await memoryOf(cpu()), [
    '-m size=64512k',
    '-numa node,nodeid=0,cpus=0,mem=32',
    '-numa node,nodeid=1,cpus=1,mem=31'
  ])
  const [, first, , second, node] = await memoryOf(cpu(" memAccess='private'"))
  t.equal(first, '-object {"qom-type":"memory-backend-ram","id":"ram-node0","size":33554432}')
  t.match(second, '"id":"ram-node1","mem-path":"/lib/ram/ram-node1","share":false')
  t.equal(node, '-numa node,nodeid=1,cpus=1,memdev=ram-node1')
})

t.test('memory bound to host nodes and allocated ahead has threads there', async t => {
  const tune = "<numatune><memory mode='interleave' nodeset='0'/><memnode cellid='1' nodeset='0'/></numatune>"
  const ahead = "<memoryBacking><allocation mode='immediate'/></memoryBacking>"
  const lines = await memoryOf(cpu() + tune + ahead)
  t.match(lines, [
    '-m size=64512k',
    '-object {"qom-type":"thread-context","id":"tc-ram-node0","node-affinity":[0]}',
    /"host-nodes":\[0\],"policy":"interleave","prealloc-context":"tc-ram-node0"/,
    /-numa/,
    /thread-context/,
    /"policy":"bind"/,
    /-numa/
  ])
})

t.test('memory devices', async t => {
  const target = (inner: string) => `<target><size unit='MiB'>3</size>${inner}</target>`
  const lines = await memoryOf(
    MAX + cpu(),
    `<memory model='dimm'>${target('<node>1</node>')}</memory>` +
      `<memory model='nvdimm'><source><path>/f</path></source>${target('<node>0</node><readonly/>')}</memory>` +
      `<memory model='virtio-mem'>${target("<node>0</node><block unit='MiB'>2</block>")}</memory>`
  )
  t.same(
    lines.filter(line => !line.startsWith('-numa')),
    [
      '-m size=64512k,slots=4,maxmem=4194304k',
      '-object {"qom-type":"memory-backend-ram","id":"memdimm0","size":4194304}',
      '-device {"driver":"pc-dimm","node":1,"memdev":"memdimm0","id":"dimm0","slot":0}',
      '-object {"qom-type":"memory-backend-file","id":"memnvdimm1","mem-path":"/f","prealloc":true,"size":4194304}',
      '-device {"driver":"nvdimm","node":0,"unarmed":true,"memdev":"memnvdimm1","id":"nvdimm1","slot":1}',
      '-object {"qom-type":"memory-backend-ram","id":"memvirtiomem0","reserve":false,"size":4194304}',
      '-device {"driver":"virtio-mem-pci","node":0,"block-size":2097152,"memdev":"memvirtiomem0","id":"virtiomem0","bus":"pci.0","addr":"0x3"}'
    ]
  )
})

t.test('a new guest that can get memory later is put into a cell', async t => {
  const { cpu, devices } = await define("<memory model='dimm'><target><size unit='MiB'>16</size></target></memory>", {
    outside: `${MAX}<vcpu>2</vcpu>`
  })
  t.same(cpu?.numa?.cells, [{ cpus: '0-1', memoryKiB: 48 * 1024, caches: [] }])
  t.match(devices.memories, [{ target: { node: 0 } }])
})

t.test('what QEMU cannot do', async t => {
  const dimm = "<memory model='dimm'><target><size unit='MiB'>2</size><node>0</node></target></memory>"
  for (const [outside, devices, error, missing] of [
    [cpu(), dimm, "when domain 'maxMemory' is not defined", []],
    [MAX, dimm.repeat(40), 'Total size of memory devices exceeds the total memory size', []],
    [MAX + cpu(), dimm.repeat(5), 'failed to find an empty memory slot', []],
    [MAX + cpu(), dimm, "memory hotplug isn't supported by this QEMU binary", ['pc-dimm']],
    [MAX + cpu(), dimm.replace('0</node>', '2</node>'), "guest node '2' as the guest has only '2'", []],
    ["<memoryBacking><hugepages/><source type='anonymous'/></memoryBacking>", '', 'anonymous memory source', []],
    ["<numatune><memory placement='auto'/></numatune>", '', 'Advice from numad is needed', []]
  ] as const) {
    t.match(await errorOf(() => argvOf(devices, { outside, missing: [...missing] })), error)
  }
  // a new guest is given one
  const kept = loadDomain(guestXml('', { outside: MAX }), async () => testContext(), { abiUpdate: false })
  t.match(await errorOf(() => kept), 'At least one numa node has to be configured')
})
