// Disks that go along with their guest: each is copied into an image of the destination's, by its QEMU's NBD server, and
// kept alike until the guest's CPUs stand still (qemuMigrationSrcNBDStorageCopy, qemuMigrationDstPrepareStorage).
//
//   source       new ──► running ──► ready ──► memory goes, the CPUs stop ──► given up: both are alike
//   destination  images are there or made ──► shown, to be written ──► no longer, once the guest has come
import { existsSync, statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { errorsFrom, toVirError, type VirError } from '../../../conf/error.ts'
import { checkAll, orThrow, type Refuse } from '../../../conf/refuse.ts'
import { isLocalStorage, isStorageEmpty } from '../../../conf/storage/source.ts'
import { blockDeviceBytes } from '../../../host/block-device.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { step } from '../../../state/step.ts'
import type { NewVolume, SecondaryDrivers } from '../../secondary-drivers.ts'
import { capacityOf, readHeader } from '../block/image-header.ts'
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
import { COPY_NODE, countMirrors, type MirrorCounts } from './progress.ts'
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

const nodeOf = (disk: string): string => `${COPY_NODE}${disk}-storage`

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
    step('copying')
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
    const detectsZeroes = isIn(params.migrate_disks_detect_zeroes, disk)
    const isZero = isIn(params.migrate_disks_target_zero, disk)
    checkTargetZero(disk, asked, context)
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
  def: DomainDef,
  { drivers }: QemuContext,
  asked: Asked,
  nbd: CookieNbd | undefined
): Promise<void> {
  for (const { disk, capacity } of copiedDisks(def, asked, nbd, orThrow)) {
    const image = isThere(disk) ? undefined : newImage(disk, capacity, asked)
    if (image) await inPool(image, drivers, all => all.createVolume(image))
  }
}

interface CopiedDisk {
  disk: DiskDef
  /** bytes that the guest sees of it */
  capacity: bigint
}

/** The disks that are to be copied here. */
function* copiedDisks(
  { devices }: DomainDef,
  asked: Asked,
  nbd: CookieNbd | undefined,
  refuse: Refuse
): Generator<CopiedDisk> {
  const isCopied = isCopiedBy(asked)
  for (const { target, capacity } of nbd?.disks ?? []) {
    const disk = devices.disks.find(one => one.target?.dev === target)
    if (disk && isCopied(disk)) yield { disk, capacity }
    if (disk) continue
    const message = `unable to find disk target '${target}' for non-shared-storage migration`
    refuse(fail('VIR_ERR_INTERNAL_ERROR', message), target)
  }
}

/** Told of what a disk's copy may not get, beside what it is refused for. */
export interface StorageVerdict {
  refuse: Refuse
  warn: Refuse
}

/**
 * Looks whether the images that disks are to be copied to are there, as large as they must be, or can be made, and
 * whether there is room for what is copied.
 * @returns the disks whose images are yet to be made
 */
export async function checkStorage(
  def: DomainDef,
  { drivers }: QemuContext,
  asked: Asked,
  nbd: CookieNbd | undefined,
  { refuse, warn }: StorageVerdict
): Promise<DiskDef[]> {
  const awaited: DiskDef[] = []
  const room = new Room()
  for (const { disk, capacity } of copiedDisks(def, asked, nbd, refuse)) {
    const target = disk.target?.dev
    try {
      if (isThere(disk)) {
        checkCapacity(disk, capacity)
        room.take(disk, capacity)
        continue
      }
      awaited.push(disk)
      const image = newImage(disk, capacity, asked)
      const left = image && (await inPool(image, drivers, all => all.roomFor(image)))
      if (left !== undefined && left < capacity) warn(noRoom(capacity, left, `its storage pool`), target)
    } catch (error) {
      refuse(toVirError(error), target)
    }
  }
  for (const { place, wanted, left } of room.lacks()) warn(noRoom(wanted, left, place))
  return awaited
}

const noRoom = (wanted: bigint, left: bigint, place: string) =>
  fail('VIR_ERR_OPERATION_FAILED', `copies of disks may take ${wanted} bytes more, ${place} has ${left} left`)

/** Bytes of a sector: QEMU takes an image as if it ended with a whole one. */
const SECTOR = 512n

/**
 * QEMU copies onto an image of the same size alone.
 * @throws VIR_ERR_OPERATION_FAILED
 */
