// Jobs of block devices. None can be begun yet: a disk has none, and its calls are told so.
import {
  virDomainBlockJobAbortFlags,
  virDomainBlockJobInfoFlags,
  virDomainBlockJobSetSpeedFlags
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { defaulted, flags, int, text, uhyper } from '../../../conf/wire.ts'
import { methodFor } from '../../method.ts'
import { lookupDisk } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<QemuDomain>()

const { VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES } = virDomainBlockJobSetSpeedFlags
/** LLONG_MAX >> 20: MiB/s that are a number of bytes. */
const SPEED_MAX_MIB = 2n ** 43n - 1n

/** @throws VIR_ERR_INVALID_ARG for a disk that is not the guest's (qemuDomainDiskByName) */
function diskOf({ def }: QemuDomain, path: string) {
  const disk = lookupDisk(def, path)
  if (!disk) throw fail('VIR_ERR_INVALID_ARG', `disk '${path}' not found in domain`)
  return disk
}

/** The error of a call that needs a job of the disk's. */
const withoutJob = (domain: QemuDomain, path: string) =>
  fail('VIR_ERR_INVALID_ARG', `disk ${diskOf(domain, path).target?.dev} does not have an active block job`)

export const blockjob = {
  /** Progress of a disk's job; `found` is 0 where it has none. */
  virDomainGetBlockJobInfo: method({
    since: '0.9.4',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { disk: text(), flags: flags(virDomainBlockJobInfoFlags) },
    ret: {
      found: int(),
      type: int('virDomainBlockJobType'),
      bandwidth: uhyper('MiB/s, or bytes/s'),
      cur: uhyper(),
      end: uhyper()
    },
    run(domain, { disk }) {
      diskOf(domain, disk)
      return { found: 0, type: 0, bandwidth: 0n, cur: 0n, end: 0n }
    }
  }),

  virDomainBlockJobAbort: method({
    since: '0.9.4',
    on: 'domain',
    acl: 'domain:block_write',
    job: 'modify',
    needs: 'active',
    args: { disk: text(), flags: flags(virDomainBlockJobAbortFlags) },
    ret: {},
    run(domain, { disk }) {
      throw withoutJob(domain, disk)
    }
  }),

  /** Bandwidth in MiB/s, with VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES in bytes/s. */
  virDomainBlockJobSetSpeed: method({
    since: '0.9.4',
    on: 'domain',
    acl: 'domain:block_write',
    job: 'modify',
    needs: 'active',
    args: { disk: text(), bandwidth: defaulted(uhyper(), 0n), flags: flags(virDomainBlockJobSetSpeedFlags) },
    ret: {},
    check({ bandwidth, flags: bits }) {
      if ((bits & VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES) === 0 && bandwidth > SPEED_MAX_MIB)
        throw fail('VIR_ERR_OVERFLOW', `bandwidth must be less than ${SPEED_MAX_MIB}`)
    },
    run(domain, { disk }) {
      throw withoutJob(domain, disk)
    }
  })
}
