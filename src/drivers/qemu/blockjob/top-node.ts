// The images that a disk is really on, as QEMU has it: after a change that nobody has followed, its word alone counts.
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import { effectiveNode } from '../block/nodes.ts'
import type { QmpDrive } from '../device/disk/media.ts'
import type { BlockJob, Outcome } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { isDevice } from '../stats/block.ts'

/**
 * The end of a job that QEMU has no error of, by the image that its disk is on afterwards; undefined where a filter hides that.
 * @param target the image it was to go on with
 */
export async function hasPivoted(
  { qmp, context, log }: QemuDomain,
  { name, state }: BlockJob,
  { alias, driver, throttlefilters, source }: DiskDef,
  target: StorageSource | undefined
): Promise<Outcome | undefined> {
  if (driver.copyOnRead || throttlefilters?.length || alias === undefined || !target) return undefined
  const drives = await qmp.execute<QmpDrive[]>('query-block')
  const drive = drives.find(({ qdev }) => qdev !== undefined && isDevice(qdev, alias))
  const node = drive?.inserted?.['node-name']
  if (node === effectiveNode(target, context.qemu)) return 'completed'
  if (node !== effectiveNode(source, context.qemu)) {
    log.warn({ job: name, node }, 'a disk is on an image that nobody knows')
    return undefined
  }
  if (state !== 'aborting') log.info({ job: name }, 'a block job ended without a pivot')
  return 'cancelled'
}

/** A node, with the number of images that are open below it. */
interface DeepNode {
  'node-name': string
  backing_file_depth: number | bigint
}

/** How many images are below each node. */
async function depths({ qmp }: QemuDomain): Promise<Map<string, number>> {
  // a flat list does not count images below
  const list = await qmp.execute<DeepNode[]>('query-named-block-nodes', { flat: false })
  return new Map(list.map(node => [node['node-name'], Number(node.backing_file_depth)]))
}

/** How many images are below a node; undefined of one that QEMU has not. */
export const depthBelow = async (domain: QemuDomain, node: string): Promise<number | undefined> =>
  (await depths(domain)).get(node)

/** True where QEMU has an image below each of these nodes: an overlay has nothing there before. */
export async function standsOn(domain: QemuDomain, nodes: readonly string[]): Promise<boolean> {
  const found = await depths(domain)
  return nodes.every(node => (found.get(node) ?? 0) > 0)
}