function checkCapacity({ source, target }: DiskDef, capacity: bigint): void {
  if (!isLocalStorage(source) || source.type === 'dir' || source.path === undefined) return
  const { path, format = 'raw' } = source
  const raw = () => (source.type === 'block' ? blockDeviceBytes(path) : statSync(path, { bigint: true }).size)
  const size = format === 'raw' ? ((raw() + SECTOR - 1n) / SECTOR) * SECTOR : capacityOf(readHeader(path), format)
  if (size === undefined || size === capacity) return
  const why = `'${path}' is of ${size} bytes, the disk of ${capacity}`
  throw fail('VIR_ERR_OPERATION_FAILED', `migration of disk ${target?.dev} failed: ${why}`)
}

/** Room on the file systems that images lie on. */
class Room {
  /** by device */
  readonly #places = new Map<bigint, { place: string; wanted: bigint; left: bigint }>()

  /** Takes what an image has not got yet of its disk's size. */
  take({ source }: DiskDef, capacity: bigint): void {
    if (source.type !== 'file' || source.path === undefined) return
    const { dev, blocks } = statSync(source.path, { bigint: true })
    const { bavail, bsize } = statfsSync(source.path, { bigint: true })
    const place = this.#places.get(dev) ?? { place: dirname(source.path), wanted: 0n, left: bavail * bsize }
    const missing = capacity - blocks * SECTOR
    if (missing > 0n) place.wanted += missing
    this.#places.set(dev, place)
  }

  /** Those without enough of it. */
  lacks() {
    return [...this.#places.values()].filter(({ wanted, left }) => wanted > left)
  }
}

/** Checks that the guest's QEMU can copy disks so. @throws VIR_ERR_INVALID_ARG, VIR_ERR_OPERATION_UNSUPPORTED */
export function checkCopies({ def, context }: QemuDomain, asked: Asked, refuse: Refuse): void {
  const disks = def.devices.disks.filter(isCopiedBy(asked))
  if (disks.length === 0) return
  checkAll(refuse, [
    () => serverOf(asked, { disks: [] }),
    ...disks.map(disk => () => checkTargetZero(disk, asked, context))
  ])
}

const isIn = (list: readonly string[] | undefined, { target }: DiskDef) => list?.includes(target?.dev ?? '') ?? false

/** @throws VIR_ERR_OPERATION_UNSUPPORTED */
function checkTargetZero(disk: DiskDef, { params }: Asked, { qemu }: QemuContext): void {
  if (!isIn(params.migrate_disks_target_zero, disk) || qemu.has('blockdev-mirror.target-is-zero')) return
  throw unsupported('this QEMU cannot be told that the target of a copy reads as zeroes')
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

/**
 * An image that is to be made as the source's disk needs it; undefined for a disk without any
 * (qemuMigrationDstPrecreateDisk).
 */
function newImage({ source, target }: DiskDef, capacity: bigint, { flags }: Asked): NewVolume | undefined {
  if ((flags & VIR_MIGRATE_NON_SHARED_INC) !== 0) {
    throw unsupported(
      `pre-creation of storage target for incremental storage migration of disk '${target?.dev}' is not supported`
    )
  }
  if (isStorageEmpty(source)) return undefined
  if (source.type !== 'file' && source.type !== 'volume') {
    throw fail('VIR_ERR_INTERNAL_ERROR', `cannot precreate storage for disk type '${source.type}'`)
  }
  const { format = 'raw' } = source
  if (source.type === 'volume') {
    const { pool = '', volume = '' } = source
    return { pool, name: volume, format, capacity }
  }
  const path = source.path!
  const slash = path.lastIndexOf('/')
  if (slash < 0) throw wrong(`malformed disk path: ${path}`)
  return { directory: path.slice(0, slash), name: path.slice(slash + 1), format, capacity }
}

/** Asks the storage driver about an image of its own. @throws its errors, VIR_ERR_NO_STORAGE_POOL */
async function inPool<T>(
  { directory }: NewVolume,
  drivers: QemuContext['drivers'],
  ask: (drivers: SecondaryDrivers) => Promise<T>
): Promise<T | undefined> {
  const all = await drivers?.()
  if (directory === undefined) return all && ask(all)
  if (!all) throw noPoolAt(directory)
  return ask(all).catch(error => {
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

/** Stops the server, once the guest has come; the status has it until it is saved next (qemuMigrationDstStopNBDServer). */
export async function stopDiskServer({ running, qmp, log }: QemuDomain): Promise<void> {
  if (!running.diskServer) return
  await qmp.execute('nbd-server-stop').catch(err => log.warn({ err }, 'the NBD server of a migration does not stop'))
  running.diskServer = undefined
}
