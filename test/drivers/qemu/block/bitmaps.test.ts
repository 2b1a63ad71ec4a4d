import t from 'tap'
import type { StorageSource } from '../../../../src/conf/storage/source.ts'
import {
  type BlockBitmap,
  commitBitmaps,
  copyBitmaps,
  isBitmapWhole,
  type KnownImages,
  mergeBitmaps,
  overlayBitmaps,
  pullBitmaps,
  queryBlockNodes
} from '../../../../src/drivers/qemu/block/bitmaps.ts'
import { fakeQemu } from '../../../helper/definition.ts'

const bitmap = (name: string, given: Partial<BlockBitmap> = {}): BlockBitmap => ({
  name,
  count: 0,
  granularity: 65536,
  recording: true,
  persistent: true,
  ...given
})

/** A chain of images, the top first, each with its bitmaps; numbered from 1. */
function chain(...layers: BlockBitmap[][]): { known: KnownImages; images: StorageSource[] } {
  const images: StorageSource[] = layers.map((_, i) => ({ type: 'file', path: `/${i}`, format: 'qcow2', index: i + 1 }))
  for (const [i, image] of images.entries()) image.backingStore = images[i + 1] ?? { type: 'none' }
  const nodes = new Map(
    layers.map((bitmaps, i) => [`libvirt-${i + 1}-format`, { capacityBytes: 1, physicalBytes: 1, bitmaps }])
  )
  return { known: { nodes, qemu: fakeQemu() }, images }
}
const add = (
  layer: number,
  name: string,
  more: object = { persistent: true, disabled: false, granularity: 65536 }
) => ({
  type: 'block-dirty-bitmap-add',
  data: { node: `libvirt-${layer}-format`, name, ...more }
})
const merge = (layer: number, target: string, from: [layer: number, name: string][]) => ({
  type: 'block-dirty-bitmap-merge',
  data: {
    node: `libvirt-${layer}-format`,
    target,
    bitmaps: from.map(([layer, name]) => ({ node: `libvirt-${layer}-format`, name }))
  }
})
const remove = (layer: number, name: string) => ({
  type: 'block-dirty-bitmap-remove',
  data: { node: `libvirt-${layer}-format`, name }
})
const writes = 'libvirt-tmp-activewrite'

t.test('a bitmap is whole from the top on, without gaps, recorded and kept', async t => {
  const whole = (...layers: BlockBitmap[][]) => {
    const { known, images } = chain(...layers)
    return isBitmapWhole(known, images[0]!, 'a')
  }
  const a = bitmap('a')
  t.ok(whole([a]))
  t.ok(whole([a], [a], []))
  t.notOk(whole([], [a]), 'not at the top')
  t.notOk(whole([a], [], [a]), 'a gap')
  t.notOk(whole([bitmap('b')]), 'another')
  t.notOk(whole([a], [bitmap('a', { recording: false })]))
  t.notOk(whole([bitmap('a', { persistent: false })]))
  t.notOk(whole([bitmap('a', { inconsistent: true })]))
})

t.test('a backup merges into a bitmap that neither records nor stays', async t => {
  const { known, images } = chain([bitmap('a')], [bitmap('a'), bitmap('b')], [])
  const [top] = images
  const into = { persistent: false, disabled: true, granularity: 65536 }
  t.same(mergeBitmaps(known, { top: top!, target: top!, name: 'a', into: 'backup-vda' }), [
    add(1, 'backup-vda', into),
    merge(1, 'backup-vda', [
      [1, 'a'],
      [2, 'a']
    ])
  ])
  t.same(mergeBitmaps(known, { top: top!, target: top!, name: 'b', into: 'backup-vda' }), [], 'b is not whole')
})

t.test('jobs take the bitmaps of the layers that go into those that stay', async t => {
  const { known, images } = chain([bitmap('a'), bitmap('b')], [bitmap('a')], [])
  const [top, middle, base] = images as [StorageSource, StorageSource, StorageSource]
  t.same(pullBitmaps(known, top, base), [
    merge(1, 'a', [
      [1, 'a'],
      [2, 'a']
    ]),
    merge(1, 'b', [[1, 'b']])
  ])
  t.same(commitBitmaps(known, top, base, true), [
    add(3, 'a'),
    merge(3, 'a', [
      [1, 'a'],
      [2, 'a'],
      [3, writes]
    ]),
    add(3, 'b'),
    merge(3, 'b', [
      [1, 'b'],
      [3, writes]
    ]),
    remove(3, writes)
  ])
  t.same(commitBitmaps(known, middle, base, false), [add(3, 'a'), merge(3, 'a', [[2, 'a']])])
  t.same(commitBitmaps(known, top, { ...base, format: 'raw' }, true), [], 'raw images keep none')
  const mirror: StorageSource = { type: 'file', path: '/m', format: 'qcow2', index: 9 }
  t.same(copyBitmaps(known, top, mirror, true), [
    add(9, 'a'),
    merge(9, 'a', [
      [1, 'a'],
      [9, writes]
    ]),
    add(9, 'b'),
    merge(9, 'b', [
      [1, 'b'],
      [9, writes]
    ]),
    remove(9, writes)
  ])
  t.same(copyBitmaps(known, top, { ...mirror, format: 'raw' }, false), [])
})

t.test('an overlay goes on with the bitmaps that are in order', async t => {
  const below = [
    bitmap('a', { granularity: 512 }),
    bitmap('b', { inconsistent: true }),
    bitmap('c', { persistent: false }),
    bitmap('d', { recording: false })
  ]
  t.same(overlayBitmaps(below, 'libvirt-7-format'), [
    add(7, 'a', { persistent: true, disabled: false, granularity: 512 })
  ])
})

t.test('nodes are asked for with their bitmaps', async t => {
  const image = { 'virtual-size': 10, 'cluster-size': 5 }
  const answers = [
    { 'node-name': 'n', image: { ...image, 'actual-size': 3 }, 'dirty-bitmaps': [bitmap('a')] },
    { 'node-name': 'm', image: { 'virtual-size': 10 } },
    { image }
  ]
  const nodes = await queryBlockNodes({ execute: async <T>() => answers as T })
  t.same(
    [...nodes],
    [
      ['n', { capacityBytes: 10, physicalBytes: 3, clusterSizeBytes: 5, bitmaps: [bitmap('a')] }],
      ['m', { capacityBytes: 10, physicalBytes: 10, bitmaps: [] }]
    ]
  )
})
