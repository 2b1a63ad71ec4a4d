// Jobs of block devices: begun, watched, ended.
import {
  virDomainBlockCommitFlags,
  virDomainBlockCopyFlags,
  virDomainBlockJobAbortFlags,
  virDomainBlockJobInfoFlags,
  virDomainBlockJobSetSpeedFlags,
  virDomainBlockPullFlags,
  virDomainBlockRebaseFlags
} from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import { defaulted, flags, int, optional, text, typedInput, uhyper } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import { speedBytes } from '../blockjob/speed.ts'
import type { QemuDomain } from '../domain/domain.ts'

const method = methodFor<QemuDomain>()
const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')

const { VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES } = virDomainBlockJobInfoFlags
const { VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES } = virDomainBlockJobSetSpeedFlags
const {
  VIR_DOMAIN_BLOCK_REBASE_SHALLOW,
  VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT,
  VIR_DOMAIN_BLOCK_REBASE_COPY_RAW,
  VIR_DOMAIN_BLOCK_REBASE_COPY,
  VIR_DOMAIN_BLOCK_REBASE_RELATIVE,
  VIR_DOMAIN_BLOCK_REBASE_COPY_DEV,
  VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES
} = virDomainBlockRebaseFlags

const bandwidth = defaulted(uhyper('MiB/s, or with the flag for it bytes/s'), 0n)
const disk = text('target or source')

/** What there is in common of calls that change what a running guest's disk stands on. */
const modifies = { on: 'domain', acl: 'domain:block_write', job: 'modify', needs: 'active', ret: {} } as const

/** Flags of a rebase that a copy alone has. */
const OF_COPY =
  VIR_DOMAIN_BLOCK_REBASE_SHALLOW |
  VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT |
  VIR_DOMAIN_BLOCK_REBASE_COPY_RAW |
  VIR_DOMAIN_BLOCK_REBASE_COPY_DEV

/** Bits of a rebase that a copy has under the same numbers. */
const SHARED = VIR_DOMAIN_BLOCK_REBASE_SHALLOW | VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT

/** virDomainBlockRebase's copy: its file is told by a path and flags. It lasts as long as a transient guest. */
async function rebaseByCopy(domain: QemuDomain, path: string, dest: string, mib: bigint, bits: number): Promise<void> {
  const { copyDisk } = await import('../blockjob/copy.ts')
  const mirror: StorageSource = {
    type: (bits & VIR_DOMAIN_BLOCK_REBASE_COPY_DEV) === 0 ? 'file' : 'block',
    path: dest,
    ...((bits & VIR_DOMAIN_BLOCK_REBASE_COPY_RAW) !== 0 && { format: 'raw' as const })
  }
  const speed = speedBytes(mib, (bits & VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES) !== 0)
  await copyDisk(domain, path, mirror, { speed, flags: bits & SHARED })
}

