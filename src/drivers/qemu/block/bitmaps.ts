// Bitmaps of changed blocks over a chain of images: what a checkpoint knows is in the bitmap of its name in the top image
// and in those of the same name in the images right below. Here is what of them is whole, and what QEMU is told to do with
// them where chains change. All are actions of one `transaction`, so that all or none happens.
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import { effectiveNode } from './nodes.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A bitmap of a block node (QEMU's BlockDirtyInfo). */
export interface BlockBitmap {
  name?: string
  /** bytes that are marked */
  count: number | bigint
  granularity: number | bigint
  recording: boolean
  persistent: boolean
  busy?: boolean
  /** its image was not closed properly: it tells nothing */
  inconsistent?: boolean
}

/** A snapshot inside of an image (QEMU's SnapshotInfo). */
export interface InternalSnapshot {
  name: string
  'vm-state-size': number | bigint
}

/** A block node's image, with its bitmaps (QEMU's BlockDeviceInfo). */
export interface BlockNode {
  capacityBytes: number | bigint
  physicalBytes: number | bigint
  clusterSizeBytes?: number | bigint
  /** an image of qcow2's older form, which keeps no bitmaps */
  isQcow2V2?: true
  extendedL2?: true
  snapshots?: InternalSnapshot[]
  bitmaps: BlockBitmap[]
}

/** The block nodes of a QEMU that runs, by name. */
export type BlockNodes = ReadonlyMap<string, BlockNode>

/** Images as a QEMU that runs has them. */
export interface KnownImages {
  nodes: BlockNodes
  qemu: Qemu
}

/** QEMU's word, of any shape. */
type Said = Readonly<Record<string, unknown>>

const isSaid = (value: unknown): value is Said => typeof value === 'object' && value !== null
const isSize = (value: unknown): value is number | bigint =>
  typeof value === 'bigint' ? value >= 0n : Number.isInteger(value) && (value as number) >= 0
const saidIn = (value: unknown): Said => (isSaid(value) ? value : {})
const listIn = (value: unknown): Said[] => (Array.isArray(value) ? value.filter(isSaid) : [])

const isBitmap = (entry: Said): entry is Said & BlockBitmap => {
  const { name, count, granularity } = entry
  return (name === undefined || typeof name === 'string') && isSize(count) && isSize(granularity)
}

const isSnapshot = (entry: Said): entry is Said & InternalSnapshot => {
  const { name, 'vm-state-size': size } = entry
  return typeof name === 'string' && isSize(size)
}

/** One node, undefined where it has no name (qemuMonitorJSONBlockGetNamedNodeDataWorker). @throws VIR_ERR_INTERNAL_ERROR */
function nodeIn(entry: unknown): [string, BlockNode] | undefined {
  const { 'node-name': name, image, 'dirty-bitmaps': bitmaps } = saidIn(entry)
  if (isSaid(entry) && name === undefined) return undefined
  const { 'virtual-size': capacityBytes, 'actual-size': actual, 'cluster-size': cluster, snapshots } = saidIn(image)
  if (typeof name !== 'string' || !isSize(capacityBytes)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'query-named-block-nodes entry was not in expected format')
  }
  const { type, data } = saidIn(saidIn(image)['format-specific'])
  const node: BlockNode = {
    capacityBytes,
    physicalBytes: isSize(actual) ? actual : capacityBytes,
    ...(isSize(cluster) && cluster && { clusterSizeBytes: cluster }),
    ...(type === 'qcow2' && saidIn(data).compat === '0.10' && { isQcow2V2: true }),
    ...(saidIn(data)['extended-l2'] === true && { extendedL2: true }),
    ...(snapshots !== undefined && { snapshots: listIn(snapshots).filter(isSnapshot) }),
    bitmaps: listIn(bitmaps).filter(isBitmap)
  }
  return [name, node]
}

/** Asks for all block nodes (qemuBlockGetNamedNodeData). @throws VIR_ERR_INTERNAL_ERROR for an answer of another form */
export async function queryBlockNodes(qmp: Pick<QmpMonitor, 'execute'>): Promise<BlockNodes> {
  const nodes = await qmp.execute<unknown>('query-named-block-nodes', { flat: true })
  if (!Array.isArray(nodes)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', "unexpected type returned by QEMU command 'query-named-block-nodes'")
  }
  return new Map(nodes.map(nodeIn).filter(node => node !== undefined))
}

/** A step of QEMU's `transaction`. */
export interface Action {
  type: string
  data: Readonly<Record<string, unknown>>
}

/** Holds what a guest writes between the end of a job and the merge of the bitmaps. */
const ACTIVE_WRITE = 'libvirt-tmp-activewrite'

interface NewBitmap {
  /** it is kept in the image */
  persistent: boolean
  /** it stays as it is */
  disabled: boolean
  /** bytes a bit stands for; absent: QEMU chooses */
  granularity?: number | bigint
}

export const addBitmap = (node: string, name: string, { persistent, disabled, granularity }: NewBitmap): Action => ({
  type: 'block-dirty-bitmap-add',
  data: { node, name, persistent, disabled, ...(granularity && { granularity }) }
})

export const removeBitmap = (node: string, name: string): Action => ({
  type: 'block-dirty-bitmap-remove',
  data: { node, name }
})

/** Adds what other bitmaps have marked to one. */
export const mergeInto = (node: string, target: string, bitmaps: { node: string; name: string }[]): Action => ({
  type: 'block-dirty-bitmap-merge',
  data: { node, target, bitmaps }
})

/** A bitmap of an image by its name (qemuBlockNamedNodeDataGetBitmapByName). */
export function findBitmap({ nodes, qemu }: KnownImages, image: StorageSource, name: string): BlockBitmap | undefined {
  return nodes.get(effectiveNode(image, qemu))?.bitmaps.find(bitmap => bitmap.name === name)
}

