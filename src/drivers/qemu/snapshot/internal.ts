// Snapshots inside of qcow2 images: of a running guest by QEMU's jobs, of one that is shut off by qemu-img.

import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { SnapshotDef } from '../../../conf/moment/snapshot.ts'
import { isLocalStorage, type StorageSource } from '../../../conf/storage/source.ts'
import { hostCommand } from '../../../host/command.ts'
import { queryBlockNodes } from '../block/bitmaps.ts'
import { runQemuJob } from '../blockjob/qemu-job.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { makeNvram } from '../firmware/nvram.ts'
import { type ImageStep, qemuImg } from '../process/journal.ts'
import { nvramNode, snapshotIn, snapshotNode } from './nodes.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failed = (message: string) => fail('VIR_ERR_OPERATION_FAILED', message)

/** QEMU answers nothing while it writes or reads the guest's memory. */
const MEMORY_MS = 3_600_000

/** The guest's disk of each disk of the snapshot that is inside of its image. */
const insiders = ({ disks }: SnapshotDef, { devices }: DomainDef) =>
  disks.flatMap((one, i) => (one.snapshot === 'internal' ? [devices.disks[i]!] : []))

/** QEMU's id of the job that saves it. */
export const saveJob = (name: string): string => `internal-snapshot-save-${name}`

/** The same of the one that deletes it. */
export const deleteJob = (name: string): string => `internal-snapshot-delete-${name}`

/**
 * Has QEMU save memory and disks. The CPUs are stopped by then.
 * @throws VIR_ERR_OPERATION_FAILED with QEMU's words; nothing is left in the images then
 */
export async function saveLive(domain: QemuDomain, def: SnapshotDef): Promise<void> {
  const { name } = def
  const devices = nodesOf(domain, def)
  const id = saveJob(name)
  const args = { 'job-id': id, tag: name, vmstate: devices[0], devices }
  const begin = () => domain.qmp.execute('snapshot-save', args, { timeoutMs: MEMORY_MS })
  const error = await runQemuJob(domain, id, begin)
  if (error !== undefined) throw failed(`snapshot-save job failed: ${error}`)
}

const nodesOf = ({ def: guest }: QemuDomain, def: SnapshotDef): string[] => [
  ...insiders(def, guest).map(({ source }) => snapshotNode(source)!),
  ...nvramNode(guest)
]

/** True where an image has one of that name already, which QEMU refuses to add to: it is not ours to delete then. */
export async function isTaken(domain: QemuDomain, def: SnapshotDef): Promise<boolean> {
  const nodes = await queryBlockNodes(domain.qmp)
  return nodesOf(domain, def).some(node => snapshotIn(nodes.get(node), def.name))
}

/**
 * Has QEMU delete the snapshot of that name from all images that have it (qemuSnapshotDiscardActiveInternal).
 * @throws VIR_ERR_OPERATION_FAILED with QEMU's words
 */
export async function deleteLive(domain: QemuDomain, name: string): Promise<void> {
  const { def, qmp } = domain
  const nodes = await queryBlockNodes(qmp)
  const written = def.devices.disks.filter(({ readonly }) => !readonly).map(({ source }) => snapshotNode(source))
  const devices = [...written, ...nvramNode(def)].filter(
    node => node !== undefined && snapshotIn(nodes.get(node), name)
  )
  if (devices.length === 0) return
  const id = deleteJob(name)
  const error = await runQemuJob(domain, id, () =>
    qmp.execute('snapshot-delete', { 'job-id': id, tag: name, devices }, { timeoutMs: MEMORY_MS })
  )
  if (error !== undefined) throw failed(`deletion of internal snapshot '${name}' job failed: ${error}`)
}

/**
 * Has QEMU load memory and disks into a guest that has not run yet (qemuSnapshotInternalRevert).
 * @throws VIR_ERR_OPERATION_FAILED where an image lacks it, or with QEMU's words
 */
