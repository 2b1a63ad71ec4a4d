// Jobs of disks: what is asked, and what of the answer is shown; waiting for them is in watch-job.test.ts.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { blockjobs } from '../../../src/client/commands/blockjob.ts'
import { BOOM, checkRows, dir } from '../../helper/command-rows.ts'

const NO_JOB = { virDomainGetBlockJobInfo: { found: 0, type: 0, bandwidth: 0, cur: 0, end: 0 } }
const info = (flags: number) => [`virDomainGetBlockJobInfo {"disk":"vda","flags":${flags}}`]
const abort = (flags: number) => [`virDomainBlockJobAbort {"disk":"vda","flags":${flags}}`]
const speed = (bandwidth: bigint, flags = 0) => [
  `virDomainBlockJobSetSpeed {"disk":"vda","bandwidth":${bandwidth},"flags":${flags}}`
]
const SET = { virDomainBlockJobSetSpeed: {} }

const RUNNING = { virDomainGetBlockJobInfo: { found: 1, type: 2, bandwidth: 3_145_728, cur: 512, end: 2048 } }
const PULL = { virDomainBlockPull: {} }
const REBASE = { virDomainBlockRebase: {} }
const COMMIT = { virDomainBlockCommit: {} }
const COPY = { virDomainBlockCopy: {} }
const FILE = join(dir, 'copy.xml')
writeFileSync(FILE, '<disk/>')

/** Arguments of a copy to a file of QEMU's own choice. */
const copy = (more: string, params: string, flags: number) => [
  `virDomainBlockCopy {"disk":"vda","destxml":${JSON.stringify(more)},"params":${params},"flags":${flags}}`
]
const destination = (driver = '') => `<disk type='file'>\n  <source file='/copy'/>\n${driver}</disk>\n`

await checkRows(blockjobs, [
  ['blockjob tiny vda', NO_JOB, info(1), 'No current block job for vda'],
  ['blockjob tiny vda --raw', NO_JOB, info(0), ''],
  ['blockjob tiny vda --pivot --async', { virDomainBlockJobAbort: {} }, abort(3), ''],
  ['blockjob tiny vda --abort', { virDomainBlockJobAbort: BOOM }, abort(0), '', ['it went wrong']],
  ['blockjob tiny vda 5', SET, speed(5n), ''],
  ['blockjob tiny vda 5 --bytes', SET, speed(5n, 1), ''],
  ['blockjob tiny vda 3M', SET, speed(3n), ''],
  ['blockjob tiny vda 3k --bytes', SET, speed(3072n, 1), ''],
  ['blockjob tiny vda --bandwidth -1', SET, speed(2n ** 64n - 1n), ''],
  [
    'blockjob tiny vda fast',
    {},
    [],
    '',
    ["Scaled numeric value 'fast' for <--bandwidth> option is malformed or out of range"]
  ],
  ['blockjob tiny vda --raw --abort', {}, [], '', ['Options --raw and --abort are mutually exclusive']],
  ['blockjob tiny vda --raw --bytes', RUNNING, info(1), ' type=Block Copy\n bandwidth=3145728\n cur=512\n end=2048\n'],
  ['blockpull tiny vda', PULL, ['virDomainBlockPull {"disk":"vda","bandwidth":0,"flags":0}'], 'Block Pull started'],
  [
    'blockpull tiny vda 2 --bytes',
    PULL,
    ['virDomainBlockPull {"disk":"vda","bandwidth":2,"flags":64}'],
    'Block Pull started'
  ],
  [
    'blockpull tiny vda --base /base --bytes --keep-relative',
    REBASE,
    ['virDomainBlockRebase {"disk":"vda","base":"/base","bandwidth":0,"flags":80}'],
    'Block Pull started'
  ],
  ['blockpull tiny vda --async', {}, [], '', ['Option --wait is required by option --async']],
  [
    'blockcommit tiny vda',
    COMMIT,
    ['virDomainBlockCommit {"disk":"vda","bandwidth":0,"flags":0}'],
    'Block Commit started'
  ],
  [
    'blockcommit tiny vda 4 /base --top /top --shallow --delete --active --keep-relative --bytes',
    COMMIT,
    ['virDomainBlockCommit {"disk":"vda","base":"/base","top":"/top","bandwidth":4,"flags":31}'],
    'Active Block Commit started'
  ],
  [
    'blockcommit tiny vda --pivot --keep-overlay',
    {},
    [],
    '',
    ['Options --pivot and --keep-overlay are mutually exclusive']
  ],
  [
    'blockcommit tiny vda --verbose',
    {},
    [],
    '',
    ['--verbose requires at least one of --timeout, --wait, --pivot, or --keep-overlay']
  ],
  [
    'blockcopy tiny vda /copy 5 --blockdev --format raw --shallow --bytes',
    REBASE,
    ['virDomainBlockRebase {"disk":"vda","base":"/copy","bandwidth":5,"flags":109}'],
    'Block Copy started'
  ],
  ['blockcopy tiny vda /copy --transient-job', COPY, copy(destination(), '{}', 4), 'Block Copy started'],
  [
    'blockcopy tiny vda /copy 5 --format qcow2 --granularity 4096 --buf-size 8192 --reuse-external --synchronous-writes',
    COPY,
    copy(destination("  <driver type='qcow2'/>\n"), '{"bandwidth":5242880,"granularity":4096,"buf-size":8192}', 10),
    'Block Copy started'
  ],
  [`blockcopy tiny vda --xml ${FILE}`, COPY, copy('<disk/>', '{}', 0), 'Block Copy started'],
  ['blockcopy tiny vda /copy --print-xml', {}, [], destination()],
  ['blockcopy tiny vda', {}, [], '', ['need either --dest or --xml']],
  [
    'blockcopy tiny vda /copy --async',
    {},
    [],
    '',
    ['--async requires at least one of --timeout, --wait, --pivot, or --finish']
  ],
  ['blockcopy tiny vda /copy --xml /x', {}, [], '', ['Options --dest and --xml are mutually exclusive']]
])
