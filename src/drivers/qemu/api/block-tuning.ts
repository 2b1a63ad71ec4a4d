// Disks of a running guest changed and looked into: limits, sizes, thresholds, bytes.
import { IOTUNE_LIMITS } from '../../../conf/devices/disk-iotune.ts'
import { virDomainBlockResizeFlags, virDomainModificationImpact } from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { bytes, flags, optional, text, typed, typedParams, uhyper, uint } from '../../../conf/wire.ts'
import { methodFor, noFlags } from '../../method.ts'
import { peekDisk } from '../block/peek.ts'
import { diskNamed } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { getBlockIoTune, setBlockIoTune } from '../tuning/block-iotune.ts'
import { resizeBytes, resizeDisk } from '../tuning/block-resize.ts'
import { setBlockThreshold } from '../tuning/block-threshold.ts'
import { ioLimits } from '../tuning/io-limits.ts'
import { deleteThrottleGroup, setThrottleGroup } from '../tuning/throttle-group.ts'

const method = methodFor<QemuDomain>()
const fail = errorsFrom('VIR_FROM_QEMU')
const failRpc = errorsFrom('VIR_FROM_RPC')
const badArgument = argumentErrorsFrom('VIR_FROM_DOMAIN')

/** Names of the limits in the order libvirt gives them, that of the group between the bursts and their lengths. */
const NAMES = [...IOTUNE_LIMITS.filter(limit => !limit.endsWith('_length')), 'group_name'] as const
const LENGTHS = IOTUNE_LIMITS.filter(limit => limit.endsWith('_length'))

/** libvirt's REMOTE_DOMAIN_BLOCK_PEEK_BUFFER_MAX. */
const PEEK_MAX = 4 * 1024 * 1024

export const blockTuning = {
  /** Limits of a disk, 0 where there is none; without a disk, those there can be. Source: qemuDomainGetBlockIoTune. */
  virDomainGetBlockIoTune: method({
    since: '0.9.8',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { disk: optional(text('target or source')), flags: flags(virDomainModificationImpact) },
    ret: { params: typedParams },
    async run(domain, { disk }, meant) {
      const tune = disk === undefined ? {} : await getBlockIoTune(domain, disk, meant)
      const params = [...NAMES, ...LENGTHS].map(name => [
        name,
        name === 'group_name' ? typed.string(tune[name] ?? '') : typed.ullong(tune[name] ?? 0n)
      ])
      return { params: Object.fromEntries(params) }
    }
  }),

  /** Sets limits of a disk; 0 lifts one, those left out stay. Source: qemuDomainSetBlockIoTune. */
  virDomainSetBlockIoTune: method({
    since: '0.9.8',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: { disk: text('target or source'), params: ioLimits, flags: flags(virDomainModificationImpact) },
    ret: {},
    async run(domain, { disk, params }, meant) {
      await setBlockIoTune(domain, disk, params, meant)
      return {}
    }
  }),

  /** Makes a group of limits, or sets limits of one. Source: qemuDomainSetThrottleGroup. */
  virDomainSetThrottleGroup: method({
    since: '11.2.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: { group: text(), params: ioLimits, flags: flags(virDomainModificationImpact) },
    ret: {},
    async run(domain, { group, params }, meant) {
      await setThrottleGroup(domain, group, params, meant)
      return {}
    }
  }),

  /** Removes a group of limits that no disk uses. Source: qemuDomainDelThrottleGroup. */
  virDomainDelThrottleGroup: method({
    since: '11.2.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: { group: optional(text()), flags: flags(virDomainModificationImpact) },
    ret: {},
    check({ group }) {
      if (group === undefined) throw badArgument('group in virDomainDelThrottleGroup must not be NULL')
    },
    async run(domain, { group }, meant) {
      await deleteThrottleGroup(domain, group!, meant)
      return {}
    }
  }),

  /** An event once the guest has written beyond a place. Source: qemuDomainSetBlockThreshold. */
  virDomainSetBlockThreshold: method({
    since: '3.2.0',
    on: 'domain',
    acl: 'domain:block_write',
    job: 'modify',
    needs: 'active',
    args: { dev: text('target, or target[number in its chain]'), threshold: uhyper('bytes'), ...noFlags },
    ret: {},
    async run(domain, { dev, threshold }) {
      await setBlockThreshold(domain, dev, threshold)
      return {}
    }
  }),

  /** Another size for a disk of a running guest. Source: qemuDomainBlockResize. */
  virDomainBlockResize: method({
    since: '0.9.8',
    on: 'domain',
    acl: 'domain:block_write',
    job: 'modify',
    needs: 'active',
    args: {
      disk: text('target or source'),
      size: uhyper('KiB, or with VIR_DOMAIN_BLOCK_RESIZE_BYTES bytes'),
      flags: flags(virDomainBlockResizeFlags)
    },
    ret: {},
    check({ size, flags: bits }) {
      resizeBytes(size, bits)
    },
    async run(domain, { disk, size, flags: bits }) {
      await resizeDisk(domain, disk, resizeBytes(size, bits), bits)
      return {}
    }
  }),

  /** Bytes of a disk with a raw image. Source: qemuDomainBlockPeek. */
  virDomainBlockPeek: method({
    since: '0.4.3',
    on: 'domain',
    acl: 'domain:block_read',
    args: { path: text('target or source'), offset: uhyper('bytes'), size: uint('bytes'), ...noFlags },
    ret: { buffer: bytes() },
    check({ path, size }) {
      if (size > PEEK_MAX) throw failRpc('VIR_ERR_INTERNAL_ERROR', 'size > maximum buffer size')
      if (path === '') throw badArgument('string disk in virDomainBlockPeek must not be empty')
    },
    async run({ def }, { path, offset, size }) {
      const disk = diskNamed(def, path, { first: true })
      if (!disk) throw fail('VIR_ERR_INVALID_ARG', `disk '${path}' not found in domain`)
      return { buffer: await peekDisk(disk, path, offset, size) }
    }
  })
}
