// Commands on jobs of disks: begun, waited for, watched, ended.
import {
  virDomainBlockCommitFlags,
  virDomainBlockCopyFlags,
  virDomainBlockJobAbortFlags,
  virDomainBlockJobInfoFlags,
  virDomainBlockJobSetSpeedFlags,
  virDomainBlockPullFlags,
  virDomainBlockRebaseFlags
} from '../../conf/enums.ts'
import { element, formatXml } from '../../conf/xml.ts'
import { type Given, scaledInteger } from '../arguments.ts'
import { prettyCapacity } from '../capacity.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'
import { readOrFail } from '../input.ts'
import { BLOCK_JOBS } from '../names.ts'
import { runBlockJob, showProgress } from '../watch-job.ts'

const { VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT } = virDomainBlockJobAbortFlags
const MIB = 2n ** 20n
const TIMEOUT_MAX_S = Math.floor((2 ** 31 - 1) / 1000)

/** A bandwidth: a number in the unit of the call, or a scaled one in bytes. Below zero it wraps around, as virsh's does. */
function bandwidthOf(given: Given): bigint {
  const text = given.text('bandwidth')
  if (text === undefined) return 0n
  const plain = /^\s*([+-]?)(\d+)$/.exec(text)
  const amount = BigInt(plain?.[2] ?? 0)
  if (plain && amount < 2n ** 64n) return plain[1] === '-' ? BigInt.asUintN(64, -amount) : amount
  const scaled = scaledInteger(text, '<--bandwidth>')
  return given.has('bytes') ? scaled : scaled / MIB
}

/** The bits of the options that are given. */
const flagsOf = (given: Given, bits: Record<string, number>): number =>
  Object.entries(bits).reduce((all, [name, bit]) => all | (given.has(name) ? bit : 0), 0)

interface Job {
  /** in front of its progress, and of `started` */
  label: string
  /** `Pull`, in front of `aborted` */
  word: string
  /** what is said when it has begun and is not waited for */
  started?: string
  /** what is said when it is over, or in step */
  done: string
  /** options that say what is to become of it then: the other image is gone on with, or it is given up */
  pivot?: string
  finish?: [name: string, said: string]
  /** the options that have it waited for, as the error names them */
  waiting?: string
}

/** Begins a job, and waits for it where an option says so (virshBlockJobWait). */
async function run(call: DomainCall, job: Job, begin: () => Promise<unknown>): Promise<void> {
  const { given, session, shim } = call
  const disk = given.text('path')!
  const timeoutS = given.int('timeout', { min: 1, max: TIMEOUT_MAX_S })
  const pivots = job.pivot !== undefined && given.has(job.pivot)
  const finishes = job.finish !== undefined && given.has(job.finish[0])
  const isAsync = given.has('async')
  const waits = given.has('wait') || pivots || finishes || (job.waiting !== undefined && timeoutS !== undefined)
  for (const name of ['verbose', 'async']) {
    if (!waits && given.has(name)) throw new ClientError(`--${name} requires at least one of ${job.waiting}`)
  }
  if (!waits) {
    await begin()
    return session.printExtra(job.started ?? `${job.label} started`)
  }
  const wait = { disk, label: job.label, verbose: given.has('verbose'), timeoutS, asyncAbort: isAsync }
  const end = await runBlockJob(call, wait, begin)
  if (end === 'canceled' || end === 'failed') {
    session.printExtra(`\n${job.word} ${end === 'failed' ? 'failed' : 'aborted'}`)
    throw new ClientError()
  }
  const abort = (bits: number, verb: string) => {
    const flags = bits | (isAsync ? VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC : 0)
    return saying(`failed to ${verb} job for disk ${disk}`, shim.call('virDomainBlockJobAbort', { disk, flags }))
  }
  if (pivots) {
    await abort(VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT, 'pivot')
    return session.printExtra('\nSuccessfully pivoted')
  }
  if (finishes) await abort(0, 'finish')
  session.printExtra(`\n${finishes ? job.finish![1] : job.done}`)
}

