import { spawnSync } from 'node:child_process'
import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { DomainDef } from '../../../../../src/conf/domain-def.ts'
import { storageChain } from '../../../../../src/conf/storage/chain.ts'
import {
  chooseTransientOverlays,
  makeTransientOverlay,
  removeTransientOverlay
} from '../../../../../src/drivers/qemu/device/disk/transient.ts'
import { define, errorOf } from '../../../../helper/definition.ts'

const removeOverlays = (def: DomainDef) => {
  for (const disk of def.devices.disks) removeTransientOverlay(disk, def)
}

const skip = spawnSync('qemu-img', ['--version']).status !== 0 && 'no qemu-img'

t.test('writes go to an overlay that is gone afterwards', { skip }, async t => {
  const image = join(t.testdir(), 'image')
  writeFileSync(image, Buffer.alloc(1024 * 1024))
  const xml = `<disk><source file='${image}'/><target dev='vda'/><transient/></disk>`
  const def = await define(xml)
  chooseTransientOverlays(def, () => 2)
  for (const disk of def.devices.disks) await makeTransientOverlay(disk, def, {})
  const overlay = `${image}.TRANSIENT-guest`
  t.ok(existsSync(overlay))
  t.same(
    storageChain(def.devices.disks[0]!.source).map(one => [one.type === 'file' && one.path, one.format]),
    [
      [overlay, 'qcow2'],
      [image, 'raw']
    ]
  )
  const other = await define(xml)
  t.match(
    await errorOf(async () => chooseTransientOverlays(other, () => 2)),
    /^VIR_ERR_OPERATION_UNSUPPORTED: .*already exists$/
  )
  removeOverlays(other)
  t.ok(existsSync(overlay), 'the overlay of another guest stays')
  removeOverlays(def)
  t.notOk(existsSync(overlay))
  t.ok(existsSync(image))
  t.equal(storageChain(def.devices.disks[0]!.source).length, 1, 'the disk is what it was')
  removeOverlays(def)
  t.ok(existsSync(image))
})

t.test('an overlay is not made through a link that somebody has laid', { skip }, async t => {
  const dir = t.testdir({ image: 'x'.repeat(512) })
  symlinkSync(join(dir, 'victim'), join(dir, 'image.TRANSIENT-guest'))
  const def = await define(`<disk><source file='${join(dir, 'image')}'/><target dev='vda'/><transient/></disk>`)
  chooseTransientOverlays(def, () => 2)
  t.match(await errorOf(() => makeTransientOverlay(def.devices.disks[0]!, def, {})), /^VIR_ERR_SYSTEM_ERROR: .*EEXIST/)
  t.notOk(existsSync(join(dir, 'victim')))
})
