// vCPUs, IOThreads and memory: how many, and how much.
import { resize } from '../../../src/client/commands/resize.ts'
import { BOOM, checkRows, type Row } from '../../helper/command-rows.ts'

const refused = (line: string, ...errors: string[]): Row => [line, {}, [], '', errors]
const asks = (line: string, api: string, args: string, out = ''): Row => [line, { [api]: {} }, [`${api} ${args}`], out]
const malformed = (value: string, option: string) =>
  `Numeric value '${value}' for <${option}> option is malformed or out of range`

await checkRows(resize, [
  asks('setvcpus tiny 3', 'virDomainSetVcpus', '{"nvcpus":3}'),
  asks('setvcpus tiny 3 --current', 'virDomainSetVcpusFlags', '{"nvcpus":3,"flags":0}'),
  asks('setvcpus tiny 3 --live --config --hotpluggable', 'virDomainSetVcpusFlags', '{"nvcpus":3,"flags":19}'),
  asks('setvcpus tiny 3 --guest', 'virDomainSetVcpusFlags', '{"nvcpus":3,"flags":8}'),
  asks('setvcpus off 4 --maximum --config', 'virDomainSetVcpusFlags', '{"nvcpus":4,"flags":6}'),
  refused('setvcpus off 4 --maximum', 'Option --config is required by option --maximum'),
  refused('setvcpus off 4 --guest --config', 'Options --guest and --config are mutually exclusive'),
  refused('setvcpus tiny 0', "Can't set 0 processors for a VM"),
  refused('setvcpus tiny -1', malformed('-1', 'count')),
  ['setvcpus tiny 2', { virDomainSetVcpus: BOOM }, ['virDomainSetVcpus {"nvcpus":2}'], '', ['it went wrong']],
  asks('setvcpu tiny 1-2 --enable', 'virDomainSetVcpu', '{"vcpumap":"1-2","state":1,"flags":0}'),
  asks('setvcpu tiny 3 --disable --live', 'virDomainSetVcpu', '{"vcpumap":"3","state":0,"flags":1}'),
  refused('setvcpu tiny 3', 'one of --enable, --disable is required'),
  refused('setvcpu tiny 3 --enable --disable', 'Options --enable and --disable are mutually exclusive'),
  asks('iothreadadd tiny 2 --live', 'virDomainAddIOThread', '{"iothread_id":2,"flags":1}'),
  refused('iothreadadd tiny 0', "Invalid IOThread id value: '0'"),
  refused('iothreadadd tiny x', malformed('x', 'id')),
  asks('iothreaddel tiny 2 --config', 'virDomainDelIOThread', '{"iothread_id":2,"flags":2}'),
  refused('iothreaddel tiny -3', "Invalid IOThread id value: '-3'"),
  asks(
    'iothreadset tiny 1 --poll-max-ns 7 --thread-pool-min -1',
    'virDomainSetIOThreadParams',
    '{"iothread_id":1,"params":{"poll_max_ns":7,"thread_pool_min":-1},"flags":0}'
  ),
  refused('iothreadset tiny 1', 'Not enough arguments passed, nothing to set'),
  refused('iothreadset tiny 1 --poll-grow -1', malformed('-1', 'poll-grow')),
  asks('setmem tiny 100', 'virDomainSetMemoryFlags', '{"memory":100,"flags":1}'),
  asks('setmem tiny 1025b --config', 'virDomainSetMemoryFlags', '{"memory":2,"flags":2}'),
  asks('setmem tiny 1M --current', 'virDomainSetMemoryFlags', '{"memory":1024,"flags":0}'),
  refused('setmem tiny x', "Scaled numeric value 'x' for <size> option is malformed or out of range"),
  asks('setmaxmem off 1G', 'virDomainSetMemoryFlags', '{"memory":1048576,"flags":4}'),
  [
    'setmaxmem tiny 1 --live',
    { virDomainSetMemoryFlags: BOOM },
    ['virDomainSetMemoryFlags {"memory":1,"flags":5}'],
    '',
    ['Unable to change MaxMemorySize', 'it went wrong']
  ],
  asks(
    'domdirtyrate-calc tiny',
    'virDomainStartDirtyRateCalc',
    '{"seconds":1,"flags":0}',
    "Start to calculate domain's memory dirty rate successfully.\n"
  ),
  [
    'domdirtyrate-calc tiny --seconds 5 --mode dirty-ring',
    { virDomainStartDirtyRateCalc: BOOM },
    ['virDomainStartDirtyRateCalc {"seconds":5,"flags":2}'],
    '',
    ['it went wrong']
  ],
  refused('domdirtyrate-calc tiny --mode x', "Unknown calculation mode 'x'")
])
