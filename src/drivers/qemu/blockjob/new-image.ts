// Images added to a running guest: made or found, and opened by QEMU as block nodes, before any definition has them. Until
// then status.json keeps them, so that a process that ends meanwhile leaves neither node nor file for good.
import { closeSync, existsSync, lstatSync, openSync, rmSync } from 'node:fs'
import { formatDevice, parseDevice } from '../../../conf/device-xml.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import { giveTo } from '../../../host/owner.ts'
import { deviceAllocations } from '../../../state/allocation.ts'
import { checkCreatable, createFormat, createStorage, type NewImageSize } from '../block/create.ts'
import { type StorageUse, storageIds } from '../block/node-names.ts'
import { effectiveNode, type StorageParts, storageParts } from '../block/nodes.ts'
import { prepareImage } from '../block/prepare.ts'
import { diskUse } from '../device/disk/backend.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { newPlug } from '../hotplug/live-guest.ts'
import { leftBy, partsToldBy } from '../hotplug/removal.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import type { Builder } from '../parts/builder.ts'
import { type Claimed, claimMore } from '../process/claim.ts'
import { withDiskStorage } from '../process/storage-driver.ts'
import { findQemuJob, runQemuJob } from './qemu-job.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const CREATE_MS = 30_000

export interface NewImageOptions {
  /** makes it with these measures; absent: it is there and is only opened */
  size?: NewImageSize
  /** the image it names as the one below */
  backing?: StorageSource | undefined
  /** the image below as QEMU is to open it with: one that is open already; absent: none */
  open?: StorageSource | undefined
  /** the use of it; absent: that of the disk, for writing */
  use?: StorageUse
  /** an empty file is taken as if it were not there */
  mayBeEmpty?: boolean
}

/** An image QEMU has opened, in no definition yet. */
export interface AddedImage {
  source: StorageSource
  /** its uppermost node */
  node: string
  /** A definition has it from now on: to be called before that is saved. */
  keep(): void
  /** Takes it away, with a file that was made for it; what stays is logged. */
  discard(): Promise<void>
}

/**
 * Adds an image to QEMU, and makes it where it is to be made. A failure leaves no node, no file and no claim.
 * @param disk whose image it is to be, or of which it is a copy
 * @param source without a number, which it gets
 * @throws VIR_ERR_SYSTEM_ERROR for a file that cannot be made, VIR_ERR_OPERATION_FAILED with QEMU's words where it cannot
 *   make it, VIR_ERR_OPERATION_UNSUPPORTED, ResourceTaken and others
 */
export async function addImage(
  domain: QemuDomain,
  disk: DiskDef,
  source: StorageSource,
  { size, backing, open, use = { ...diskUse(disk), readOnly: false }, mayBeEmpty = false }: NewImageOptions
): Promise<AddedImage> {
  const { running, def, qmp } = domain
  if (size) checkCreatable(source)
  const carrier: DiskDef = { ...disk, source, mirror: undefined }
  const context = await withDiskStorage(carrier, domain.context)
  prepareImage(source, false, context)
  source.index = ++running.nodeIndex
  const isMade = size !== undefined && source.type === 'file' && !isThere(source.path!, mayBeEmpty)
  running.newImages.set(source.index, { disk: statusXml(carrier), isMade })
  domain.save()
  const steps = stepsOf({ ...source, backingStore: open ?? { type: 'none' } }, use, domain)
  let claimed: Claimed | undefined
  const image: AddedImage = {
    source,
    node: effectiveNode(source, context.qemu),
    keep: () => void running.newImages.delete(source.index!),
    async discard() {
      await removeNodes(domain, steps)
      if (isMade) rmSync(source.path!, { force: true })
      await claimed?.release()
      running.newImages.delete(source.index!)
      domain.changed()
    }
  }
  try {
    if (isMade) makeFile(source.path!)
    if (size !== undefined && source.type === 'file') giveTo(source.path!, running.owner)
    claimed = await claimMore(domain, deviceAllocations('disks', carrier, def))
    const tell = async (build: (to: Builder) => void) => {
      const plug = newPlug(domain, context)
      build(plug)
      await plug.execute(qmp, leftBy(domain))
      return plug
    }
    const to = await tell(steps.objects)
    const { storageNode, formatNode } = storageIds(source)
    if (size) await create(domain, storageNode, createStorage(to, source, size))
    await tell(steps.storage)
    if (size) await create(domain, formatNode, createFormat(to, source, size, backing))
    await tell(steps.format)
    return image
  } catch (error) {
    await image.discard()
    throw error
  }
}

const statusXml = (disk: DiskDef) => formatDevice(['disks', disk], { inactive: false, secure: true, status: true })

/** True for a file that is there. @param mayBeEmpty an empty one is no failure */
function isThere(path: string, mayBeEmpty: boolean): boolean {
  if (!existsSync(path)) return false
  const found = lstatSync(path)
  if (mayBeEmpty && found.isFile() && found.size === 0) return true
  throw fail('VIR_ERR_OPERATION_FAILED', `file '${path}' exists already`)
}

function makeFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', `failed to create image file '${path}'`, error)
  }
}

const stepsOf = (source: StorageSource, use: StorageUse, { context }: QemuDomain): StorageParts =>
  storageParts(source, use, context.qemu)

/** Takes away what is there of an image's nodes and objects. */
async function removeNodes(domain: QemuDomain, { format, storage, objects }: StorageParts): Promise<void> {
  if (!domain.isActive || domain.monitor?.closed !== false) return
  for (const build of [format, storage, objects])
    await partsToldBy(domain, build).removeParts(domain.qmp, unlessAbsent(domain))
}

/** QEMU need not have come to have it. */
const unlessAbsent = (domain: QemuDomain) => (error: unknown) => {
  if (!/not found|Failed to find node|Cannot find node/i.test((error as Error).message)) leftBy(domain)(error)
}

/** Has QEMU make storage or format of an image. @throws VIR_ERR_OPERATION_FAILED with its words */
async function create(domain: QemuDomain, node: string, options: object | undefined): Promise<void> {
  if (!options) return
  const id = createJob(node)
  const begin = () => domain.qmp.execute('blockdev-create', { 'job-id': id, options }, { timeoutMs: CREATE_MS })
  const error = await runQemuJob(domain, id, begin)
  if (error !== undefined) throw fail('VIR_ERR_OPERATION_FAILED', `failed to format image: '${error}'`)
}

const createJob = (node: string) => `create-${node}`

/** Takes away the images that a process before this one was adding and that no definition has come to have. */
export async function settleNewImages(domain: QemuDomain): Promise<void> {
  const { newImages } = domain.running
  for (const [index, { disk, isMade }] of [...newImages]) {
    const [, carrier] = parseDevice(disk, false, true) as ['disks', DiskDef]
    const { source } = carrier
    try {
      const { storageNode, formatNode } = storageIds(source)
      for (const node of [storageNode, formatNode]) await endCreation(domain, domain.qmp, createJob(node))
      await removeNodes(domain, stepsOf({ ...source, backingStore: { type: 'none' } }, diskUse(carrier), domain))
      if (isMade && source.type === 'file') rmSync(source.path!, { force: true })
    } catch (error) {
      leftBy(domain, carrier)(error)
    }
    newImages.delete(index)
  }
  domain.changed()
}

async function endCreation(domain: QemuDomain, qmp: QmpMonitor, id: string): Promise<void> {
  const job = await findQemuJob(qmp, id)
  if (!job) return
  await runQemuJob(domain, id, undefined, AbortSignal.abort())
}
