// What a disk is served by: its images, numbered and settled before QEMU is told, and the block nodes of them.
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { storageChain } from '../../../../conf/storage/chain.ts'
import { isStorageEmpty, type StorageSource, withDataStore } from '../../../../conf/storage/source.ts'
import { MANAGED_PR_MANAGER, type StorageUse } from '../../block/node-names.ts'
import { addStorageChain, effectiveNode } from '../../block/nodes.ts'
import { prepareImage } from '../../block/prepare.ts'
import { applyStartupPolicy } from '../../block/startup-policy.ts'
import { throttleGroupId } from '../../block/throttle.ts'
import type { QemuContext } from '../../context.ts'
import { atStart, type Builder } from '../../parts/builder.ts'
import { addChardev } from '../chardev/backend.ts'
import { contentNode, copyOnReadNode, filterNode, vhostUserChardev } from './guest-device.ts'
import { isOnlyManaged, managedReservationsPath } from './pr-helper.ts'
import { addSdObjects, sdDriveArg } from './sd.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failStorage = errorsFrom('VIR_FROM_STORAGE')

/**
 * Numbers the images of a disk and settles what the user left open (qemuDomainPrepareStorageSourceBlockdev).
 * @throws VIR_ERR_NO_STORAGE_POOL for volumes that no storage driver has found, VIR_ERR_INVALID_ARG for files of a
 *   client's that are not there
 */
export function prepareDisk(disk: DiskDef, def: DomainDef, context: QemuContext, nextNode: () => number): void {
  const { source, driver, target } = disk
  const volume = storageChain(source).find(image => image.type === 'volume')
  if (volume) applyStartupPolicy(def, disk, noPool(volume))
  if (volume || source.type === 'vhostuser') return
  if (disk.shareable && !disk.readonly) driver.cache ??= 'none'
  for (const [depth, top] of storageChain(source).entries()) {
    for (const image of withDataStore(top)) {
      if (target?.bus !== 'sd') image.index = nextNode()
      prepareImage(image, depth > 0 || (disk.readonly ?? false), context)
      if (image.type === 'file' && image.fdgroup !== undefined) image.handed = filesOf(image.fdgroup, context)
      if (image.reservations?.managed) image.reservations.path = managedReservationsPath(context)
    }
  }
  if (target?.bus !== 'sd') for (const filter of disk.throttlefilters ?? []) filter.index = nextNode()
}

/** The open files that virDomainFDAssociate has brought (qemuDomainPrepareStorageSourceFDs). */
function filesOf(name: string, { files }: QemuContext): StorageSource['handed'] {
  const group = files.group?.(name)
  if (group) return { count: group.files.length, writable: group.writable }
  throw fail('VIR_ERR_INVALID_ARG', `file descriptor group '${name}' was not associated with the domain`)
}

function noPool(source: StorageSource): Error {
  const pool = source.type === 'volume' ? source.pool : undefined
  if (pool === undefined) return fail('VIR_ERR_INVALID_ARG', 'name in virStoragePoolLookupByName must not be NULL')
  return failStorage('VIR_ERR_NO_STORAGE_POOL', `no storage pool with matching name '${pool}'`)
}

/** A disk's use of its image (qemuDomainPrepareDiskSourceData). */
export function diskUse({ readonly, driver, device }: DiskDef): StorageUse {
  const { cache, io, discard, detectZeroes, discardNoUnref } = driver
  return {
    readOnly: readonly ?? false,
    cache,
    io,
    discard,
    detectZeroes,
    discardNoUnref,
    isFloppy: device === 'floppy',
    isCdrom: device === 'cdrom'
  }
}

/** The helper all disks with managed reservations share (qemuBuildManagedPRCommandLine). */
export function addManagedReservations(to: Builder): void {
  to.object({ 'qom-type': 'pr-manager-helper', id: MANAGED_PR_MANAGER, path: managedReservationsPath(to.context) })
}

/**
 * Adds the server of a disk: nodes of its images, or another process (qemuBuildDiskSourceCommandLine). The reservations
 * helper is told with the first disk that is plugged in and has it; a command line has it before all else.
 */
export function addDiskBackend(to: Builder, disk: DiskDef): void {
  if (!to.atStart && isOnlyManaged(disk, to.def)) addManagedReservations(to)
  const { source } = disk
  if (source.type === 'vhostuser') {
    const { path, reconnect } = source
    addChardev(to, { type: 'unix', mode: 'connect', path, reconnect }, vhostUserChardev(disk))
    return
  }
  if (disk.target?.bus === 'sd') {
    if (!isStorageEmpty(source)) addSdObjects(to, disk)
    atStart(to, 'sd disk').add('-drive', sdDriveArg(to, disk))
  } else addImages(to, disk)
  addThrottleFilters(to, disk)
}

/** Nodes of a disk's images, and the one that fills the top with what is read from those below. */
function addImages(to: Builder, disk: DiskDef): void {
  const { source } = disk
  if (isStorageEmpty(source)) return
  addStorageChain(to, source, diskUse(disk))
  if (disk.driver.copyOnRead) {
    const file = effectiveNode(source, to.qemu)
    to.blockdev({ driver: 'copy-on-read', 'node-name': copyOnReadNode(disk), file, discard: 'unmap' })
  }
}

/** A node for each group of limits, one on the other (qemuBuildDiskThrottleFiltersCommandLine). */
function addThrottleFilters(to: Builder, disk: DiskDef): void {
  let file = contentNode(disk, to.qemu)
  for (const filter of disk.throttlefilters ?? []) {
    const lacking = file === undefined ? 'file' : 'node-name'
    if (file === undefined || filter.index === undefined)
      throw fail('VIR_ERR_INTERNAL_ERROR', `argument key '${lacking}' must not have null value`)
    const node = filterNode(filter)
    to.blockdev({ driver: 'throttle', 'node-name': node, 'throttle-group': throttleGroupId(filter.group), file })
    file = node
  }
}