export const blockjob = {
  /** Progress of a disk's job; `found` is 0 where it has none. Source: qemuDomainGetBlockJobInfo. */
  virDomainGetBlockJobInfo: method({
    since: '0.9.4',
    on: 'domain',
    acl: 'domain:read',
    // not before what has ended is acted upon
    job: 'query',
    needs: 'active',
    args: { disk, flags: flags(virDomainBlockJobInfoFlags) },
    ret: {
      found: int(),
      type: int('virDomainBlockJobType'),
      bandwidth: uhyper('MiB/s, or bytes/s'),
      cur: uhyper(),
      end: uhyper()
    },
    async run(domain, { disk: path, flags: bits }) {
      const { blockJobInfo } = await import('../blockjob/control.ts')
      const info = await blockJobInfo(domain, path, (bits & VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES) !== 0)
      return info ? { found: 1, ...info } : { found: 0, type: 0, bandwidth: 0n, cur: 0n, end: 0n }
    }
  }),

  /** Ends a job: the disk goes back to what it was, or with PIVOT on to the other image. Source: qemuDomainBlockJobAbort. */
  virDomainBlockJobAbort: method({
    ...modifies,
    since: '0.9.4',
    args: { disk, flags: flags(virDomainBlockJobAbortFlags) },
    async run(domain, { disk: path, flags: bits }) {
      const { abortBlockJob } = await import('../blockjob/control.ts')
      await abortBlockJob(domain, path, bits)
      return {}
    }
  }),

  /** Another bandwidth for a job. Source: qemuDomainBlockJobSetSpeed. */
  virDomainBlockJobSetSpeed: method({
    since: '0.9.4',
    on: 'domain',
    acl: 'domain:block_write',
    job: 'modify-migration-safe',
    needs: 'active',
    args: { disk, bandwidth, flags: flags(virDomainBlockJobSetSpeedFlags) },
    ret: {},
    check({ bandwidth: mib, flags: bits }) {
      speedBytes(mib, (bits & VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES) !== 0)
    },
    async run(domain, { disk: path, bandwidth: mib, flags: bits }) {
      const { setBlockJobSpeed } = await import('../blockjob/control.ts')
      await setBlockJobSpeed(domain, path, speedBytes(mib, (bits & VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES) !== 0))
      return {}
    }
  }),

  /** The disk's image takes in all below it. Source: qemuDomainBlockPull. */
  virDomainBlockPull: method({
    ...modifies,
    since: '0.9.4',
    args: { disk, bandwidth, flags: flags(virDomainBlockPullFlags) },
    async run(domain, { disk: path, bandwidth: mib, flags: bits }) {
      const { pullDisk } = await import('../blockjob/pull.ts')
      await pullDisk(domain, path, undefined, mib, bits)
      return {}
    }
  }),

  /** The same down to an image that stays; or, with COPY, a copy of the disk. Source: qemuDomainBlockRebase. */
  virDomainBlockRebase: method({
    ...modifies,
    since: '0.9.10',
    args: {
      disk,
      base: optional(text('path, or target[number in its chain]; with COPY the file to copy to')),
      bandwidth,
      flags: flags(virDomainBlockRebaseFlags)
    },
    check({ base, bandwidth: mib, flags: bits }) {
      if ((bits & VIR_DOMAIN_BLOCK_REBASE_COPY) === 0) {
        if ((bits & OF_COPY) !== 0) throw badArgument('use of flags requires a copy job')
        if ((bits & VIR_DOMAIN_BLOCK_REBASE_RELATIVE) === 0 || base !== undefined) return
        const message = 'flag VIR_DOMAIN_BLOCK_REBASE_RELATIVE is valid only with non-null base'
        throw fail('VIR_ERR_INVALID_ARG', message)
      }
      if (base === undefined) throw badArgument('base in virDomainBlockRebase must not be NULL')
      speedBytes(mib, (bits & VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES) !== 0)
      if ((bits & VIR_DOMAIN_BLOCK_REBASE_RELATIVE) === 0) return
      throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', 'Relative backing during copy not supported yet')
    },
    async run(domain, { disk: path, base, bandwidth: mib, flags: bits }) {
      if ((bits & VIR_DOMAIN_BLOCK_REBASE_COPY) !== 0) {
        await rebaseByCopy(domain, path, base!, mib, bits)
        return {}
      }
      const { pullDisk } = await import('../blockjob/pull.ts')
      await pullDisk(domain, path, base, mib, bits)
      return {}
    }
  }),

  /** Another image is made like the disk's and kept like it. Source: qemuDomainBlockCopy. */
  virDomainBlockCopy: method({
    ...modifies,
    since: '1.2.9',
    args: {
      disk,
      destxml: text('a <disk>, of which its image alone counts'),
      params: defaulted(
        typedInput({ bandwidth: 'ullong', granularity: 'uint', 'buf-size': 'ullong' }, { mayBeEmpty: true }),
        {}
      ),
      flags: flags(virDomainBlockCopyFlags)
    },
    check({ params: { granularity = 0 } }) {
      if ((granularity & (granularity - 1)) !== 0) throw fail('VIR_ERR_INVALID_ARG', 'granularity must be power of 2')
    },
    async run(domain, { disk: path, destxml, params, flags: bits }) {
      const { copyDisk, parseDestination } = await import('../blockjob/copy.ts')
      const { bandwidth: speed, granularity, 'buf-size': bufSize } = params
      await copyDisk(domain, path, parseDestination(destxml), { speed, granularity, bufSize, flags: bits })
      return {}
    }
  }),

  /** An image takes in those above it, which go; looked for before it is seen that the guest runs. Source: qemuDomainBlockCommit. */
  virDomainBlockCommit: method({
    since: '0.10.2',
    on: 'domain',
    acl: 'domain:block_write',
    job: 'modify',
    args: {
      disk,
      base: optional(text('path, or target[number in its chain]; absent: the last image, or with SHALLOW the next')),
      top: optional(text('the same; absent: the one the guest writes to')),
      bandwidth,
      flags: flags(virDomainBlockCommitFlags)
    },
    ret: {},
    async run(domain, { disk: path, base, top, bandwidth: mib, flags: bits }) {
      const { commitDisk } = await import('../blockjob/commit.ts')
      await commitDisk(domain, path, { base, top }, mib, bits)
      return {}
    }
  })
}
