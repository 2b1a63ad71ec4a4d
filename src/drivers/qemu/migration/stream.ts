// The memory and device state of a guest, as QEMU migrates them: into a file, and out of one. QEMU is handed a descriptor
// and opens nothing by itself; the async job counts, and can give the migration up.
import { closeSync, fsync } from 'node:fs'
import { promisify } from 'node:util'
import { systemError } from '../../../conf/errno.ts'
import { type Filter, filterInto } from '../../../host/filter.ts'
import { passableDescriptor } from '../../../host/pass-file.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { MIB, SPEED_MAX_MIB, setCapabilities, setParameters } from './params.ts'
import {
  cancelMigration,
  completeJob,
  FD_NAME,
  followMigration,
  migrationReached,
  SET_NAME,
  takeBackMapped
} from './progress.ts'

/** True for a QEMU that can write memory to places of its own in a file. */
export const canMap = async (domain: QemuDomain): Promise<boolean> =>
  (await domain.qmp.execute<{ capability: string }[]>('query-migrate-capabilities')).some(
    ({ capability }) => capability === 'mapped-ram'
  )

/** What memory at places of its own in a file takes (qemuMigrationParamsForSave). */
const MAPPED = ['mapped-ram', 'multifd'] as const

/** Memory of which each page has its place in a file, where several threads of QEMU's write and read it at once. */
export interface Mapped {
  /** of the file's byte where it begins */
  offset: number
  /** threads */
  channels: number
  /** the file once more, opened past the page cache: pages go through it then */
  directFd?: number | undefined
}

/** An open file that memory is written into. */
export interface MemoryFile {
  /** open to be written, where the memory is to begin */
  fd: number
  path: string
  /** programs in between */
  filters?: readonly Filter[]
  /** absent: it is written from one end to the other */
  mapped?: Mapped | undefined
}

/**
 * Writes memory and device state into a file, which is on disk then (qemuMigrationSrcToFile). The CPUs should not run. A
 * migration that fails or is given up is over when this throws.
 * @throws VIR_ERR_OPERATION_FAILED, VIR_ERR_OPERATION_ABORTED, VIR_ERR_INTERNAL_ERROR of a filter, VIR_ERR_SYSTEM_ERROR
 */
export async function migrateToFile(domain: QemuDomain, job: AsyncJob, file: MemoryFile): Promise<void> {
  const { fd, path, filters = [], mapped } = file
  await job.nested(() => prepareMigration(domain, mapped))
  const filtered = await filterInto(filters, { file: fd, directory: domain.root.dir })
  let isOurs = filtered.fd !== fd
  const letGo = () => {
    if (isOurs) closeSync(filtered.fd)
    isOurs = false
  }
  try {
    followMigration(domain, job)
    await job.nested(() => startMigration(domain, filtered.fd, mapped))
    letGo()
    await migrationReached(domain, job, ['hypervisor-completed'])
    await filtered.finished
    await promisify(fsync)(fd).catch(error => {
      throw systemError('VIR_FROM_QEMU', `unable to sync '${path}'`, error)
    })
  } catch (error) {
    letGo()
    filtered.stop()
    await cancelMigration(domain)
    job.status = job.status === 'canceled' ? 'canceled' : 'failed'
    throw error
  }
  completeJob(domain, job)
}

/** No limit of what goes to a file, and events of how it goes. */
async function prepareMigration(domain: QemuDomain, mapped: Mapped | undefined): Promise<void> {
  await prepareMapped(domain, mapped)
  await setParameters(domain, { 'max-bandwidth': SPEED_MAX_MIB * MIB })
}

/** A QEMU that was to write past the page cache once would go on to. */
async function prepareMapped(domain: QemuDomain, mapped: Mapped | undefined): Promise<void> {
  await setCapabilities(domain, new Set(mapped ? MAPPED : []))
  if (!mapped) return
  const { qmp } = domain
  const isDirect = mapped.directFd !== undefined
  const known = await qmp.execute<object>('query-migrate-parameters')
  await qmp.execute('migrate-set-parameters', {
    'multifd-channels': mapped.channels,
    ...((isDirect || 'direct-io' in known) && { 'direct-io': isDirect })
  })
}

async function startMigration(domain: QemuDomain, fd: number, mapped: Mapped | undefined): Promise<void> {
  const { qmp } = domain
  if (mapped) return void (await qmp.execute('migrate', { uri: await passMapped(domain, fd, mapped), detach: true }))
  await qmp.passFile(FD_NAME, passableDescriptor(fd))
  try {
    await qmp.execute('migrate', { uri: `fd:${FD_NAME}`, detach: true })
  } catch (error) {
    await qmp.execute('closefd', { fdname: FD_NAME }).catch(() => undefined)
    throw error
  }
}

/** Hands QEMU a file to open by itself, as often as it has threads. @returns its URI (qemuMonitorMigrateToFdSet) */
async function passMapped(domain: QemuDomain, fd: number, { offset, directFd }: Mapped): Promise<string> {
  const { qmp, running } = domain
  const set = running.fdsetIndex++
  domain.save()
  for (const [one, what] of [
    [fd, 'buffered'],
    [directFd, 'direct']
  ] as const) {
    if (one === undefined) continue
    const args = { 'fdset-id': set, opaque: `${SET_NAME}-${what}` }
    await qmp.execute('add-fd', args, { file: passableDescriptor(one) })
  }
  return `file:/dev/fdset/${set},offset=0x${offset.toString(16)}`
}

/** What memory is read from: what QEMU has inherited, by its number there, or a file it is handed. */
export type MemorySource = { number: number } | { fd: number; mapped: Mapped }

/**
 * Has QEMU, started to wait for it, read memory and device state (qemuMigrationDstRun).
 * @throws VIR_ERR_OPERATION_FAILED with QEMU's words
 */
export async function migrateIn(domain: QemuDomain, job: AsyncJob, source: MemorySource): Promise<void> {
  const { qmp, context } = domain
  const mapped = 'mapped' in source ? source.mapped : undefined
  await prepareMapped(domain, mapped)
  const staysOn = context.qemu.has('migrate-incoming.exit-on-error')
  const gone = new Promise<never>((_, refuse) => qmp.once('close', refuse))
  gone.catch(() => undefined)
  const uri = 'mapped' in source ? await passMapped(domain, source.fd, source.mapped) : `fd:${source.number}`
  await qmp.execute('migrate-incoming', { uri, ...(staysOn && { 'exit-on-error': false }) })
  await Promise.race([migrationReached(domain, job, ['hypervisor-completed']), gone])
  if (mapped) await takeBackMapped(domain)
}
