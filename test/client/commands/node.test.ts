// The host: CPUs, memory, pages, sleep.
import { node } from '../../../src/client/commands/node.ts'
import { BOOM, checkRows, type Row } from '../../helper/command-rows.ts'

const CELLS = {
  capabilities: `<capabilities><host><pages unit='KiB' size='4'/><pages unit='KiB' size='2048'/><cells num='2'>
    <cell id='0'><pages unit='KiB' size='4'>9</pages></cell><cell id='7'/></cells></host>
    <guest><cell id='9'/></guest></capabilities>`
}

await checkRows(node, [
  ['hostname', { virConnectGetHostname: { hostname: 'h' } }, ['virConnectGetHostname {}'], 'h\n'],
  [
    'hostname',
    { virConnectGetHostname: BOOM },
    ['virConnectGetHostname {}'],
    '',
    ['failed to get hostname', 'it went wrong']
  ],
  [
    'nodeinfo',
    {
      virNodeGetInfo: {
        model: 'x86_64',
        memory: 2n ** 60n,
        cpus: 2,
        mhz: 0,
        nodes: 1,
        sockets: 1,
        cores: 2,
        threads: 1
      }
    },
    ['virNodeGetInfo {}'],
    `CPU model:           x86_64
CPU(s):              2
CPU socket(s):       1
Core(s) per socket:  2
Thread(s) per core:  1
NUMA cell(s):        1
Memory size:         1152921504606846976 KiB
`
  ],
  [
    'nodecpumap',
    { virNodeGetCPUMap: { cpumap: [1, 0, 1], online: 2 } },
    ['virNodeGetCPUMap {}'],
    'CPUs present:   3\nCPUs online:    2\nCPU map:        y-y\n'
  ],
  [
    'nodecpumap --pretty',
    { virNodeGetCPUMap: { cpumap: [1, 1, 1, 0, 1], online: 4 } },
    ['virNodeGetCPUMap {}'],
    'CPUs present:   5\nCPUs online:    4\nCPU map:        0-2,4\n'
  ],
  [
    'nodecpustats --cpu 1',
    {
      virNodeGetCPUStats: {
        params: [
          { field: 'idle', value: 2n ** 64n - 1n },
          { field: 'user', value: 5 }
        ]
      }
    },
    ['virNodeGetCPUStats {"cpuNum":1}'],
    'user:                              5\nidle:           18446744073709551615\n'
  ],
  [
    'nodecpustats',
    { virNodeGetCPUStats: BOOM },
    ['virNodeGetCPUStats {"cpuNum":-1}'],
    '',
    ['Unable to get node cpu stats', 'it went wrong']
  ],
  [
    'nodememstats --cell 1',
    { virNodeGetMemoryStats: { params: [{ field: 'total', value: 7 }] } },
    ['virNodeGetMemoryStats {"cellNum":1}'],
    'total  :                    7 KiB\n'
  ],
  [
    'maxvcpus --type kvm',
    { virConnectGetDomainCapabilities: BOOM, virConnectGetMaxVcpus: { maxVcpus: 288 } },
    ['virConnectGetDomainCapabilities {"virttype":"kvm"}', 'virConnectGetMaxVcpus {"type":"kvm"}'],
    '288\n'
  ],
  [
    'maxvcpus',
    { virConnectGetDomainCapabilities: { capabilities: "<vcpu max='255'/>" } },
    ['virConnectGetDomainCapabilities {}'],
    '255\n'
  ],
  [
    'freecell',
    { virNodeGetFreeMemory: { freeMem: 2n ** 63n } },
    ['virNodeGetFreeMemory {}'],
    'Total: 9007199254740992 KiB\n'
  ],
  [
    'freecell --cellno 1',
    { virNodeGetCellsFreeMemory: { cells: [4096] } },
    ['virNodeGetCellsFreeMemory {"startCell":1,"maxcells":1}'],
    '1: 4 KiB\n'
  ],
  [
    'freecell --all',
    { virConnectGetCapabilities: CELLS, virNodeGetCellsFreeMemory: { cells: [4096] } },
    [
      'virConnectGetCapabilities {}',
      'virNodeGetCellsFreeMemory {"startCell":0,"maxcells":1}',
      'virNodeGetCellsFreeMemory {"startCell":7,"maxcells":1}'
    ],
    '    0:          4 KiB\n    7:          4 KiB\n---\nTotal:          8 KiB\n'
  ],
  [
    'freepages --all',
    { virConnectGetCapabilities: CELLS, virNodeGetFreePages: { counts: [1, 2n ** 60n] } },
    [
      'virConnectGetCapabilities {}',
      'virNodeGetFreePages {"pages":[4,2048],"startCell":0,"cellCount":1}',
      'virNodeGetFreePages {"pages":[4,2048],"startCell":7,"cellCount":1}'
    ],
    'Node 0:\n4KiB: 1\n2048KiB: 1152921504606846976\n\nNode 7:\n4KiB: 1\n2048KiB: 1152921504606846976\n\n'
  ],
  ...(
    [
      ['4', 4],
      ['2M', 2048],
      ['2MiB', 2048],
      ['1G', 1048576],
      ['1MB', 977],
      ['4095b', 4]
    ] as const
  ).map(
    ([text, size]): Row => [
      `freepages 1 ${text}`,
      { virNodeGetFreePages: { counts: [3] } },
      [`virNodeGetFreePages {"pages":[${size}],"startCell":1,"cellCount":1}`],
      `${size}KiB: 3\n`
    ]
  ),
  ['freepages --cellno -2 --pagesize 4', {}, [], '', ['cell number must be non-negative integer or -1']],
  ...(
    [
      ['-1'],
      ['M'],
      ['18446744073709551616'],
      ['1.5G', "invalid argument: unknown suffix '.5G'"],
      ['0x4', "invalid argument: unknown suffix 'x4'"],
      ['4GiBB', "invalid argument: unknown suffix 'GiBB'"],
      ['4294967296', 'numerical overflow: value too large: 4294967296'],
      ['+4T', 'numerical overflow: value too large: 4T']
    ] as const
  ).map(
    ([size, ...why]): Row => [
      `freepages 0 ${size}`,
      {},
      [],
      '',
      [`Scaled numeric value '${size}' for <pagesize> option is malformed or out of range`, ...why]
    ]
  ),
  [
    'allocpages 2M 18446744073709551615 --cellno 1 --add',
    { virNodeAllocPages: {} },
    [
      'virNodeAllocPages {"pageSizes":[2048],"pageCounts":[18446744073709551615],"startCell":1,"cellCount":1,"flags":[]}'
    ],
    ''
  ],
  [
    'allocpages 4 1 --all',
    { virConnectGetCapabilities: CELLS, virNodeAllocPages: {} },
    [
      'virConnectGetCapabilities {}',
      ...[0, 7].map(
        cell =>
          `virNodeAllocPages {"pageSizes":[4],"pageCounts":[1],"startCell":${cell},"cellCount":1,"flags":["VIR_NODE_ALLOC_PAGES_SET"]}`
      )
    ],
    ''
  ],
  ['allocpages 4 x', {}, [], '', ["Numeric value 'x' for <pagecount> option is malformed or out of range"]],
  [
    'node-memory-tune',
    { virNodeGetMemoryParameters: { params: { shm_pages_to_scan: 100, shm_full_scans: 2n ** 63n } } },
    ['virNodeGetMemoryParameters {}'],
    'Shared memory:\n\tshm_pages_to_scan 100\n\tshm_full_scans  9223372036854775808\n'
  ],
  [
    'node-memory-tune --shm-sleep-millisecs 4294967295',
    { virNodeSetMemoryParameters: BOOM },
    ['virNodeSetMemoryParameters {"params":{"shm_sleep_millisecs":4294967295}}'],
    '',
    ['Unable to change memory parameters', 'it went wrong']
  ],
  [
    'nodesuspend hybrid 60',
    { virNodeSuspendForDuration: {} },
    ['virNodeSuspendForDuration {"target":2,"duration":60}'],
    ''
  ],
  ['nodesuspend mem -1', {}, [], '', ['Invalid duration']],
  ['nodesuspend ram 60', {}, [], '', ['Invalid target']],
  ['sysinfo', { virConnectGetSysinfo: { sysinfo: '<sysinfo/>' } }, ['virConnectGetSysinfo {}'], '<sysinfo/>']
])