async function blockpull(call: DomainCall): Promise<void> {
  const { given, shim } = call
  given.requiring(['verbose', 'wait'], ['async', 'wait'])
  const [disk, base] = [given.text('path')!, given.text('base')]
  const bandwidth = bandwidthOf(given)
  const { VIR_DOMAIN_BLOCK_REBASE_RELATIVE, VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES } = virDomainBlockRebaseFlags
  const bits = flagsOf(given, {
    'keep-relative': VIR_DOMAIN_BLOCK_REBASE_RELATIVE,
    bytes: VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES
  })
  const isRebase = base !== undefined || given.has('keep-relative')
  const pull = { bytes: virDomainBlockPullFlags.VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES }
  await run(call, { label: 'Block Pull', word: 'Pull', done: 'Pull complete' }, () =>
    isRebase
      ? shim.call('virDomainBlockRebase', { disk, ...(base !== undefined && { base }), bandwidth, flags: bits })
      : shim.call('virDomainBlockPull', { disk, bandwidth, flags: flagsOf(given, pull) })
  )
}

async function blockcommit(call: DomainCall): Promise<void> {
  const { given, shim } = call
  given.exclusive(['pivot', 'keep-overlay'])
  const isActive = ['active', 'pivot', 'keep-overlay'].some(name => given.has(name))
  const FLAG = virDomainBlockCommitFlags
  const bits = flagsOf(given, {
    bytes: FLAG.VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES,
    shallow: FLAG.VIR_DOMAIN_BLOCK_COMMIT_SHALLOW,
    delete: FLAG.VIR_DOMAIN_BLOCK_COMMIT_DELETE,
    'keep-relative': FLAG.VIR_DOMAIN_BLOCK_COMMIT_RELATIVE
  })
  const flags = bits | (isActive ? FLAG.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE : 0)
  const [base, top] = [given.text('base'), given.text('top')]
  const args = {
    disk: given.text('path')!,
    ...(base !== undefined && { base }),
    ...(top !== undefined && { top }),
    bandwidth: bandwidthOf(given),
    flags
  }
  const job: Job = {
    label: 'Block commit',
    word: 'Commit',
    started: isActive ? 'Active Block Commit started' : 'Block Commit started',
    done: isActive ? 'Now in synchronized phase' : 'Commit complete',
    pivot: 'pivot',
    finish: ['keep-overlay', 'Commit complete, overlay image kept'],
    waiting: '--timeout, --wait, --pivot, or --keep-overlay'
  }
  await run(call, job, () => shim.call('virDomainBlockCommit', args))
}

/** The image to copy to, as the options tell it. */
function destinationXml(given: Given, dest: string): string {
  const isDevice = given.has('blockdev')
  const format = given.text('format')
  const source = element('source', { [isDevice ? 'dev' : 'file']: dest })
  const driver = format === undefined ? [] : [element('driver', { type: format })]
  return formatXml(element('disk', { type: isDevice ? 'block' : 'file' }, [source, ...driver]))
}

