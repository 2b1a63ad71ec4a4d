// Commands on the work a guest is busy with and on what it has put by: block jobs, saved images.
import {
  virDomainBlockJobAbortFlags,
  virDomainBlockJobInfoFlags,
  virDomainBlockJobSetSpeedFlags
} from '../../conf/enums.ts'
import { scaledInteger } from '../arguments.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { saying } from '../failure.ts'

const MIB = 2n ** 20n

/** A bandwidth: a number in the unit of the call, or a scaled one in bytes. Below zero it wraps around, as virsh's does. */
function bandwidthOf(text: string, bytes: boolean): bigint {
  const plain = /^\s*([+-]?)(\d+)$/.exec(text)
  const amount = BigInt(plain?.[2] ?? 0)
  if (plain && amount < 2n ** 64n) return plain[1] === '-' ? BigInt.asUintN(64, -amount) : amount
  const scaled = scaledInteger(text, '<--bandwidth>')
  return bytes ? scaled : scaled / MIB
}

async function blockjob({ shim, given, session }: DomainCall): Promise<void> {
  const clashes = (one: string, ...others: string[]) => given.exclusive(...others.map(other => [one, other] as const))
  clashes('raw', 'abort', 'pivot', 'async', 'bandwidth')
  clashes('info', 'abort', 'pivot', 'async', 'bandwidth')
  clashes('bytes', 'abort', 'pivot', 'async')
  const disk = given.text('path')!
  const bytes = given.has('bytes')
  if (given.has('bandwidth')) {
    const bandwidth = bandwidthOf(given.text('bandwidth')!, bytes)
    const flags = bytes ? virDomainBlockJobSetSpeedFlags.VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES : 0
    await shim.call('virDomainBlockJobSetSpeed', { disk, bandwidth, flags })
    return
  }
  if (['abort', 'pivot', 'async'].some(name => given.has(name))) {
    const { VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT } = virDomainBlockJobAbortFlags
    const flags =
      (given.has('async') ? VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC : 0) |
      (given.has('pivot') ? VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT : 0)
    await shim.call('virDomainBlockJobAbort', { disk, flags })
    return
  }
  const raw = given.has('raw')
  const flags = bytes || !raw ? virDomainBlockJobInfoFlags.VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES : 0
  await shim.call('virDomainGetBlockJobInfo', { disk, flags })
  if (!raw) session.printExtra(`No current block job for ${disk}`)
}

async function managedSaveRemove({ shim, session, wanted }: DomainCall): Promise<void> {
  const check = shim.call('virDomainHasManagedSaveImage')
  const { result } = await saying('Failed to check for domain managed save image', check)
  if (!result) return session.printExtra(`Domain '${wanted}' has no manage save image; removal skipped`)
  const removal = shim.call('virDomainManagedSaveRemove', {})
  await saying(`Failed to remove managed save image for domain '${wanted}'`, removal)
  session.printExtra(`Removed managedsave image for domain '${wanted}'`)
}

export const work: Commands = {
  blockjob: onDomain(
    'Manage active block operations',
    {
      path: option.text('fully-qualified path of disk', { required: true }),
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
  'managedsave-remove': onDomain('Remove managed save of a domain', {}, managedSaveRemove)
}
