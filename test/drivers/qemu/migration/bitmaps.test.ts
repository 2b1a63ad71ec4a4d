import t from 'tap'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { Run } from '../../../../src/drivers/qemu/domain/run.ts'
import {
  dropTemporaryBitmaps,
  offeredBitmaps,
  sendBitmaps,
  takeBitmaps
} from '../../../../src/drivers/qemu/migration/bitmaps.ts'
import { settingsFor } from '../../../../src/drivers/qemu/migration/params.ts'
import { define, testContext } from '../../../helper/definition.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const disk = (name: string, format = 'qcow2') =>
  `<disk type='file'><driver type='${format}'/><source file='/${name}'/><target dev='${name}'/></disk>`

const DISKS = disk('vda') + disk('vdb') + disk('vdc', 'raw')

interface Bitmap {
  name: string
  granularity?: number
  recording?: boolean
}

const kept = ({ name, granularity = 65536, recording = true }: Bitmap) => ({
  ...{ name, granularity, recording, persistent: true, count: 0 }
})

/** A guest with these bitmaps in its nodes; an image of qcow2's first form where the name ends in `!`. */
async function guest(nodes: Record<string, Bitmap[]>, refused: string[] = []) {
  const def = await define(DISKS)
  def.devices.disks.forEach(({ source }, i) => {
    source.index = i + 1
  })
  // vdb stands on another image
  const [, vdb] = def.devices.disks
  vdb!.source.backingStore = { type: 'file', format: 'qcow2', path: '/base', index: 9 } as never
  const orders: [command: string, args: unknown][] = []
  const saved: number[] = []
  const execute = async (command: string, args: unknown) => {
    if (command !== 'query-named-block-nodes') orders.push([command, args])
    if (refused.includes(command)) throw new Error('QEMU refuses')
    return Object.entries(nodes).map(([name, bitmaps]) => ({
      'node-name': name.replace('!', ''),
      image: {
        'virtual-size': 7,
        'format-specific': { type: 'qcow2', data: { compat: name.endsWith('!') ? '0.10' : '1.1' } }
      },
      'dirty-bitmaps': bitmaps.map(kept)
    }))
  }
  const context = testContext()
  const run = new Run(context)
  const save = () => saved.push(run.temporaryBitmaps.length)
  const log = { debug() {} }
  const domain = {
    def,
    context,
    qmp: { execute },
    run,
    running: run,
    save,
    log,
    isActive: true
  } as unknown as QemuDomain
  return { domain, orders, saved, run }
}

const TOP = {
  'libvirt-1-format': [{ name: 'c2' }, { name: 'c1' }],
  'libvirt-2-format': [{ name: 'c1', granularity: 512 }]
}
const OFFER = [
  { target: 'vdb', bitmaps: [{ name: 'c1', alias: 'libvirt-vdb-c1' }] },
  {
    target: 'vda',
    bitmaps: [
      { name: 'c1', alias: 'libvirt-vda-c1' },
      { name: 'c2', alias: 'libvirt-vda-c2' }
    ]
  }
]

t.test('those that are whole are offered, of disks that are copied', async t => {
  const { domain } = await guest(TOP)
  t.same(await offeredBitmaps(domain, () => true), OFFER)
  t.same(await offeredBitmaps(domain, ({ target }) => target?.dev === 'vda'), OFFER.slice(1))
  const broken = await guest({ 'libvirt-1-format': [{ name: 'c1', recording: false }] })
  t.same(await offeredBitmaps(broken.domain, () => true), [])
})

const mapped = (node: string, alias: string, bitmaps: object[]) => ({ 'node-name': node, alias, bitmaps })

t.test('those that can be kept are taken', async t => {
  const empty = { 'libvirt-1-format': [], 'libvirt-2-format': [], 'libvirt-3-format': [], 'libvirt-3-storage': [] }
  const settings = settingsFor({}, 0, 'destination')
  const { domain } = await guest(empty)
  t.same(await takeBitmaps(domain, settings, OFFER), OFFER)
  t.same(settings.bitmapMapping, [
    mapped('libvirt-2-format', 'vdb', OFFER[0]!.bitmaps),
    mapped('libvirt-1-format', 'vda', OFFER[1]!.bitmaps)
  ])
  t.ok(settings.capabilities.has('dirty-bitmaps'))
})