async function blockcopy(call: DomainCall): Promise<void> {
  const { given, shim, session } = call
  const granularity = given.int('granularity', { min: 0, max: 2 ** 32 - 1 }) ?? 0
  const bufSize = given.ulonglong('buf-size') ?? 0n
  const bandwidth = bandwidthOf(given)
  given.exclusive(['dest', 'xml'], ['format', 'xml'], ['blockdev', 'xml'], ['pivot', 'finish'])
  const [disk, dest, file] = [given.text('path')!, given.text('dest'), given.text('xml')]
  if (dest === undefined && file === undefined) throw new ClientError('need either --dest or --xml')
  const FLAG = virDomainBlockCopyFlags
  const flags = flagsOf(given, {
    shallow: FLAG.VIR_DOMAIN_BLOCK_COPY_SHALLOW,
    'reuse-external': FLAG.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT,
    'transient-job': FLAG.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB,
    'synchronous-writes': FLAG.VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES
  })
  const format = given.text('format')
  const isNew = granularity > 0 || bufSize > 0n || (format !== undefined && format !== 'raw') || file !== undefined
  const takesXml = isNew || ['transient-job', 'synchronous-writes', 'print-xml'].some(name => given.has(name))
  const destxml = file === undefined ? destinationXml(given, dest!) : String(await readOrFail(file))
  if (given.has('print-xml')) return session.print(destxml)
  const limit = 2n ** 44n - 1n
  if (takesXml && !given.has('bytes') && bandwidth > limit) {
    throw new ClientError(`bandwidth must be less than ${limit}`)
  }
  const params = {
    ...(bandwidth > 0n && { bandwidth: given.has('bytes') ? bandwidth : bandwidth * MIB }),
    ...(granularity > 0 && { granularity }),
    ...(bufSize > 0n && { 'buf-size': bufSize })
  }
  const REBASE = virDomainBlockRebaseFlags
  const old =
    flags |
    REBASE.VIR_DOMAIN_BLOCK_REBASE_COPY |
    (format === 'raw' ? REBASE.VIR_DOMAIN_BLOCK_REBASE_COPY_RAW : 0) |
    flagsOf(given, {
      blockdev: REBASE.VIR_DOMAIN_BLOCK_REBASE_COPY_DEV,
      bytes: REBASE.VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES
    })
  const job: Job = {
    label: 'Block Copy',
    word: 'Copy',
    done: 'Now in mirroring phase',
    pivot: 'pivot',
    finish: ['finish', 'Successfully copied'],
    waiting: '--timeout, --wait, --pivot, or --finish'
  }
  await run(call, job, () =>
    takesXml
      ? shim.call('virDomainBlockCopy', { disk, destxml, params, flags })
      : shim.call('virDomainBlockRebase', { disk, base: dest!, bandwidth, flags: old })
  )
}

async function blockjob({ shim, given, session }: DomainCall): Promise<void> {
  const clashes = (one: string, ...others: string[]) => given.exclusive(...others.map(other => [one, other] as const))
  clashes('raw', 'abort', 'pivot', 'async', 'bandwidth')
  clashes('info', 'abort', 'pivot', 'async', 'bandwidth')
  clashes('bytes', 'abort', 'pivot', 'async')
  const disk = given.text('path')!
  if (given.has('bandwidth')) {
    const bytes = virDomainBlockJobSetSpeedFlags.VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES
    const bandwidth = bandwidthOf(given)
    await shim.call('virDomainBlockJobSetSpeed', { disk, bandwidth, flags: flagsOf(given, { bytes }) })
    return
  }
  if (['abort', 'pivot', 'async'].some(name => given.has(name))) {
    const flags = flagsOf(given, {
      async: VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC,
      pivot: VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
    })
    await shim.call('virDomainBlockJobAbort', { disk, flags })
    return
  }
  const raw = given.has('raw')
  const isBytes = given.has('bytes') || !raw
  const flags = isBytes ? virDomainBlockJobInfoFlags.VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES : 0
  const { found, type, bandwidth, cur, end } = await shim.call('virDomainGetBlockJobInfo', { disk, flags })
  if (!found) {
    if (!raw) session.printExtra(`No current block job for ${disk}`)
  } else if (raw) {
    session.print(` type=${BLOCK_JOBS[type] ?? BLOCK_JOBS[0]}\n bandwidth=${bandwidth}\n cur=${cur}\n end=${end}\n`)
  } else {
    showProgress(session, BLOCK_JOBS[type] ?? BLOCK_JOBS[0]!, BigInt(end) - BigInt(cur), end)
    const limit = `    Bandwidth limit: ${bandwidth} bytes/s (${prettyCapacity(bandwidth)}/s)`
    session.print(`${Number(bandwidth) === 0 ? '' : limit}\n`)
  }
}

