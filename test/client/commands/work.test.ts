// Block jobs and saved images.
import { work } from '../../../src/client/commands/work.ts'
import { BOOM, checkRows } from '../../helper/command-rows.ts'

const NO_JOB = { virDomainGetBlockJobInfo: { found: 0, type: 0, bandwidth: 0, cur: 0, end: 0 } }
const info = (flags: number) => [`virDomainGetBlockJobInfo {"disk":"vda","flags":${flags}}`]
const abort = (flags: number) => [`virDomainBlockJobAbort {"disk":"vda","flags":${flags}}`]
const speed = (bandwidth: bigint, flags = 0) => [
  `virDomainBlockJobSetSpeed {"disk":"vda","bandwidth":${bandwidth},"flags":${flags}}`
]
const SET = { virDomainBlockJobSetSpeed: {} }

await checkRows(work, [
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
  [
    'managedsave-remove tiny',
    { virDomainHasManagedSaveImage: { result: 0 } },
    ['virDomainHasManagedSaveImage {}'],
    "Domain 'tiny' has no manage save image; removal skipped"
  ],
  [
    'managedsave-remove tiny',
    { virDomainHasManagedSaveImage: { result: 1 }, virDomainManagedSaveRemove: {} },
    ['virDomainHasManagedSaveImage {}', 'virDomainManagedSaveRemove {}'],
    "Removed managedsave image for domain 'tiny'"
  ]
])
