// Bitmaps of changed blocks that go with a guest's disks, so that its checkpoints are worth something where it comes to.
//
//   source: offers those that are whole ─► destination: takes those it can keep ─► source: sends these
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import {
  type Action,
  addBitmap,
  findBitmap,
  isBitmapWhole,
  type KnownImages,
  mergeInto,
  queryBlockNodes
} from '../block/bitmaps.ts'
import { effectiveNode } from '../block/nodes.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { CookieBitmaps } from './cookie.ts'
import { type MigrationSettings, setBitmapMapping } from './params.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A bitmap as it goes along. */
interface Sent {
  alias: string
  /** in this QEMU */
  name: string
  /** it is to be kept there, though it is not here */
  isMade?: true
}

const known = async ({ qmp, context }: QemuDomain): Promise<KnownImages> => ({
  nodes: await queryBlockNodes(qmp),
  qemu: context.qemu
})

/**
 * Bitmaps of the disks that are copied, for the other side to choose of (qemuMigrationSrcBeginPhaseBlockDirtyBitmaps).
 * Those that do not tell of all changes stay.
 */
export async function offeredBitmaps(
  domain: QemuDomain,
  isCopied: (disk: DiskDef) => boolean
): Promise<CookieBitmaps[]> {
  const { devices } = domain.def
  const images = await known(domain)
  return devices.disks
    .filter(isCopied)
    .flatMap(({ target, source }) => {
      const of = images.nodes.get(effectiveNode(source, images.qemu))
      const names = (of?.bitmaps ?? []).flatMap(({ name }) => name ?? [])
      const bitmaps = names
        .filter(name => isBitmapWhole(images, source, name))
        .map(name => ({ name, alias: `libvirt-${target?.dev}-${name}` }))
        .toReversed()
      return target?.dev === undefined || bitmaps.length === 0 ? [] : [{ target: target.dev, bitmaps }]
    })
    .toReversed()
}

/** The disk of that name. @throws VIR_ERR_INTERNAL_ERROR */
function diskOf({ def }: QemuDomain, target: string): DiskDef {
  const disk = def.devices.disks.find(one => one.target?.dev === target)
  if (disk) return disk
  throw fail('VIR_ERR_INTERNAL_ERROR', `Can't find disk '${target}' in domain definition`)
}

/** Has the bitmaps go along with the migration, by the node and the name of each (qemuMigrationCookieBlockDirtyBitmapsToParams). */
function setMapping(domain: QemuDomain, settings: MigrationSettings, disks: { disk: DiskDef; sent: Sent[] }[]): void {
  const mapping = disks
    .filter(({ sent }) => sent.length > 0)
    .map(({ disk, sent }) => ({
      'node-name': effectiveNode(disk.source, domain.context.qemu),
      alias: disk.target!.dev,
      bitmaps: sent.map(({ name, alias, isMade }) => ({
        name,
        alias,
        ...(isMade && { transform: { persistent: true } })
      }))
    }))
  setBitmapMapping(settings, mapping)
}

/**
 * Has QEMU wait for the bitmaps of an offer that its images can keep (qemuMigrationDstPrepareAnyBlockDirtyBitmaps).
 * @returns those, for the answer
 * @throws VIR_ERR_INTERNAL_ERROR for a disk that is not there
 */
export async function takeBitmaps(
  domain: QemuDomain,
  settings: MigrationSettings,
  offered: readonly CookieBitmaps[]
): Promise<CookieBitmaps[]> {
  const disks = offered.map(({ target, bitmaps }) => ({ target, bitmaps, disk: diskOf(domain, target) }))
  const { nodes, qemu } = await known(domain)
  const taken = disks.flatMap(({ target, bitmaps, disk }) => {
    const node = effectiveNode(disk.source, qemu)
    const of = nodes.get(node)
    if (!of) throw fail('VIR_ERR_INTERNAL_ERROR', `failed to find data for block node '${node}'`)
    // only newer images of qcow2 keep any
    if (disk.source.format !== 'qcow2' || of.isQcow2V2) return []
    const there = new Set(of.bitmaps.map(({ name }) => name))
    return [{ target, disk, bitmaps: bitmaps.filter(({ name }) => !there.has(name)) }]
  })
  setMapping(
    domain,
    settings,
    taken.map(({ disk, bitmaps }) => ({ disk, sent: bitmaps }))
  )
  return taken.filter(({ bitmaps }) => bitmaps.length > 0).map(({ target, bitmaps }) => ({ target, bitmaps }))
}

/**
 * Has QEMU send the bitmaps that the other side takes (qemuMigrationSrcRunPrepareBlockDirtyBitmaps).
 * @param isShallow images below go along by other means; otherwise a chain becomes one image, and its bitmaps are merged
 *   into ones made for this, which dropTemporaryBitmaps takes away
 * @throws VIR_ERR_INTERNAL_ERROR for a disk that is not there, or with QEMU's words
 */
export async function sendBitmaps(
  domain: QemuDomain,
  settings: MigrationSettings,
  taken: readonly CookieBitmaps[],
  isShallow: boolean
): Promise<void> {
  const disks = taken.map(({ target, bitmaps }) => ({ disk: diskOf(domain, target), sent: bitmaps as Sent[] }))
  if (!isShallow) await mergeChains(domain, disks)
  setMapping(domain, settings, disks)
}

/** Puts bitmaps over whole chains in the place of those of the top images (…PrepareBlockDirtyBitmapsMerge). */
async function mergeChains(domain: QemuDomain, disks: { disk: DiskDef; sent: Sent[] }[]): Promise<void> {
  const images = await known(domain)
  const actions: Action[] = []
  const made: { node: string; name: string }[] = []
  for (const one of disks) {
    const chain = storageChain(one.disk.source)
    if (chain.length < 2) continue
    const node = effectiveNode(one.disk.source, images.qemu)
    one.sent = one.sent.map(({ name, alias }) => {
      const found = chain.map(image => ({ image, bitmap: findBitmap(images, image, name) }))
      const end = found.findIndex(({ bitmap }) => !bitmap)
      const parts = end < 0 ? found : found.slice(0, end)
      const granularity = parts[0]?.bitmap?.granularity
      const whole = `libvirt-migration-${alias}`
      actions.push(
        addBitmap(node, whole, {
          persistent: false,
          disabled: false,
          ...(granularity !== undefined && { granularity })
        }),
        mergeInto(
          node,
          whole,
          parts.map(({ image }) => ({ node: effectiveNode(image, images.qemu), name }))
        )
      )
      made.push({ node, name: whole })
      return { alias, name: whole, isMade: true }
    })
  }
  if (actions.length === 0) return
  domain.running.temporaryBitmaps = made
  domain.save()
  await domain.qmp.execute('transaction', { actions })
}

/** Takes away the bitmaps that were made for a migration, of a guest that stays (qemuMigrationSrcCancelRemoveTempBitmaps). */
export async function dropTemporaryBitmaps(domain: QemuDomain): Promise<void> {
  const { run } = domain
  if (!run || run.temporaryBitmaps.length === 0 || !domain.isActive) return
  for (const bitmap of run.temporaryBitmaps) {
    await domain.qmp
      .execute('block-dirty-bitmap-remove', bitmap)
      .catch(err => domain.log.debug({ err, ...bitmap }, 'a bitmap of a migration is gone already'))
  }
  run.temporaryBitmaps = []
  domain.save()
}