const path = (help: string) => ({ path: option.text(help, { required: true }) })
const bandwidth = option.int('bandwidth limit in MiB/s')
const bytes = option.bool('the bandwidth limit is in bytes/s rather than MiB/s')
const keepRelative = option.bool('keep the backing chain relatively referenced')
const waiting = (what: string, timeout: string) => ({
  wait: option.bool(what),
  verbose: option.bool('with --wait, display the progress'),
  timeout: option.int(timeout)
})
const isAsync = option.bool("with --wait, don't wait for cancel to finish")

export const blockjobs: Commands = {
  blockcommit: {
    ...onDomain(
      'Start a block commit operation.',
      {
        ...path('fully-qualified path of disk'),
        bandwidth,
        base: option.text('path of base file to commit into (default bottom of chain)'),
        shallow: option.bool('use backing file of top as base'),
        top: option.text('path of top file to commit from (default top of chain)'),
        active: option.bool('trigger two-stage active commit of top file'),
        delete: option.bool('delete files that were successfully committed'),
        ...waiting(
          'wait for job to complete (with --active, wait for job to sync)',
          'implies --wait, abort if copy exceeds timeout (in seconds)'
        ),
        pivot: option.bool('implies --active --wait, pivot when commit is synced'),
        'keep-overlay': option.bool('implies --active --wait, quit when commit is synced'),
        async: isAsync,
        'keep-relative': keepRelative,
        bytes
      },
      blockcommit
    ),
    description: 'Commit changes from a snapshot down to its backing image.'
  },
  blockcopy: {
    ...onDomain(
      'Start a block copy operation.',
      {
        ...path('fully-qualified path of source disk'),
        dest: option.text('path of the copy to create'),
        bandwidth,
        shallow: option.bool('make the copy share a backing chain'),
        'reuse-external': option.bool('reuse existing destination'),
        blockdev: option.bool('copy destination is block device instead of regular file'),
        ...waiting(
          'wait for job to reach mirroring phase',
          'implies --wait, abort if copy exceeds timeout (in seconds)'
        ),
        pivot: option.bool('implies --wait, pivot when mirroring starts'),
        finish: option.bool('implies --wait, quit when mirroring starts'),
        async: isAsync,
        xml: option.text('filename containing XML description of the copy destination'),
        format: option.text('format of the destination file'),
        granularity: option.int('power-of-two granularity to use during the copy'),
        'buf-size': option.int('maximum amount of in-flight data during the copy'),
        bytes,
        'transient-job': option.bool('the copy job is not persisted if VM is turned off'),
        'synchronous-writes': option.bool(
          'the copy job forces guest writes to be synchronously written to the destination'
        ),
        'print-xml': option.bool('print the XML used to start the copy job instead of starting the job')
      },
      blockcopy
    ),
    description: 'Copy a disk backing image chain to dest.'
  },
  blockjob: {
    ...onDomain(
      'Manage active block operations',
      {
        ...path('fully-qualified path of disk'),
        abort: option.bool('abort the active job on the specified disk'),
        async: option.bool("implies --abort; request but don't wait for job end"),
        pivot: option.bool('implies --abort; conclude and pivot a copy or commit job'),
        info: option.bool('get active job information for the specified disk'),
        bytes: option.bool('get/set bandwidth in bytes rather than MiB/s'),
        raw: option.bool('implies --info; output details rather than human summary'),
        bandwidth: option.int('set the bandwidth limit in MiB/s')
      },
      blockjob
    ),
    description: 'Query, adjust speed, or cancel active block operations.'
  },
  blockpull: onDomain(
    'Populate a disk from its backing image.',
    {
      ...path('fully-qualified path of disk'),
      bandwidth,
      base: option.text('path of backing file in chain for a partial pull'),
      ...waiting('wait for job to finish', 'with --wait, abort if pull exceeds timeout (in seconds)'),
      async: isAsync,
      'keep-relative': keepRelative,
      bytes
    },
    blockpull
  )
}
