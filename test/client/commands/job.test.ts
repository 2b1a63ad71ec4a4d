// What a guest's long job has come to, as virsh writes it.
import { job, jobs } from '../../../src/client/commands/job.ts'
import { BOOM, checkRows, uuidOf } from '../../helper/command-rows.ts'

const MIB = 2n ** 20n
const stats = (type: number, params: object) => ({ virDomainGetJobStats: { type, params } })
const asks = (flags: number) => [`virDomainGetJobStats {"flags":${flags}}`]

const MEMORY = { memory_total: 64n * MIB, memory_processed: 16n * MIB, memory_remaining: 48n * MIB }
const SAVE = {
  operation: 2,
  time_elapsed: 1234n,
  setup_time: 2n,
  downtime: 7n,
  data_total: 64n * MIB,
  data_processed: 16n * MIB,
  data_remaining: 48n * MIB,
  ...MEMORY,
  memory_bps: 1536n,
  memory_constant: 5n,
  memory_normal: 6n,
  memory_normal_bytes: 6n * 4096n,
  memory_dirty_rate: 0n,
  memory_iteration: 1n,
  memory_postcopy_requests: 0n,
  memory_page_size: 4096n
}

const SAVE_TEXT = `Job type:         Unbounded  \x20
Operation:        Save       \x20
Time elapsed:     1234         ms
Data processed:   16.000 MiB
Data remaining:   48.000 MiB
Data total:       64.000 MiB
Memory processed: 16.000 MiB
Memory remaining: 48.000 MiB
Memory total:     64.000 MiB
Memory bandwidth: 1.500 KiB/s
Dirty rate:       0            pages/s
Page size:        4096         bytes
Iteration:        1          \x20
Postcopy requests: 0          \x20
Constant pages:   5          \x20
Normal pages:     6          \x20
Normal data:      24.000 KiB
Expected downtime: 7            ms
Setup time:       2            ms
`

const BACKUP = {
  operation: 9,
  time_elapsed: 5n,
  disk_total: 2048n,
  disk_processed: 1024n,
  disk_remaining: 1024n,
  disk_temp_used: 1n,
  disk_temp_total: 2n,
  success: false,
  errmsg: 'no space'
}

await checkRows(job, [
  ['domjobinfo tiny', stats(0, {}), asks(0), 'Job type:         None        \n'],
  ['domjobinfo tiny', stats(2, SAVE), asks(0), SAVE_TEXT],
  [
    'domjobinfo tiny --completed',
    stats(3, { operation: 8, time_elapsed: 5n, ...MEMORY }),
    asks(1),
    `Job type:         Completed  \x20
Operation:        Dump       \x20
Time elapsed:     5            ms
Memory processed: 16.000 MiB
Memory remaining: 48.000 MiB
Memory total:     64.000 MiB
`
  ],
  [
    'domjobinfo tiny --completed --keep-completed',
    stats(4, BACKUP),
    asks(3),
    'Job type:         Failed      \nOperation:        Backup      \n'
  ],
  [
    'domjobinfo tiny --completed --anystats',
    stats(4, BACKUP),
    asks(1),
    `Job type:         Failed     \x20
Operation:        Backup     \x20
Time elapsed:     5            ms
File processed:   1.000 KiB
File remaining:   1.000 KiB
File total:       2.000 KiB
Temporary disk space use: 1.000 B
Temporary disk space total: 2.000 B
Error message:    no space
`
  ],
  [
    'domjobinfo tiny --rawstats',
    stats(4, { operation: 9, success: false, errmsg: 'no space' }),
    asks(0),
    'Job type: 4\n\noperation: 9\nsuccess: 0\nerrmsg: no space\n'
  ],
  ['domjobinfo tiny --keep-completed', {}, [], '', ['Option --completed is required by option --keep-completed']],
  ['domjobinfo tiny', { virDomainGetJobStats: BOOM }, asks(0), '', ['it went wrong']],
  ['domjobabort tiny', { virDomainAbortJob: {} }, ['virDomainAbortJob {}'], ''],
  [
    'domjobabort tiny --postcopy',
    { virDomainAbortJobFlags: BOOM },
    ['virDomainAbortJobFlags {"flags":1}'],
    '',
    ['it went wrong']
  ],
  [
    'dump tiny /cores/a',
    { virDomainCoreDump: {} },
    ['virDomainCoreDump {"to":"/cores/a","flags":0}'],
    "\nDomain 'tiny' dumped to /cores/a\n"
  ],
  [
    'dump tiny /cores/a --live --crash --bypass-cache --reset --memory-only --verbose --format elf',
    { virDomainCoreDump: {} },
    ['virDomainCoreDump {"to":"/cores/a","flags":31}'],
    "Dump: [100.00 %]\n\nDomain 'tiny' dumped to /cores/a\n"
  ],
  [
    'dump tiny /cores/a --memory-only --format win-dmp --verbose',
    { virDomainCoreDumpWithFormat: BOOM },
    ['virDomainCoreDumpWithFormat {"to":"/cores/a","dumpformat":4,"flags":16}'],
    '',
    ["Failed to core dump domain 'tiny' to /cores/a", 'it went wrong']
  ],
  ['dump tiny /cores/a --format elf', {}, [], '', ['--format only works with --memory-only']],
  [
    'dump tiny /cores/a --memory-only --format toString',
    {},
    [],
    '',
    ["format 'toString' is not supported, expecting 'kdump-zlib', 'kdump-lzo', 'kdump-snappy', 'win-dmp' or 'elf'"]
  ]
])

const DUMP = {
  id: 'dump-1',
  kind: 'dump',
  heldBy: 'virDomainCoreDump',
  sinceMs: 1,
  phase: 'written',
  cancellable: true
}
const ASKED = [`GET /v1/domains/${uuidOf(1)}/jobs`]

await checkRows(jobs, [
  [
    'jobs tiny',
    {
      jobs: {
        jobs: [
          { ...DUMP, percent: 42, bytesPerSecond: 1536 },
          { id: 'modify-2', kind: 'modify', heldBy: 'virDomainSetMemory', sinceMs: 2, cancellable: false }
        ]
      }
    },
    ASKED,
    ` Domain   Job      Phase     Held by              Progress
---
 tiny     dump     written   virDomainCoreDump    42 %, 1.500 KiB/s
 tiny     modify   -         virDomainSetMemory   -
`
  ],
  ['jobs tiny', { jobs: { jobs: [] } }, ASKED, ' Domain   Job   Phase   Held by   Progress\n---\n'],
  [
    'jobs tiny --json',
    { jobs: { jobs: [DUMP] } },
    ASKED,
    `${JSON.stringify({ jobs: [{ domain: 'tiny', ...DUMP }] })}\n`
  ],
  ['jobs nobody', {}, [], '', ["failed to get domain 'nobody'"]]
])
