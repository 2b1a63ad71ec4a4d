import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { storageChain } from '../../../../src/conf/storage/chain.ts'
import type { StorageSource } from '../../../../src/conf/storage/source.ts'
import { type Chains, determineDiskChains } from '../../../../src/drivers/qemu/block/chain.ts'
import { backingOf, probeFormat } from '../../../../src/drivers/qemu/block/image-header.ts'
import { define, errorOf, testContext } from '../../../helper/definition.ts'

/** A qcow2 header (version 3) of an image that stands on another. */
function qcow2(backing = '', format = ''): Buffer {
  const header = Buffer.alloc(1024)
  header.write('QFI\xfb', 'latin1')
  header.writeUInt32BE(3, 4)
  header.writeUInt32BE(104, 100)
  if (format) {
    header.writeUInt32BE(0xe2792aca, 104)
    header.writeUInt32BE(format.length, 108)
    header.write(format, 112)
  }
  if (backing) {
    header.writeBigUInt64BE(512n, 8)
    header.writeUInt32BE(backing.length, 16)
    header.write(backing, 512)
  }
  return header
}

function qed(backing: string, features: bigint): Buffer {
  const header = Buffer.alloc(512)
  header.write('QED\0')
  header.writeBigUInt64LE(features, 16)
  header.writeUInt32LE(100, 56)
  header.writeUInt32LE(backing.length, 60)
  header.write(backing, 100)
  return header
}

t.test('headers tell format and backing file', async t => {
  t.same(backingOf(qcow2('base', 'raw'), 'qcow2'), { name: 'base', format: 'raw' })
  t.same(backingOf(qcow2('base'), 'qcow2'), { name: 'base' })
  t.equal(backingOf(qcow2(), 'qcow2'), undefined)
  t.same(backingOf(qed('base', 5n), 'qed'), { name: 'base', format: 'raw' })
  t.equal(backingOf(qed('base', 0n), 'qed'), undefined)
  const vmdk = Buffer.alloc(2048)
  vmdk.write('KDMV')
  vmdk.write('parentFileNameHint="up.vmdk"', 0x200)
  t.same(backingOf(vmdk, 'vmdk'), { name: 'up.vmdk' })
  t.same([qcow2(), qed('', 0n), vmdk, Buffer.alloc(512), Buffer.alloc(0)].map(probeFormat), [
    'qcow2',
    'qed',
    'vmdk',
    'raw',
    'raw'
  ])
})

t.test('a header that points beyond itself is refused', async t => {
  const header = qcow2('base')
  header.writeBigUInt64BE(2n ** 40n, 8)
  t.throws(() => backingOf(header, 'qcow2'))
  header.writeBigUInt64BE(512n, 8)
  header.writeUInt32BE(5000, 16)
  t.throws(() => backingOf(header, 'qcow2'))
})

/** Numbers go on after that of the image the user has named. */
function chains(dropped: Chains['dropped'] = () => undefined): Chains {
  let node = 1
  return { context: testContext(), nextNode: () => ++node, dropped }
}

async function chainOf(directory: string, name: string): Promise<StorageSource[]> {
  const def = await define(
    `<disk><driver type='qcow2'/><source file='${join(directory, name)}'/><target dev='vda'/></disk>`
  )
  def.devices.disks[0]!.source.index = 1
  determineDiskChains(def, chains())
  return storageChain(def.devices.disks[0]!.source)
}

t.test('chains are read to their end', async t => {
  const directory = t.testdir()
  const put = (name: string, content: Buffer) => writeFileSync(join(directory, name), content)
  put('raw', Buffer.alloc(512))
  put('base', qcow2())
  put('middle', qcow2('raw', 'raw'))
  put('top', qcow2('middle', 'qcow2'))
  put('unsaid-raw', qcow2('raw'))
  put('unsaid-chain', qcow2('middle'))
  put('loop', qcow2('loop', 'qcow2'))
  put('lost', qcow2('nowhere', 'raw'))
  put('far', qcow2('nbd://host/e', 'raw'))

  const chain = await chainOf(directory, 'top')
  t.same(
    chain.map(image => [image.type === 'file' && image.path, image.format, image.index, image.detected]),
    [
      [join(directory, 'top'), 'qcow2', 1, undefined],
      [join(directory, 'middle'), 'qcow2', 2, true],
      [join(directory, 'raw'), 'raw', 3, true]
    ]
  )
  t.same(chain.at(-1)?.backingStore, { type: 'none', detected: true })
  t.equal((await chainOf(directory, 'unsaid-raw'))[1]?.format, 'raw')
  t.match((await chainOf(directory, 'far'))[1], {
    type: 'network',
    protocol: 'nbd',
    name: 'e',
    format: 'raw',
    index: 2
  })
  for (const [name, error] of [
    ['unsaid-chain', /format of backing image 'middle' of image .* was not specified/],
    ['loop', /is self-referential or too deeply nested/],
    ['lost', /Cannot access backing file .*nowhere.*: No such file or directory/],
    ['nothing', /Cannot access storage file .*nothing.*: No such file or directory/]
  ] as const)
    t.match(await errorOf(() => chainOf(directory, name)), error)
})

t.test('a medium that may be missing is dropped', async t => {
  const gone = "<source file='/nonexistent/image' startupPolicy='optional'/>"
  const def = await define(
    `<disk>${gone}<target dev='vda'/></disk><disk device='cdrom'>${gone}<target dev='hda'/></disk>`
  )
  const dropped: string[] = []
  determineDiskChains(
    def,
    chains(({ target }, path) => dropped.push(`${target?.dev} ${path}`))
  )
  t.same(dropped.sort(), ['hda /nonexistent/image', 'vda /nonexistent/image'])
  t.same(
    def.devices.disks.map(({ target, source, startupPolicy }) => [target?.dev, source, startupPolicy]),
    [['hda', { type: 'file' }, undefined]]
  )
})