/**
 * True if the bitmaps of that name tell of all changes: they begin in the top image, leave none out, and each is recorded,
 * kept and in order (qemuBlockBitmapChainIsValid).
 */
export function isBitmapWhole(known: KnownImages, top: StorageSource, name: string): boolean {
  const bitmaps = storageChain(top).map(image => findBitmap(known, image, name))
  const end = bitmaps.indexOf(undefined)
  const [own, rest] = end < 0 ? [bitmaps, []] : [bitmaps.slice(0, end), bitmaps.slice(end)]
  const isInOrder = own.every(bitmap => bitmap?.persistent && bitmap.recording && !bitmap.inconsistent)
  return own.length > 0 && isInOrder && rest.every(bitmap => bitmap === undefined)
}

/** The layers from `top` down to, but without, `base`. */
function layers(top: StorageSource, base: StorageSource | undefined): StorageSource[] {
  const chain = storageChain(top)
  const end = base ? chain.indexOf(base) : -1
  return end < 0 ? chain : chain.slice(0, end)
}

interface Merge {
  top: StorageSource
  /** the layer below the last that is merged; absent: all are */
  base?: StorageSource | undefined
  /** the image whose bitmaps take the others in; it may be one of them */
  target: StorageSource
  /** the bitmap in question; absent: all that are whole */
  name?: string
  /** a bitmap made for the purpose, which neither records nor stays; absent: those of the same names, which do */
  into?: string
  /** the image with the bitmap of what was written meanwhile */
  writes?: StorageSource | undefined
}

/** Merges bitmaps over layers. Those that are not whole are left out (qemuBlockGetBitmapMergeActions). */
export function mergeBitmaps(known: KnownImages, { top, base, target, name, into, writes }: Merge): Action[] {
  const { nodes, qemu } = known
  const node = effectiveNode(target, qemu)
  const wholeNames = (nodes.get(effectiveNode(top, qemu))?.bitmaps ?? [])
    .flatMap(bitmap => bitmap.name ?? [])
    .filter(one => (name === undefined || one === name) && isBitmapWhole(known, top, one))
  const written = writes && { node: effectiveNode(writes, qemu), name: ACTIVE_WRITE }
  const actions = wholeNames.flatMap(one => {
    const found = layers(top, base).flatMap(image => {
      const bitmap = findBitmap(known, image, one)
      return bitmap ? [{ node: effectiveNode(image, qemu), granularity: bitmap.granularity }] : []
    })
    const isNew = into !== undefined || !findBitmap(known, target, one)
    const isOwn = into === undefined
    const granularity = found[0]?.granularity
    const made = { persistent: isOwn, disabled: !isOwn, ...(granularity !== undefined && { granularity }) }
    const sources = [...found.map(from => ({ node: from.node, name: one })), ...(written ? [written] : [])]
    return [...(isNew ? [addBitmap(node, into ?? one, made)] : []), mergeInto(node, into ?? one, sources)]
  })
  return [...actions, ...(written ? [removeBitmap(written.node, written.name)] : [])]
}

/**
 * Records what a guest writes from the end of a copy or an active commit on; to be told right before `job-complete`
 * (qemuBlockPivot).
 * @param image the mirror of a copy, the base of a commit
 */
export const recordWrites = ({ qemu }: Pick<KnownImages, 'qemu'>, image: StorageSource): Action =>
  addBitmap(effectiveNode(image, qemu), ACTIVE_WRITE, { persistent: false, disabled: false })

/** Forgets them: the job was given up (qemuBlockJobProcessEventFailedActiveCommit). */
export const forgetWrites = ({ qemu }: Pick<KnownImages, 'qemu'>, image: StorageSource): Action =>
  removeBitmap(effectiveNode(image, qemu), ACTIVE_WRITE)

/**
 * Bitmaps for the mirror of a copy that takes the disk's place (qemuBlockBitmapsHandleBlockcopy).
 * @param isShallow the mirror stands on what the source stands on
 */
export function copyBitmaps(
  known: KnownImages,
  source: StorageSource,
  mirror: StorageSource,
  isShallow: boolean
): Action[] {
  if (mirror.format === 'raw') return []
  const base = isShallow ? source.backingStore : undefined
  return mergeBitmaps(known, { top: source, base, target: mirror, writes: mirror })
}

/**
 * Bitmaps for the base of a commit that is over; an inactive one must be open for writing (qemuBlockBitmapsHandleCommitFinish).
 * @param isActive the disk's top image was committed
 */
export function commitBitmaps(
  known: KnownImages,
  top: StorageSource,
  base: StorageSource,
  isActive: boolean
): Action[] {
  if (base.format === 'raw') return []
  return mergeBitmaps(known, { top, base, target: base, writes: isActive ? base : undefined })
}

/** Bitmaps for an image that all down to the base was pulled into (qemuBlockJobProcessEventCompletedPullBitmaps). */
export const pullBitmaps = (known: KnownImages, top: StorageSource, base?: StorageSource): Action[] =>
  mergeBitmaps(known, { top, base, target: top })

/**
 * Bitmaps for a new top image: those of the one below go on there (qemuSnapshotDiskBitmapsPropagate). They stay in the
 * lower one too, which may become the top again.
 * @param overlay its node; QEMU refuses one that cannot keep bitmaps
 */
export const overlayBitmaps = (below: readonly BlockBitmap[], overlay: string): Action[] =>
  below.flatMap(({ name, persistent, recording, inconsistent, granularity }) =>
    name !== undefined && persistent && recording && !inconsistent
      ? [addBitmap(overlay, name, { persistent: true, disabled: false, granularity })]
      : []
  )
