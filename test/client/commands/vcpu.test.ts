// vCPUs: how many, where, for how long.
import { vcpu } from '../../../src/client/commands/vcpu.ts'
import { BOOM, checkRows, type Numbers } from '../../helper/command-rows.ts'

await checkRows(vcpu, [
  [
    'vcpucount off --maximum --config',
    { virDomainGetVcpusFlags: { num: 4 } },
    ['virDomainGetVcpusFlags {"flags":6}'],
    '4\n'
  ],
  [
    'vcpucount off --guest',
    { virDomainGetVcpusFlags: BOOM },
    ['virDomainGetVcpusFlags {"flags":8}'],
    '',
    ['it went wrong']
  ],
  [
    'vcpucount tiny',
    { virDomainIsPersistent: { persistent: 0 }, virDomainGetVcpusFlags: ({ flags }: Numbers) => ({ num: flags }) },
    ['virDomainIsPersistent {}', 'virDomainGetVcpusFlags {"flags":5}', 'virDomainGetVcpusFlags {"flags":1}'],
    'maximum      live           5\ncurrent      live           1\n'
  ],
  [
    'vcpucount off',
    { virDomainIsPersistent: { persistent: 1 }, virDomainGetVcpusFlags: ({ flags }: Numbers) => ({ num: flags }) },
    ['virDomainIsPersistent {}', 'virDomainGetVcpusFlags {"flags":6}', 'virDomainGetVcpusFlags {"flags":2}'],
    'maximum      config         6\ncurrent      config         2\n'
  ],
  ['vcpucount off --guest --config', {}, [], '', ['Options --guest and --config are mutually exclusive']],
  [
    'vcpuinfo tiny',
    {
      virDomainGetVcpus: {
        info: [
          { number: 0, state: 1, cpuTime: 1_550_000_000, cpu: 1 },
          { number: 1, state: 9, cpuTime: 0, cpu: 0 }
        ],
        cpumaps: [
          [true, false, true],
          [false, true, true]
        ]
      }
    },
    ['virDomainGetVcpus {}'],
    `VCPU:           0
CPU:            1
State:          running
CPU time:       1.6s
CPU Affinity:   y-y

VCPU:           1
CPU:            0
State:          no state
CPU Affinity:   -yy
`
  ],
  [
    'vcpuinfo tiny --pretty',
    {
      virDomainGetVcpus: {
        info: [{ number: 0, state: 1, cpuTime: 0, cpu: 1 }],
        cpumaps: [[true, false, true, true, true, false, true]]
      }
    },
    ['virDomainGetVcpus {}'],
    'VCPU:           0\nCPU:            1\nState:          running\nCPU Affinity:   0,2-4,6 (out of 7)\n'
  ],
  [
    'cpu-stats tiny --total',
    { virDomainGetCPUStats: { params: [{ cpu_time: 18446744073709551615n, user_time: 5 }] } },
    ['virDomainGetCPUStats {"startCpu":-1,"ncpus":1}'],
    'Total:\n\tcpu_time     18446744073.709551615 seconds\n\tuser_time            0.000000005 seconds\n'
  ],
  [
    'cpu-stats tiny --start 2 --count 200',
    { virDomainGetCPUStats: { params: [{ cpu_time: 1_000_000_000 }, {}] } },
    ['virDomainGetCPUStats {"startCpu":2,"ncpus":128}'],
    'CPU2:\n\tcpu_time             1.000000000 seconds\nCPU3:\n'
  ],
  [
    'cpu-stats tiny',
    { virDomainGetCPUStats: ({ startCpu }: Numbers) => (startCpu === 0 ? BOOM : { params: [{ x: 4 }] }) },
    ['virDomainGetCPUStats {"startCpu":0,"ncpus":128}', 'virDomainGetCPUStats {"startCpu":-1,"ncpus":1}'],
    'Total:\n\tx            4\n'
  ],
  [
    'cpu-stats tiny --start 0',
    { virDomainGetCPUStats: BOOM },
    ['virDomainGetCPUStats {"startCpu":0,"ncpus":128}'],
    '',
    ["Failed to retrieve CPU statistics for domain 'tiny'", 'it went wrong']
  ],
  ['cpu-stats tiny --start -1', {}, [], '', ['Invalid value for start CPU']],
  ['cpu-stats tiny --count -1', {}, [], '', ['Invalid value for number of CPUs to show']],
  [
    'iothreadinfo tiny --config',
    { virDomainGetIOThreadInfo: { info: [{ iothread_id: 2, cpumap: [true, true, false, true] }] } },
    ['virDomainGetIOThreadInfo {"flags":2}'],
    ' IOThread ID   CPU Affinity\n---\n 2             0-1,3\n'
  ],
  [
    'iothreadinfo tiny',
    { virDomainGetIOThreadInfo: { info: [] } },
    ['virDomainGetIOThreadInfo {"flags":0}'],
    'No IOThreads found for the domain'
  ],
  ['iothreadinfo tiny --current --live', {}, [], '', ['Options --current and --live are mutually exclusive']]
])
