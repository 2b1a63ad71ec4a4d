// Jobs of QEMU's on the disks of a guest, as everybody needs to know them; what is done with them is in blockjob/.
import { parseDevice } from '../../../conf/device-xml.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type StorageSource, sameLocation } from '../../../conf/storage/source.ts'
import { effectiveNode } from '../block/nodes.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import { lookupDisk } from '../device/disk/lookup.ts'
import type { QemuDomain } from './domain.ts'
import type { Run } from './run.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Kinds of block jobs, in libvirt's words (qemuBlockJobType); a migration's copies are to it copies like others. */
export const BLOCK_JOBS = ['pull', 'copy', 'commit', 'active-commit', 'backup', 'migration'] as const

/**
 * States of a block job (qemuBlockjobState): those behind `pivoting` are its end, which is not yet in the definitions.
 * It is new until QEMU has begun it.
 */
export const BLOCK_JOB_STATES = [
  'new',
  'running',
  'ready',
  'pending',
  'aborting',
  'pivoting',
  'completed',
  'failed',
  'cancelled'
] as const

/** A definition with a disk in the place of the one of its target. */
export function withDisk(def: DomainDef, disk: DiskDef): DomainDef {
  const { disks } = def.devices
  const changed = disks.map(one => (one.target?.dev === disk.target?.dev ? disk : one))
  return { ...def, devices: { ...def.devices, disks: changed } }
}

/**
 * Has the persistent definition follow pivots whose end nobody can tell any more, as QEMU is gone: both images had the same
 * when it was told to finish them, and later writes are in the new one.
 * @throws VIR_ERR_SYSTEM_ERROR
 */
export function followPivots(domain: QemuDomain, { blockJobs }: Run): void {
  for (const { disk: target, pivoted } of blockJobs.values()) {
    if (pivoted === undefined) continue
    const [, disk] = parseDevice(pivoted, true, true) as ['disks', DiskDef]
    const isIt = ({ target: one }: DiskDef) => one?.dev === target
    const [live, kept] = [domain.def, domain.newDef].map(def => def?.devices.disks.find(isIt))
    // it may have been given another image meanwhile
    if (live && kept && sameLocation(live.source, kept.source))
      domain.change({ config: true }, def => withDisk(def, disk))
  }
}

/** The end of a job. */
export type Outcome = 'completed' | 'failed' | 'cancelled'

/** A job of QEMU's on a disk (qemuBlockJobData); images are told by their numbers. */
export interface BlockJob {
  /** QEMU's id of it */
  name: string
  kind: (typeof BLOCK_JOBS)[number]
  /** target of the disk */
  disk: string
  state: (typeof BLOCK_JOB_STATES)[number]
  /** of the call that began it */
  flags: number
  /** of a commit: the uppermost image that goes */
  top?: number
  /** the image that stays below; absent of a pull: none does */
  base?: number
  /** of a commit: the image above `top` */
  topParent?: number
  /** in QEMU's words, once it has failed */
  error?: string
  /** the persistent definition's disk on the image it pivots to, as XML: QEMU may have it finished at any time */
  pivoted?: string
}

/** It has ended, which the definitions do not say yet. */
export const isOver = ({ state }: Pick<BlockJob, 'state'>): boolean =>
  state === 'completed' || state === 'failed' || state === 'cancelled'

/** @throws VIR_ERR_INVALID_ARG for a disk that is not the guest's (qemuDomainDiskByName) */
export function jobDisk(def: DomainDef, path: string): DiskDef {
  const disk = lookupDisk(def, path)
  if (!disk) throw fail('VIR_ERR_INVALID_ARG', `disk '${path}' not found in domain`)
  return disk
}

/** QEMU's id of the job that backs a disk up (qemuBlockJobDiskNewBackup). */
export const backupJobName = (disk: string, store: StorageSource, qemu: Qemu): string =>
  `backup-${disk}-${effectiveNode(store, qemu)}`

/** Jobs of the backup under way, which keeps what is known of them. */
function backupJobs({ backup, context }: Run): BlockJob[] {
  return (backup?.def.disks ?? []).flatMap(({ name, store, state }) =>
    store && (state === 'running' || state === 'cancelling')
      ? [
          {
            name: backupJobName(name, store, context.qemu),
            kind: 'backup',
            disk: name,
            state: state === 'running' ? state : 'aborting',
            flags: 0
          }
        ]
      : []
  )
}

const allJobs = (run: Run | undefined): BlockJob[] => (run ? [...run.blockJobs.values(), ...backupJobs(run)] : [])

/** The job of a disk, if it has one. */
export function blockJobOf({ run }: Pick<QemuDomain, 'run'>, disk: DiskDef): BlockJob | undefined {
  return allJobs(run).find(job => job.disk === disk.target?.dev)
}

/** @throws VIR_ERR_INTERNAL_ERROR for a disk that has a job, though it may be over (qemuBlockJobRegister) */
export function checkUnassigned({ run }: Pick<QemuDomain, 'run'>, target: string): void {
  if (!allJobs(run).some(({ disk }) => disk === target)) return
  throw fail('VIR_ERR_INTERNAL_ERROR', `disk '${target}' has a blockjob assigned`)
}

/**
 * True until the definitions have followed, as libvirt has it: one that has not begun, or waits for its last word, is not
 * running.
 */
const isRunning = ({ state }: Pick<BlockJob, 'state'>): boolean => state !== 'new' && state !== 'pending'

/** True where some disk has a job, or is being copied (qemuDomainHasBlockjob). */
export const hasBlockJob = ({ run, def }: Pick<QemuDomain, 'run' | 'def'>): boolean =>
  allJobs(run).some(isRunning) || def.devices.disks.some(({ mirror }) => mirror?.job === 'copy')

/** @throws VIR_ERR_BLOCK_COPY_ACTIVE, VIR_ERR_OPERATION_UNSUPPORTED for a disk that has a job (qemuDomainDiskBlockJobIsActive) */
export function checkNoBlockJob(domain: Pick<QemuDomain, 'run'>, disk: DiskDef): void {
  const message = `disk '${disk.target?.dev}' already in active block job`
  if (disk.mirror) throw fail('VIR_ERR_BLOCK_COPY_ACTIVE', message)
  const job = blockJobOf(domain, disk)
  if (job && isRunning(job)) throw fail('VIR_ERR_OPERATION_UNSUPPORTED', message)
}

/** @throws VIR_ERR_OPERATION_UNSUPPORTED for a disk that can have none (qemuDomainDiskBlockJobIsSupported) */
export function checkTakesJobs({ target, transient, source }: DiskDef): void {
  const refuse = (what: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', `block jobs are not supported on ${what}`)
  if (target?.bus === 'sd') throw refuse(`disk '${target.dev}' using bus 'sd'`)
  if (transient) throw refuse(`transient disk '${target?.dev}'`)
  if (source.type === 'vhostuser') throw refuse(`vhostuser disk '${target?.dev}'`)
}