t.test('not into those that are there, nor into images that keep none', async t => {
  const nodes = { 'libvirt-1-format': [{ name: 'c1' }], 'libvirt-2-format!': [], 'libvirt-3-storage': [] }
  const { domain } = await guest(nodes)
  const settings = settingsFor({}, 0, 'destination')
  const raw = { target: 'vdc', bitmaps: [{ name: 'c1', alias: 'x' }] }
  t.same(await takeBitmaps(domain, settings, [...OFFER, raw]), [
    { target: 'vda', bitmaps: [{ name: 'c2', alias: 'libvirt-vda-c2' }] }
  ])
  const none = await takeBitmaps(domain, settings, OFFER.slice(0, 1))
  t.same(none, [])
  t.equal(settings.bitmapMapping, undefined)
  t.notOk(settings.capabilities.has('dirty-bitmaps'))
  const elsewhere = [{ target: 'vdx', bitmaps: [] }]
  t.match(await failureOf(() => takeBitmaps(domain, settings, elsewhere)), "Can't find disk 'vdx' in domain definition")
  const lost = await guest({})
  t.match(
    await failureOf(() => takeBitmaps(lost.domain, settings, OFFER)),
    "failed to find data for block node 'libvirt-2-format'"
  )
})

t.test('they are sent as they are where the chain goes along', async t => {
  const { domain, orders } = await guest(TOP)
  const settings = settingsFor({}, 0, 'source')
  await sendBitmaps(domain, settings, OFFER, true)
  t.same(settings.bitmapMapping, [
    mapped('libvirt-2-format', 'vdb', [{ name: 'c1', alias: 'libvirt-vdb-c1' }]),
    mapped('libvirt-1-format', 'vda', OFFER[1]!.bitmaps)
  ])
  t.same(orders, [])
})

t.test('those of a chain that becomes one image are merged', async t => {
  const nodes = { ...TOP, 'libvirt-9-format': [{ name: 'c1' }] }
  const { domain, orders, saved, run } = await guest(nodes)
  const settings = settingsFor({}, 0, 'source')
  await sendBitmaps(domain, settings, OFFER, false)
  const whole = 'libvirt-migration-libvirt-vdb-c1'
  t.same(orders.splice(0), [
    [
      'transaction',
      {
        actions: [
          {
            type: 'block-dirty-bitmap-add',
            data: { node: 'libvirt-2-format', name: whole, persistent: false, disabled: false, granularity: 512 }
          },
          {
            type: 'block-dirty-bitmap-merge',
            data: {
              node: 'libvirt-2-format',
              target: whole,
              bitmaps: [
                { node: 'libvirt-2-format', name: 'c1' },
                { node: 'libvirt-9-format', name: 'c1' }
              ]
            }
          }
        ]
      }
    ]
  ])
  t.same(settings.bitmapMapping?.[0], {
    'node-name': 'libvirt-2-format',
    alias: 'vdb',
    bitmaps: [{ name: whole, alias: 'libvirt-vdb-c1', transform: { persistent: true } }]
  })
  t.same(saved, [1], 'the next shim knows of it before QEMU does')
  await dropTemporaryBitmaps(domain)
  t.same(orders.splice(0), [['block-dirty-bitmap-remove', { node: 'libvirt-2-format', name: whole }]])
  t.same(run.temporaryBitmaps, [])
  await dropTemporaryBitmaps(domain)
  t.same(orders, [])
})

t.test('one that is gone is no trouble', async t => {
  const { domain, run } = await guest(TOP, ['block-dirty-bitmap-remove'])
  run.temporaryBitmaps = [{ node: 'n', name: 'b' }]
  await dropTemporaryBitmaps(domain)
  t.same(run.temporaryBitmaps, [])
})
