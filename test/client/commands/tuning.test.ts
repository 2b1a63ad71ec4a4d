// Pinning, scheduler, memory, block I/O, NUMA and counters: what is asked, and what is said.
import { tuning } from '../../../src/client/commands/tuning.ts'
import { BOOM, checkRows } from '../../helper/command-rows.ts'

const MAPS = { virNodeGetCPUMap: { cpumap: [true, true, true, true], online: 4 } }
const SCHEDULER = {
  virDomainGetSchedulerType: { type: 'posix', nparams: 9 },
  virDomainGetSchedulerParameters: { params: { cpu_shares: 1024, vcpu_quota: -1 } },
  virDomainGetSchedulerParametersFlags: { params: { cpu_shares: 7, vcpu_quota: 8 } }
}
const SHOWN = 'Scheduler      : posix\n'

await checkRows(tuning, [
  [
    'vcpupin tiny',
    { virDomainGetVcpusFlags: { num: 2 }, virDomainGetVcpuPinInfo: { cpumaps: [[true, true, false, true], [false]] } },
    ['virDomainGetVcpusFlags {"flags":4}', 'virDomainGetVcpuPinInfo {"flags":0}'],
    ' VCPU   CPU Affinity\n---\n 0      0-1,3\n 1      \n'
  ],
  [
    'vcpupin off 2 --config',
    { virDomainGetVcpusFlags: { num: 2 } },
    ['virDomainGetVcpusFlags {"flags":6}'],
    '',
    ['vcpu 2 is out of range of persistent cpu count 2']
  ],
  [
    'vcpupin tiny 2',
    { virDomainGetVcpusFlags: { num: 2 } },
    ['virDomainGetVcpusFlags {"flags":4}'],
    '',
    ['vcpu 2 is out of range of live cpu count 2']
  ],
  [
    'vcpupin tiny 1 0,2',
    { ...MAPS, virDomainPinVcpu: {} },
    ['virNodeGetCPUMap {}', 'virDomainPinVcpu {"vcpu":1,"cpumap":[true,false,true]}'],
    ''
  ],
  [
    'vcpupin tiny 1 r --live --config',
    { ...MAPS, virDomainPinVcpuFlags: {} },
    ['virNodeGetCPUMap {}', 'virDomainPinVcpuFlags {"vcpu":1,"cpumap":[true,true,true,true],"flags":3}'],
    ''
  ],
  ['vcpupin tiny --cpulist 1', MAPS, [], '', ['vcpupin: Missing vCPU number in pin mode.']],
  ['vcpupin tiny 1 5', MAPS, ['virNodeGetCPUMap {}'], '', ["CPU 5 in cpulist '5' exceed the maxcpu 4"]],
  [
    'emulatorpin tiny',
    { virDomainGetEmulatorPinInfo: { cpumap: [true, false, true, true] } },
    ['virDomainGetEmulatorPinInfo {"flags":0}'],
    'emulator: CPU Affinity\n---\n       *: 0,2-3\n'
  ],
  [
    'emulatorpin tiny 1',
    { ...MAPS, virDomainPinEmulator: {} },
    ['virNodeGetCPUMap {}', 'virDomainPinEmulator {"cpumap":[false,true],"flags":1}'],
    ''
  ],
  [
    'iothreadpin tiny 3 0 --config',
    { ...MAPS, virDomainPinIOThread: {} },
    ['virNodeGetCPUMap {}', 'virDomainPinIOThread {"iothread_id":3,"cpumap":[true],"flags":2}'],
    ''
  ],
  [
    'schedinfo tiny',
    SCHEDULER,
    ['virDomainGetSchedulerType {}', 'virDomainGetSchedulerParameters {}'],
    `${SHOWN}cpu_shares     : 1024\nvcpu_quota     : -1\n`
  ],
  [
    'schedinfo tiny --set cpu_shares=5 vcpu_quota=-3',
    { ...SCHEDULER, virDomainSetSchedulerParameters: {} },
    [
      'virDomainGetSchedulerType {}',
      'virDomainGetSchedulerParameters {}',
      'virDomainSetSchedulerParameters {"params":{"cpu_shares":5,"vcpu_quota":-3}}',
      'virDomainGetSchedulerParameters {}'
    ],
    `${SHOWN}cpu_shares     : 1024\nvcpu_quota     : -1\n`
  ],
  [
    'schedinfo tiny cpu_shares=5 --live --config',
    { ...SCHEDULER, virDomainSetSchedulerParametersFlags: {} },
    [
      'virDomainGetSchedulerType {}',
      'virDomainGetSchedulerParametersFlags {"flags":0}',
      'virDomainSetSchedulerParametersFlags {"params":{"cpu_shares":5},"flags":3}',
      'virDomainGetSchedulerParametersFlags {"flags":0}'
    ],
    `${SHOWN}cpu_shares     : 7\nvcpu_quota     : 8\n`
  ],
  [
    'schedinfo tiny --live --config',
    SCHEDULER,
    ['virDomainGetSchedulerType {}', 'virDomainGetSchedulerParametersFlags {"flags":0}'],
    SHOWN,
    ['cannot query both live and config at once']
  ],
  [
    'schedinfo tiny',
    { virDomainGetSchedulerType: BOOM },
    ['virDomainGetSchedulerType {}'],
    'Scheduler      : Unknown\n',
    ['it went wrong']
  ],
  [
    'memtune tiny',
    { virDomainGetMemoryParameters: { params: { hard_limit: 5, soft_limit: 9007199254740991 } } },
    ['virDomainGetMemoryParameters {"flags":0}'],
    'hard_limit     : 5\nsoft_limit     : unlimited\n'
  ],
  [
    'memtune tiny --hard-limit 1M --soft-limit 5 --swap-hard-limit=-1 --live',
    { virDomainSetMemoryParameters: BOOM },
    [
      'virDomainSetMemoryParameters {"params":{"hard_limit":1024,"soft_limit":5,"swap_hard_limit":9007199254740991},"flags":1}'
    ],
    '',
    ['Unable to change memory parameters', 'it went wrong']
  ],
  ['memtune tiny --hard-limit x', {}, [], '', ['Unable to parse integer parameter hard-limit']],
  [
    'blkiotune tiny --weight 5 --device-weights /dev/x,7',
    { virDomainSetBlkioParameters: {} },
    ['virDomainSetBlkioParameters {"params":{"weight":5,"device_weight":"/dev/x,7"},"flags":0}'],
    ''
  ],
  [
    'blkiotune tiny',
    { virDomainGetBlkioParameters: { params: { weight: 5, device_weight: '' } } },
    ['virDomainGetBlkioParameters {"flags":0}'],
    'weight         : 5\ndevice_weight  : \n'
  ],
  ['blkiotune tiny --weight 0', {}, [], '', ['Invalid value of 0 for I/O weight']],
  [
    'numatune tiny',
    { virDomainGetNumaParameters: { params: { numa_mode: 3, numa_nodeset: '0' } } },
    ['virDomainGetNumaParameters {"flags":0}'],
    'numa_mode      : restrictive\nnuma_nodeset   : 0\n'
  ],
  [
    'numatune tiny preferred 1 --config',
    { virDomainSetNumaParameters: {} },
    ['virDomainSetNumaParameters {"params":{"numa_nodeset":"1","numa_mode":1},"flags":2}'],
    ''
  ],
  ['numatune tiny --mode x', {}, [], '', ['Invalid mode: x']],
  [
    'perf tiny',
    { virDomainGetPerfEvents: { params: { cmt: false, cpu_clock: true } } },
    ['virDomainGetPerfEvents {"flags":0}'],
    'cmt            : disabled\ncpu_clock      : enabled\n'
  ],
  [
    'perf tiny --enable cmt,mbmt --disable mbml',
    { virDomainSetPerfEvents: {} },
    ['virDomainSetPerfEvents {"params":{"cmt":true,"mbmt":true,"mbml":false},"flags":0}'],
    'cmt            : enabled\nmbmt           : enabled\nmbml           : disabled\n'
  ]
])
