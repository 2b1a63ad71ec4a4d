import t from 'tap'
import { formatDomain } from '../../../src/conf/domain-xml.ts'
import { define, errorOf } from '../../helper/definition.ts'

const VCPUS = '<vcpu>4</vcpu><iothreads>2</iothreads>'

/** What is left of an element after all passes, on one line. */
async function kept(name: string, outside: string, options: { type?: string } = {}): Promise<string> {
  const xml = formatDomain(await define('', { outside, ...options })).replace(/\n\s*/g, '')
  return new RegExp(`<${name}[ />].*?(</${name}>|(?<=<${name}[^>]*)/>)`).exec(xml)?.[0] ?? ''
}

t.test('what is written', async t => {
  for (const [name, outside, written] of [
    [
      'vcpu',
      "<vcpu cpuset='0-3,^1' current='2'>4</vcpu>",
      "<vcpu placement='static' cpuset='0,2-3' current='2'>4</vcpu>"
    ],
    ['vcpu', "<vcpu placement='auto' cpuset='1'>4</vcpu>", "<vcpu placement='auto'>4</vcpu>"],
    ['numatune', "<vcpu placement='auto'>4</vcpu>", "<numatune><memory mode='strict' placement='auto'/></numatune>"],
    [
      'vcpus',
      "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes'/></vcpus>",
      "<vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/><vcpu id='1' enabled='no' hotpluggable='yes'/></vcpus>"
    ],
    [
      'iothreadids',
      "<iothreads>3</iothreads><iothreadids><iothread id='2' thread_pool_max='4'/></iothreadids>",
      "<iothreadids><iothread id='2' thread_pool_max='4'/><iothread id='1'/><iothread id='3'/></iothreadids>"
    ],
    ['iothreadids', '<iothreads>3</iothreads>', ''],
    [
      'cputune',
      `${VCPUS}<cputune><quota>-1</quota><period>0</period><shares>0</shares><vcpupin vcpu='9' cpuset='0'/><vcpupin vcpu='1' cpuset='1,0'/></cputune>`.replace(
        '<shares>0</shares>',
        '<shares>2</shares>'
      ),
      "<cputune><shares>2</shares><quota>-1</quota><vcpupin vcpu='1' cpuset='0-1'/></cputune>"
    ],
    [
      'cputune',
      `${VCPUS}<cputune><iothreadsched iothreads='1-2' scheduler='rr' priority='3'/></cputune>`,
      "<cputune><iothreadsched iothreads='1' scheduler='rr' priority='3'/><iothreadsched iothreads='2' scheduler='rr' priority='3'/></cputune>"
    ],
    ['blkiotune', '<blkiotune><weight>x</weight><device><path>/a</path></device></blkiotune>', ''],
    ['memtune', '<memtune><hard_limit>9007199254740991</hard_limit></memtune>', ''],
    [
      'memtune',
      "<memtune><soft_limit unit='b'>1</soft_limit></memtune>",
      "<memtune><soft_limit unit='KiB'>1</soft_limit></memtune>"
    ],
    [
      'idmap',
      "<idmap><uid start='5' target='9' count='1'/><uid start='0' target='7' count='1'/><gid start='0' target='7' count='1'/></idmap>",
      "<idmap><uid start='0' target='7' count='1'/><uid start='5' target='9' count='1'/><gid start='0' target='7' count='1'/></idmap>"
    ],
    ['resource', "<resource register='direct'/>", "<resource register='direct'/>"]
  ] as const) {
    t.equal(await kept(name, outside), written, outside)
  }
})

t.test('what is refused', async t => {
  for (const [outside, error] of [
    ['<vcpu>1 </vcpu>', 'XML_ERROR: XML error: maximum vcpus count must be an integer'],
    ["<vcpu current='3'>2</vcpu>", 'maximum vCPU count must not be less than current vCPU count'],
    ["<vcpu current='0'>2</vcpu>", "vcpu 0 can't be offline"],
    ["<vcpu>2</vcpu><vcpus><vcpu id='2' enabled='yes'/></vcpus>", "vcpu id '2' is out of range of maximum vcpu count"],
    ["<iothreadids><iothread id='1'/><iothread id='1'/></iothreadids>", "duplicate iothread id '1' found"],
    ["<iothreadids><iothread id='1' thread_pool_max='0'/></iothreadids>", 'thread_pool_max must be a positive integer'],
    [`${VCPUS}<cputune><period>1</period></cputune>`, "Value of cputune 'period' must be in range [1000, 1000000]"],
    [`${VCPUS}<cputune><iothreadpin iothread='3' cpuset='0'/></cputune>`, "Cannot find 'iothread' : 3"],
    [`${VCPUS}<cputune><emulatorpin cpuset='^0'/></cputune>`, "Invalid value of 'cpuset': ^0"],
    [`${VCPUS}<cputune><vcpusched vcpus='0' scheduler='fifo'/></cputune>`, "Missing required attribute 'priority'"],
    [
      '<blkiotune><device><path>/a</path></device><device><path>/a</path></device></blkiotune>',
      "duplicate blkio device path '/a'"
    ],
    [
      "<numatune><memory mode='strict'/></numatune>",
      "nodeset for NUMA memory tuning must be set if 'placement' is 'static'"
    ],
    [
      "<numatune><memnode cellid='0' nodeset='0'/></numatune>",
      "Element 'memnode' is invalid without any guest NUMA cells"
    ],
    ['<memtune><min_guarantee>1</min_guarantee></memtune>', "Parameter 'min_guarantee' not supported by QEMU."],
    ["<idmap><uid start='0' target='1' count='1'/></idmap>", 'uid and gid should be mapped both']
  ] as const) {
    t.match(await errorOf(() => define('', { outside })), error, outside)
  }
})

t.test('groups of resctrl: collisions and overlaps', async t => {
  const cache = (type: string) => `<cache id='0' level='3' type='${type}' size='1' unit='MiB'/>`
  const errorFor = (tune: string) => errorOf(() => define('', { outside: `${VCPUS}<cputune>${tune}</cputune>` }))
  t.match(
    await errorFor(`<cachetune vcpus='0'>${cache('both')}${cache('code')}</cachetune>`),
    "Colliding cache allocations for cache level '3' id '0', type 'code'"
  )
  t.match(
    await errorFor(
      `<cachetune vcpus='0'>${cache('code')}</cachetune><memorytune vcpus='0-1'><node id='0' bandwidth='1'/></memorytune>`
    ),
    'Overlapping vcpus in resctrls'
  )
  t.match(
    await errorFor("<cachetune vcpus='0-1'><monitor level='3' vcpus='0'/><monitor level='3' vcpus='0-1'/></cachetune>"),
    'vcpus overlaps in resctrl groups'
  )
  t.match(await errorFor(`<cachetune vcpus='0'>${cache('code')}</cachetune>`), 'cachetune is only supported for KVM')
})
