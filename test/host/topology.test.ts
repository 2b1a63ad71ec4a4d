import t from 'tap'
import {
  cellCpus,
  cellPages,
  cellRange,
  cpuPlace,
  hostCells,
  hostCpus,
  hostTopology,
  memoryKiB,
  noPages,
  pageSizesKiB,
  readList,
  WHOLE_HOST
} from '../../src/host/topology.ts'
import { errorOf } from '../helper/definition.ts'
import { type HostFiles, onHost } from '../helper/host-tree.ts'

const SYSTEM = '/sys/devices/system'

/** CPUs as socket, core and the siblings of their core; cells by the list of their CPUs. */
function host(cpus: [socket: number, core: number, siblings: string][], cells: string[], online?: string): HostFiles {
  const all = `0-${cpus.length - 1}`
  const files: HostFiles = {
    [`${SYSTEM}/cpu/present`]: `${all}\n`,
    [`${SYSTEM}/cpu/online`]: `${online ?? all}\n`
  }
  for (const [id, [socket, core, siblings]] of cpus.entries()) {
    const topology = `${SYSTEM}/cpu/cpu${id}/topology`
    files[`${topology}/physical_package_id`] = `${socket}\n`
    files[`${topology}/core_id`] = `${core}\n`
    files[`${topology}/die_id`] = '0\n'
    files[`${topology}/thread_siblings_list`] = `${siblings}\n`
  }
  for (const [cell, list] of cells.entries()) files[`${SYSTEM}/node/node${cell}/cpulist`] = `${list}\n`
  return files
}

t.test('lists of the kernel', async t => {
  t.same(readList('0-3,8'), [0, 1, 2, 3, 8])
  t.same(readList('5'), [5])
  t.same(readList(''), [])
})

const SMT: HostFiles = host(
  [
    [0, 0, '0,4'],
    [0, 1, '1,5'],
    [1, 0, '2,6'],
    [1, 1, '3,7'],
    [0, 0, '0,4'],
    [0, 1, '1,5'],
    [1, 0, '2,6'],
    [1, 1, '3,7']
  ],
  ['0-1,4-5', '2-3,6-7']
)

t.test('two sockets, a cell each, two threads a core', () =>
  onHost(SMT, () => {
    t.same(hostCpus(), { present: 8, online: [0, 1, 2, 3, 4, 5, 6, 7] })
    t.same(hostCells(), [0, 1])
    t.same(cellCpus(1), [2, 3, 6, 7])
    t.same(cpuPlace(6), { id: 6, socket: 1, die: 0, cluster: 0, core: 0, siblings: '2,6' })
    t.same(hostTopology(), { nodes: 2, sockets: 1, cores: 2, threads: 2 })
  })
)

t.test('clusters, where the architecture has them', async () => {
  const cluster = `${SYSTEM}/cpu/cpu6/topology/cluster_id`
  await onHost({ ...SMT, [cluster]: '3\n' }, () => t.equal(cpuPlace(6).cluster, 3))
  await onHost({ ...SMT, [cluster]: '-1\n' }, () => t.equal(cpuPlace(6).cluster, 0))
})

t.test('CPUs that are off make it flat', () =>
  onHost({ ...SMT, [`${SYSTEM}/cpu/online`]: '0-6\n' }, () => {
    t.same(cellCpus(1), [2, 3, 6])
    t.same(hostTopology(), { nodes: 1, sockets: 1, cores: 7, threads: 1 })
  })
)

t.test('a kernel that tells nothing', () =>
  onHost({}, () => {
    t.same(hostCpus(), { present: 1, online: [0] })
    t.same(hostCells(), [0])
    t.same(cpuPlace(0), { id: 0, socket: 0, die: 0, cluster: 0, core: 0, siblings: '0' })
    t.same(hostTopology(), { nodes: 1, sockets: 1, cores: 1, threads: 1 })
    t.same(memoryKiB(), {})
    t.same(pageSizesKiB(), [4])
    t.same(cellPages(0), [{ sizeKiB: 4, total: 0, free: 0 }])
  })
)

const HUGE = `${SYSTEM}/node/node1/hugepages`
const MEMORY: HostFiles = {
  ...SMT,
  '/proc/meminfo': 'MemTotal:    8000000 kB\nMemFree:  1000000 kB\nHugepagesize:       2048 kB\nActive(anon): 7 kB\n',
  [`${SYSTEM}/node/node1/meminfo`]: 'Node 1 MemTotal:  4000000 kB\nNode 1 MemFree:  400 kB\n',
  [`${HUGE}/hugepages-2048kB/nr_hugepages`]: '512\n',
  [`${HUGE}/hugepages-2048kB/free_hugepages`]: '12\n',
  [`${HUGE}/hugepages-1048576kB/nr_hugepages`]: '1\n',
  [`${HUGE}/hugepages-1048576kB/free_hugepages`]: '0\n',
  '/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages': '1\n',
  '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages': '512\n'
}

t.test('memory and pages, of the host and of a cell', () =>
  onHost(MEMORY, async () => {
    t.same(memoryKiB(), { MemTotal: 8000000, MemFree: 1000000, Hugepagesize: 2048 })
    t.same(memoryKiB(1), { MemTotal: 4000000, MemFree: 400 })
    t.same(memoryKiB(0), memoryKiB(), 'a cell that tells nothing is the whole host')
    t.same(pageSizesKiB(), [4, 2048, 1048576])
    t.same(cellPages(1), [
      { sizeKiB: 4, total: (4000000 - 2 * 1048576) / 4, free: 100 },
      { sizeKiB: 2048, total: 512, free: 12 },
      { sizeKiB: 1048576, total: 1, free: 0 }
    ])
    t.equal(cellPages(WHOLE_HOST)[0]!.total, (8000000 - 2 * 1048576) / 4)
  })
)

t.test('cells of a call', () =>
  onHost(SMT, async () => {
    t.same(cellRange(0, 2), [0, 1])
    t.same(cellRange(1, 9), [1])
    t.same(cellRange(WHOLE_HOST, 2), [WHOLE_HOST, 0])
    t.equal(
      await errorOf(() => cellRange(2, 1)),
      'VIR_ERR_INTERNAL_ERROR: internal error: start cell 2 out of range (0-1)'
    )
    t.equal(
      await errorOf(() => cellRange(-2, 1)),
      'VIR_ERR_OPERATION_FAILED: operation failed: NUMA node -2 is not available'
    )
    t.equal(noPages(3, 1), 'page size 3 is not available on node 1')
    t.equal(noPages(3, WHOLE_HOST), 'page size 3 is not available')
  })
)