export async function loadLive(domain: QemuDomain, def: SnapshotDef): Promise<void> {
  const { def: guest, qmp } = domain
  const { name, disks } = def
  const nodes = await queryBlockNodes(qmp)
  const inDisk = (source: StorageSource) => {
    const node = snapshotNode(source)
    return node !== undefined && snapshotIn(nodes.get(node), name) ? [node] : []
  }
  for (const one of disks) {
    const disk = guest.devices.disks.find(({ target }) => target?.dev === one.name)
    if (!disk) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `VM doesn't have disk '${one.name}' referenced by snapshot '${name}'`)
    }
    if (one.snapshot === 'internal' && inDisk(disk.source).length === 0) {
      throw failed(`image of disk '${one.name}' does not have internal snapshot '${name}'`)
    }
  }
  const devices = [
    ...guest.devices.disks.flatMap(({ source }) => inDisk(source)),
    ...nvramNode(guest).filter(node => snapshotIn(nodes.get(node), name))
  ]
  const [vmstate, more] = devices.filter(node => BigInt(snapshotIn(nodes.get(node), name)!['vm-state-size']) > 0n)
  if (more !== undefined) {
    throw failed(`two disks images contain vm state section for internal snapshot '${name}'`)
  }
  if (vmstate === undefined) throw failed(`missing vmstate section when reverting active internal snapshot '${name}'`)
  const id = `internal-snapshot-load-${name}`
  const args = { 'job-id': id, tag: name, vmstate, devices }
  const error = await runQemuJob(domain, id, () => qmp.execute('snapshot-load', args, { timeoutMs: MEMORY_MS }))
  if (error !== undefined) throw failed(`load of internal snapshot '${name}' job failed: ${error}`)
}

/** An image qemu-img works on, and if it must. */
interface Image {
  path: string
  /** of another format, which is left out */
  skipped: boolean
}

/** @throws VIR_ERR_OPERATION_INVALID for images qemu-img cannot take snapshots in (qemuSnapshotForEachQcow2) */
function imagesOf(def: SnapshotDef, guest: DomainDef, creates: boolean): Image[] {
  const refuse = (message: string) => fail('VIR_ERR_OPERATION_INVALID', message)
  const disks = insiders(def, guest).filter(({ device }) => device === 'disk')
  for (const { source, target } of disks) {
    if (!isLocalStorage(source)) throw refuse(`can't manipulate inactive snapshots of disk '${target?.dev}'`)
    if (creates && source.format !== undefined && source.format !== 'qcow2') {
      throw refuse(`Disk device '${target?.dev}' does not support snapshotting`)
    }
  }
  const nvram = guest.os.loader?.nvram?.source
  const stores = nvram?.format === 'qcow2' ? [nvram] : []
  return [...disks.map(({ source }) => source), ...stores].flatMap(source =>
    isLocalStorage(source) && source.path !== undefined
      ? [{ path: source.path, skipped: source.format !== undefined && source.format !== 'qcow2' }]
      : []
  )
}

const step = (op: '-c' | '-d' | '-a', name: string, path: string): string[] => ['snapshot', op, name, path]

/** Names of the snapshots in an image, as far as it can be read. */
async function namesIn(path: string): Promise<string[]> {
  try {
    const info = JSON.parse(await hostCommand('qemu-img', ['info', '--output=json', path])) as {
      snapshots?: { name: string }[]
    }
    return (info.snapshots ?? []).map(({ name }) => name)
  } catch {
    return []
  }
}

export interface OfflineSnapshot {
  /** takes back what was made; what had one of that name before is left alone */
  undo: ImageStep[]
  /** @throws VIR_ERR_INTERNAL_ERROR with qemu-img's words */
  create(): Promise<void>
}

/** Plans the snapshot of a guest that is shut off. @throws VIR_ERR_OPERATION_INVALID */
export async function planOffline(def: SnapshotDef, guest: DomainDef): Promise<OfflineSnapshot> {
  const images = imagesOf(def, guest, true)
  const had = await Promise.all(images.map(({ path }) => namesIn(path)))
  const fresh = images.filter((_, i) => !had[i]!.includes(def.name))
  return {
    undo: fresh.map(({ path }) => ({ args: step('-d', def.name, path), mayFail: true })),
    async create() {
      // a guest just defined has no variables yet
      await makeNvram(guest)
      for (const { path } of images) await qemuImg(step('-c', def.name, path))
    }
  }
}

/** Steps that delete it from the images of a guest that is shut off; images that have none are left out. */
export const deleteOffline = (def: SnapshotDef, guest: DomainDef): ImageStep[] =>
  imagesOf(def, guest, false)
    .filter(({ skipped }) => !skipped)
    .map(({ path }) => ({ args: step('-d', def.name, path), mayFail: true }))

/** Steps that bring the images of a guest that is shut off back to it. @throws where an image is of another format */
export const revertOffline = (def: SnapshotDef, guest: DomainDef): ImageStep[] =>
  imagesOf(def, guest, false).map(({ path }) => ({ args: step('-a', def.name, path) }))
