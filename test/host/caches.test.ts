import t from 'tap'
import { formatXml } from '../../src/conf/xml.ts'
import { cacheBanks, interconnects, memoryCaches, prettySize } from '../../src/host/caches.ts'
import { type HostFiles, onHost } from '../helper/host-tree.ts'

const SYSTEM = '/sys/devices/system'

function cache(cpu: number, index: number, facts: Record<string, string | number>): HostFiles {
  const directory = `${SYSTEM}/cpu/cpu${cpu}/cache/index${index}`
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [`${directory}/${name}`, `${value}\n`]))
}

t.test('sizes in the largest unit that holds them whole', async t => {
  for (const [bytes, size, unit] of [
    [0, 0, 'B'],
    [1023, 1023, 'B'],
    [1024, 1, 'KiB'],
    [1536, 1536, 'B'],
    [33 * 1024 ** 2, 33, 'MiB'],
    [2 ** 50, 1, 'PiB']
  ] as const) {
    t.same(prettySize(bytes), { size, unit })
  }
})

t.test('banks: each once, small ones left out, by level and number', () => {
  const shared = { level: 3, type: 'Unified', size: '33792K', shared_cpu_list: '0-1' }
  const files = {
    [`${SYSTEM}/cpu/online`]: '0-1\n',
    ...cache(0, 0, { id: 0, level: 1, type: 'Data', size: '48K', shared_cpu_list: '0' }),
    ...cache(0, 2, { id: 0, level: 2, type: 'Unified', size: '2048K', shared_cpu_list: '0' }),
    ...cache(0, 3, { id: 1, ...shared }),
    ...cache(1, 3, { id: 1, ...shared }),
    ...cache(1, 4, { id: 0, level: 3, type: 'Instruction', size: '1M', shared_cpu_list: '1' }),
    ...cache(1, 5, { id: 0, level: 4, type: 'Unified', size: 'many', shared_cpu_list: '1' }),
    ...cache(1, 6, { level: 3, type: 'Unified', size: '1M', shared_cpu_list: '1' })
  }
  return onHost(files, () => {
    t.equal(
      formatXml(cacheBanks()!),
      `<cache>
  <bank id='0' level='2' type='both' size='2' unit='MiB' cpus='0'/>
  <bank id='0' level='3' type='code' size='1' unit='MiB' cpus='1'/>
  <bank id='1' level='3' type='both' size='33' unit='MiB' cpus='0-1'/>
</cache>
`
    )
  })
})

t.test('a kernel that tells of no cache', () =>
  onHost({}, () => {
    t.equal(cacheBanks(), undefined)
    t.same(memoryCaches(0), [])
    t.equal(interconnects([0]), undefined)
  })
)

t.test('caches in front of memory, and the ways to it', () => {
  const side = `${SYSTEM}/node/node0/memory_side_cache/index1`
  const access = `${SYSTEM}/node/node1/access1/initiators`
  const files = {
    [`${side}/size`]: '4194304\n',
    [`${side}/line_size`]: '64\n',
    [`${side}/indexing`]: '0\n',
    [`${side}/write_policy`]: '1\n',
    [`${access}/node0/x`]: '',
    [`${access}/read_bandwidth`]: '100\n',
    [`${access}/write_bandwidth`]: '50\n',
    [`${access}/read_latency`]: '9\n',
    [`${access}/write_latency`]: '11\n'
  }
  return onHost(files, () => {
    t.equal(
      memoryCaches(0)
        .map(node => formatXml(node))
        .join(''),
      `<cache level='1' associativity='direct' policy='writethrough'>
  <size value='4096' unit='KiB'/>
  <line value='64' unit='B'/>
</cache>
`
    )
    const links = formatXml(interconnects([0, 1])!).match(/<(latency|bandwidth).*?>/g)
    t.same(links, [
      "<latency initiator='0' target='1' type='read' value='9'/>",
      "<latency initiator='0' target='1' type='write' value='11'/>",
      "<bandwidth initiator='0' target='1' type='read' value='102400' unit='KiB'/>",
      "<bandwidth initiator='0' target='1' type='write' value='51200' unit='KiB'/>"
    ])
  })
})
