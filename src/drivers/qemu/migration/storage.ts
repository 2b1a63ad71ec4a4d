// Disks that go along with their guest: each is copied into an image of the destination's, by its QEMU's NBD server, and
// kept alike until the guest's CPUs stand still (qemuMigrationSrcNBDStorageCopy, qemuMigrationDstPrepareStorage).
//
//   source       new ──► running ──► ready ──► memory goes, the CPUs stop ──► given up: both are alike
//   destination  images are there or made ──► shown, to be written ──► no longer, once the guest has come
import { existsSync } from 'node:fs'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { errorsFrom, type VirError } from '../../../conf/error.ts'
import { isStorageEmpty } from '../../../conf/storage/source.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { effectiveNode } from '../block/nodes.ts'
import { type BlockJobWatch, type JobEnds, registerBlockJob } from '../blockjob/job.ts'
import { findQemuJob, runQemuJob } from '../blockjob/qemu-job.ts'
import { speedOption } from '../blockjob/speed.ts'
import type { QemuContext } from '../context.ts'
import { diskNode } from '../device/disk/guest-device.ts'
import { isOver } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { HeldPorts } from '../process/ports.ts'
import type { CookieNbd } from './cookie.ts'
import type { Asked } from './phases.ts'
import { countMirrors, type MirrorCounts } from './progress.ts'
import { parseMigrationUri } from './uri.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const wrong = (message: string) => fail('VIR_ERR_INVALID_ARG', message)
const unsupported = (message: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', message)

const FLAGS = virDomainMigrateFlags
const { VIR_MIGRATE_NON_SHARED_DISK, VIR_MIGRATE_NON_SHARED_INC } = FLAGS

/** True for disks that are copied: those that are named, or all that are this host's alone (qemuMigrationAnyCopyDisk). */
export function isCopiedBy({ params, flags }: Asked): (disk: DiskDef) => boolean {
  if ((flags & (VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC)) === 0) return () => false
  const { migrate_disks: named } = params
  if (named) return ({ target }) => named.includes(target?.dev ?? '')
  return ({ shareable, readonly, source }) => !shareable && !readonly && !isStorageEmpty(source)
}

/** The name both sides know a disk by (qemuAliasDiskDriveFromDisk). */
const exportName = ({ alias }: DiskDef): string => `drive-${alias}`

/** Where the destination's server is. */
type Server = { path: string; host?: undefined; port?: undefined } | { host: string; port: number; path?: undefined }

/** Place of the server that the caller names, if any: port 0 or an empty host are left to others. */
function serverNamed(uri: string): Server {
  const { scheme, host, port, path } = parseMigrationUri(uri)
  if (scheme === 'tcp') return { host, port }
  if (scheme !== 'unix') throw wrong(`Unsupported scheme in disks URI: ${scheme}`)
  if (path === '') throw wrong('UNIX disks URI does not include path')
  return { path }
}

/** QEMU's SocketAddress. */
const addressOf = (server: Server) =>
  server.path === undefined
    ? { type: 'inet', host: server.host, port: String(server.port) }
    : { type: 'unix', path: server.path }

/** Credentials in QEMU for what goes by NBD. */
export interface NbdTls {
  credentials: string
  /** by which the destination's certificate is checked; absent: that it is connected to by */
  hostname?: string | undefined
}

/** What the source is told of the destination. */
export interface CopyTarget {
  /** of the destination's cookie */
  nbd: CookieNbd | undefined
  /** bytes/s */
  speed: bigint
  tls?: NbdTls | undefined
}

const nodeOf = (disk: string): string => `migration-${disk}-storage`

/** Takes the node away that a disk was copied through; it need not be there. */
export async function removeTarget({ qmp }: QemuDomain, disk: string): Promise<void> {
  await qmp.execute('blockdev-del', { 'node-name': nodeOf(disk) }).catch(error => {
    if (!/find node|not found/i.test(error.message)) throw error
  })
}

/**
 * The copies of one migration at its source. Each is in status.json before QEMU is told of it, and until nothing of it
 * is left in QEMU.
 */
export class DiskCopies {
  readonly #domain: QemuDomain
  readonly #job: AsyncJob
  readonly #watches: BlockJobWatch[] = []
  #isFinishing = false
  #counts: MirrorCounts = { total: 0n, processed: 0n }

  constructor(domain: QemuDomain, job: AsyncJob) {
    this.#domain = domain
    this.#job = job
  }

  /**
   * Begins to copy, and waits until all are alike.
   * @param trouble why it is of no use any more
   * @throws VIR_ERR_OPERATION_FAILED, VIR_ERR_OPERATION_ABORTED, VIR_ERR_INTERNAL_ERROR with QEMU's words, `trouble`;
   *   `drop` is to be called then
   */
  async begin(asked: Asked, target: CopyTarget, trouble: () => Error | undefined): Promise<void> {
    const { devices } = this.#domain.def
    const disks = devices.disks.filter(isCopiedBy(asked))
    if (disks.length === 0) return
    if (!target.nbd) {
      throw fail('VIR_ERR_INTERNAL_ERROR', 'migration of non-shared disks requested but NBD is not set up')
    }
    const server = serverOf(asked, target.nbd)
    countMirrors(this.#job, () => this.#count())
    await this.#job.nested(() => dropLeftCopies(this.#domain))
    for (const disk of disks) await this.#job.nested(() => this.#copy(disk, asked, server, target))
    await this.#reach(({ job }) => job.state === 'ready', trouble)
    await this.#count()
  }

  /** Why the migration cannot go on. */
  get trouble(): VirError | undefined {
    const ended = (state: string) => state === 'failed' || state === 'cancelled'
    const found = this.#watches.find(({ job }) => (this.#isFinishing ? ended(job.state) : isOver(job)))
    if (!found) return undefined
    const { disk, error } = found.job
    const why = error === undefined ? '' : `: ${error}`
    return fail('VIR_ERR_OPERATION_FAILED', `migration of disk ${disk} failed${why}`)
  }

  /**
   * Lets the destination's images be, alike as they are now that nobody writes (qemuMigrationSrcNBDCopyCancel).
   * @throws as `begin`
   */
  async finish(trouble: () => Error | undefined): Promise<void> {
    const { qmp } = this.#domain
    const error = this.trouble ?? trouble()
    if (error) throw error
    this.#isFinishing = true
    for (const { job } of this.#watches) {
      await this.#job
        .nested(() => qmp.execute('block-job-cancel', { device: job.name, force: false }))
        .catch(refused => {
          throw this.trouble ?? refused
        })
    }
    await this.#reach(({ hasEnded }) => hasEnded, trouble)
  }

  /** Gives up what is under way; nothing of it is left in QEMU. */
  async drop(): Promise<void> {
    const { monitor, log } = this.#domain
    if (!this.#domain.isActive || !monitor || monitor.closed) return
    await this.#job
      .nested(async () => {
        const left = this.#watches.filter(watch => !watch.hasEnded)
        for (const { job } of left) {
          await monitor.execute('block-job-cancel', { device: job.name, force: true }).catch(() => undefined)
        }
        for (const watch of left) await watch.finish()
      })
      .catch(error => log.warn({ err: error }, 'copies of disks could not be given up'))
  }

  async #copy(disk: DiskDef, asked: Asked, server: Server, { speed, tls }: CopyTarget): Promise<void> {
    const { params, flags } = asked
    const { qmp, context } = this.#domain
    const target = disk.target!.dev!
    const isIn = (list: readonly string[] | undefined) => list?.includes(target) ?? false
    const detectsZeroes = isIn(params.migrate_disks_detect_zeroes)
    const isZero = isIn(params.migrate_disks_target_zero)
    if (isZero && !context.qemu.has('blockdev-mirror.target-is-zero')) {
      throw unsupported('this QEMU cannot be told that the target of a copy reads as zeroes')
    }
    const watch = registerBlockJob(
      this.#domain,
      { name: exportName(disk), kind: 'migration', disk: target, state: 'new', flags },
      this.#ends
    )
    watch.hold()
    try {
      await qmp.execute('blockdev-add', {
        driver: 'nbd',
        'node-name': nodeOf(target),
        server: addressOf(server),
        export: exportName(disk),
        'tls-creds': tls?.credentials,
        'tls-hostname': tls && context.qemu.has('blockdev.nbd.tls-hostname') ? tls.hostname : undefined,
        'read-only': false,
        // without both the destination allocates the zeroes
        ...(detectsZeroes && { discard: 'unmap', 'detect-zeroes': 'unmap' })
      })
      await qmp.execute('blockdev-mirror', {
        'job-id': watch.job.name,
        device: diskNode(disk, context.qemu),
        target: nodeOf(target),
        ...speedOption(speed),
        sync: (flags & VIR_MIGRATE_NON_SHARED_INC) === 0 ? 'full' : 'top',
        'target-is-zero': isZero || undefined,
        'copy-mode': (flags & FLAGS.VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES) === 0 ? undefined : 'write-blocking',
        'auto-finalize': true,
        'auto-dismiss': false
      })
    } catch (error) {
      // one that cannot be taken away now is known of by its job: the next process does it, or the next migration
      await removeTarget(this.#domain, target).then(
        () => watch.drop(),
        err => this.#domain.log.warn({ err }, 'a node stays in QEMU')
      )
      throw error
    }
    this.#watches.push(watch)
    watch.started()
  }

  readonly #ends: JobEnds = {
    heard: () => this.#job.tell('BLOCK_JOB', {}),
    before: (domain, { disk }) => removeTarget(domain, disk),
    settle: () => []
  }

  /** Acts upon what becomes of the copies until all have come so far. */
  async #reach(isThere: (watch: BlockJobWatch) => boolean, trouble: () => Error | undefined): Promise<void> {
    const why = () => this.trouble ?? trouble()
    for (;;) {
      await this.#job.nested(async () => {
        for (const watch of this.#watches) await watch.catchUp()
      })
      const error = why()
      if (error) throw error
      if (this.#watches.every(isThere)) return
      await this.#job.until(() => (this.#watches.some(({ hasNews }) => hasNews) ? true : why()))
    }
  }

  /** Bytes of all, as they were last (qemuMigrationSrcFetchMirrorStats). */
  async #count(): Promise<MirrorCounts> {
    if (this.#watches.some(({ hasEnded }) => hasEnded)) return this.#counts
    const names = new Set(this.#watches.map(({ job }) => job.name))
    const list = await this.#domain.qmp.execute<QmpBlockJob[]>('query-block-jobs')
    const counts = { total: 0n, processed: 0n }
    for (const { len, offset } of list.filter(({ device }) => names.has(device))) {
      counts.total += BigInt(len)
      counts.processed += BigInt(offset)
    }
    this.#counts = counts
    return counts
  }
}

/**
 * Gives up copies that a former process, or migration, has left; nothing of them is left in QEMU
 * (qemuMigrationSrcNBDCopyCancel).
 */
export async function dropLeftCopies(domain: QemuDomain): Promise<void> {
  const { running, qmp, log } = domain
  for (const job of [...running.blockJobs.values()].filter(({ kind }) => kind === 'migration')) {
    if (await findQemuJob(qmp, job.name)) {
      await qmp.execute('block-job-cancel', { device: job.name, force: true }).catch(() => undefined)
      await runQemuJob(domain, job.name)
    }
    await removeTarget(domain, job.disk).catch(err => log.warn({ err, job: job.name }, 'a node stays in QEMU'))
    running.blockJobs.delete(job.name)
    domain.changed()
  }
}

interface QmpBlockJob {
  device: string
  len: number | bigint
  offset: number | bigint
}

/** The destination's server: what of it the caller names, else its host, at the port it tells. */
function serverOf({ params, flags }: Asked, { port = 0 }: CookieNbd): Server {
  const { host } = parseMigrationUri(params.migrate_uri ?? '')
  const { disks_uri: uri } = params
  if (uri === undefined) return { host, port }
  const named = serverNamed(uri)
  if (named.path === undefined) return { host: named.host || host, port: named.port || port }
  if ((flags & FLAGS.VIR_MIGRATE_TLS) !== 0) {
    throw unsupported('NBD migration with TLS is not supported over UNIX socket')
  }
  return named
}

/**
 * Sees to it that images are there that the disks are to be copied to; missing ones are made by libvirt's storage
 * driver, in its pools.
 * @param nbd of the source's cookie
 * @throws VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_NO_STORAGE_POOL for a place that no pool has, the storage driver's errors
 */
export async function prepareStorage(
  { devices }: DomainDef,
  { drivers }: QemuContext,
  asked: Asked,
  nbd: CookieNbd | undefined
): Promise<void> {
  const isCopied = isCopiedBy(asked)
  for (const { target, capacity } of nbd?.disks ?? []) {
    const disk = devices.disks.find(one => one.target?.dev === target)
    if (!disk) {
      const message = `unable to find disk target '${target}' for non-shared-storage migration`
      throw fail('VIR_ERR_INTERNAL_ERROR', message)
    }
    if (!isCopied(disk) || isThere(disk)) continue
    if ((asked.flags & VIR_MIGRATE_NON_SHARED_INC) !== 0) {
      throw unsupported(
        `pre-creation of storage target for incremental storage migration of disk '${target}' is not supported`
      )
    }
    await precreate(disk, capacity, drivers)
  }
}

function isThere({ source }: DiskDef): boolean {
  switch (source.type) {
    case 'file':
    case 'block':
      return source.path !== undefined && existsSync(source.path)
    case 'network':
      // no driver of ours makes any
      return true
    case 'vhostuser':
    case 'dir':
      throw unsupported(`non-shared storage migration into '${source.type}' target is not supported`)
    default:
      return false
  }
}

/** Makes an image as the source's disk needs it (qemuMigrationDstPrecreateDisk). */
async function precreate({ source }: DiskDef, capacity: bigint, drivers: QemuContext['drivers']): Promise<void> {
  if (isStorageEmpty(source)) return
  if (source.type !== 'file' && source.type !== 'volume') {
    throw fail('VIR_ERR_INTERNAL_ERROR', `cannot precreate storage for disk type '${source.type}'`)
  }
  const { format = 'raw' } = source
  if (source.type === 'volume') {
    const { pool = '', volume = '' } = source
    await (await drivers?.())?.createVolume({ pool, name: volume, format, capacity })
    return
  }
  const path = source.path!
  const slash = path.lastIndexOf('/')
  if (slash < 0) throw wrong(`malformed disk path: ${path}`)
  const directory = path.slice(0, slash)
  const made = { directory, name: path.slice(slash + 1), format, capacity }
  const all = await drivers?.()
  if (!all) throw noPoolAt(directory)
  await all.createVolume(made).catch(error => {
    throw error.code === 'VIR_ERR_NO_SUPPORT' ? noPoolAt(directory) : error
  })
}

const noPoolAt = (directory: string) =>
  errorsFrom('VIR_FROM_STORAGE')('VIR_ERR_NO_STORAGE_POOL', `no storage pool with matching target path '${directory}'`)

/** The server that disks are copied to, where QEMU is yet to be started. */
export interface DiskServer {
  choosePort(ports: HeldPorts): Promise<void>
  /** @throws VIR_ERR_OPERATION_UNSUPPORTED for a disk that cannot be written, VIR_ERR_INTERNAL_ERROR with QEMU's words */
  start(domain: QemuDomain, credentials: string | undefined): Promise<void>
}

/**
 * Place of the server that the guest's disks are copied to (qemuMigrationDstStartNBDServer).
 * @param listen address that QEMU waits at
 * @returns undefined where none is copied
 * @throws VIR_ERR_INVALID_ARG
 */
export function diskServerFor(
  def: DomainDef,
  { config }: QemuContext,
  asked: Asked,
  listen: string
): DiskServer | undefined {
  const { disks_uri: uri, disks_port: given = 0 } = asked.params
  const isCopied = isCopiedBy(asked)
  if (!def.devices.disks.some(isCopied)) return undefined
  const place: Server = uri === undefined ? { host: listen, port: given } : serverNamed(uri)
  if (uri === undefined && (given < 0 || given > 65535)) throw wrong('nbd port must be in range 0-65535')
  if (place.host === '') throw wrong(`URI with tcp scheme did not provide a server part: ${uri}`)
  if (place.path === undefined && place.port === 0) place.port = given
  return {
    async choosePort(ports) {
      if (place.path !== undefined) return
      if (place.port !== 0) return ports.use(place.port)
      await ports.choose('migration', config.migrationPortMin, config.migrationPortMax, port => {
        place.port = port
      })
    },
    async start(domain, credentials) {
      const { qmp, context, running } = domain
      const disks = domain.def.devices.disks.filter(isCopied)
      const unfit = disks.find(({ readonly, source }) => readonly || isStorageEmpty(source))
      if (unfit) throw unsupported(`Cannot migrate empty or read-only disk ${unfit.target?.dev}`)
      running.diskServer = place.path === undefined ? { port: place.port } : {}
      domain.save()
      const { type, ...data } = addressOf(place)
      await qmp.execute('nbd-server-start', { addr: { type, data }, 'tls-creds': credentials })
      for (const disk of disks) {
        const node = effectiveNode(disk.source, context.qemu)
        await qmp.execute('block-export-add', {
          type: 'nbd',
          id: `libvirt-nbd-${node}`,
          'node-name': node,
          writable: true,
          name: exportName(disk)
        })
      }
    }
  }
}

/** Stops the server, once the guest has come (qemuMigrationDstStopNBDServer). */
export async function stopDiskServer(domain: QemuDomain): Promise<void> {
  const { running, qmp, log } = domain
  if (!running.diskServer) return
  await qmp.execute('nbd-server-stop').catch(err => log.warn({ err }, 'the NBD server of a migration does not stop'))
  running.diskServer = undefined
  domain.changed()
}
