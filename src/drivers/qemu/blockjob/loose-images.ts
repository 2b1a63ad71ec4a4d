// Images that QEMU has and no definition: on their way in, or out. status.json keeps them until they are in a definition
// or gone, so that a process that ends meanwhile leaves neither node nor file for good.
import { rmSync } from 'node:fs'
import { formatDevice, parseDevice } from '../../../conf/device-xml.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { storageChain, storageImages } from '../../../conf/storage/chain.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import { storageIds } from '../block/node-names.ts'
import { storageParts } from '../block/nodes.ts'
import { diskUse } from '../device/disk/backend.ts'
import { reservationsHelper } from '../device/disk/pr-helper.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hostGuest } from '../domain/host-guest.ts'
import { leftBy, partsToldBy } from '../hotplug/removal.ts'
import { dismissUnused } from '../process/access.ts'
import { imagePaths } from '../process/access-paths.ts'
import { findQemuJob, runQemuJob } from './qemu-job.ts'

/**
 * Notes an image, with those below it that go as well. It is on disk once the status is saved.
 * @param disk of which it has its settings
 * @param files that go with them
 */
export function noteLoose({ running }: QemuDomain, disk: DiskDef, source: StorageSource, files: string[]): void {
  const carrier: DiskDef = { ...disk, source: placeOf(source), mirror: undefined }
  const xml = formatDevice(['disks', carrier], { inactive: false, secure: true, status: true })
  running.looseImages.set(source.index!, { disk: xml, files })
}

/** An image and those below it by where they are; volumes of pools would have to be looked up again. */
function placeOf(source: StorageSource): StorageSource {
  const { backingStore, inPool: _, ...place } = source
  return backingStore ? { ...place, backingStore: placeOf(backingStore) } : place
}

/**
 * Takes a noted image out of QEMU, the top of its chain first, with its files; what stays is logged. Files of what QEMU
 * does not let go of stay too: somebody may stand on them.
 */
export async function removeLoose(domain: QemuDomain, index: number, run = domain.run): Promise<void> {
  const note = run?.looseImages.get(index)
  if (!run || !note) return
  const [, disk] = parseDevice(note.disk, false, true) as ['disks', DiskDef]
  const images = storageImages(disk.source)
  let isGone = true
  // those below one that QEMU keeps are kept by it
  for (const image of images) isGone &&= await removeNodes(domain, disk, image)
  try {
    await reservationsHelper.give(disk, hostGuest(domain))
  } catch (error) {
    leftBy(domain, disk)(error)
  }
  for (const file of isGone ? note.files : []) rmSync(file, { force: true })
  run.looseImages.delete(index)
  if (isGone)
    await dismissUnused(
      domain,
      images.flatMap(image => imagePaths(image, true))
    )
  domain.changed()
}

/** Takes away the images that a process before this one was adding or taking away. */
export async function settleLooseImages(domain: QemuDomain): Promise<void> {
  if (!domain.isActive) return
  const { looseImages } = domain.running
  // those of a pivot under way have their place already
  const mirrors = domain.def.devices.disks.flatMap(({ mirror }) => (mirror ? storageChain(mirror.source) : []))
  const placed = new Set(mirrors.map(({ index }) => index))
  for (const index of [...looseImages.keys()].filter(one => !placed.has(one))) {
    for (const node of nodesOf(index)) await endCreation(domain, createJob(node))
    await removeLoose(domain, index).catch(leftBy(domain))
  }
}

const nodesOf = (index: number): string[] => {
  const { storageNode, formatNode } = storageIds({ type: 'none', index })
  return [storageNode, formatNode]
}

/** QEMU's id of the job that makes what is behind a node. */
export const createJob = (node: string): string => `create-${node}`

async function endCreation(domain: QemuDomain, id: string): Promise<void> {
  if (await findQemuJob(domain.qmp, id)) await runQemuJob(domain, id, undefined, AbortSignal.abort())
}

/** Takes away what is there of an image's nodes and objects. @returns false where QEMU keeps any */
async function removeNodes(domain: QemuDomain, disk: DiskDef, image: StorageSource): Promise<boolean> {
  const { monitor, context } = domain
  if (!domain.isActive || !monitor || monitor.closed) return true
  // what is below it does not matter, but must be such as a format can have
  const source: StorageSource = { ...image, backingStore: { type: 'none' } }
  const { objects, storage, format } = storageParts(source, diskUse(disk), context.qemu)
  let isGone = true
  const keeps = (error: unknown) => {
    // QEMU need not have come to have it
    if (IS_ABSENT.test((error as Error).message)) return
    isGone = false
    leftBy(domain)(error)
  }
  for (const build of [format, storage, objects]) {
    if (isGone) await partsToldBy(domain, build).removeParts(monitor, keeps)
  }
  return isGone || monitor.closed
}

const IS_ABSENT = /not found|Failed to find node|Cannot find node/i
