// Names of backing images: what QEMU is told of them, or the error, beside what libvirtd was seen to do with images
// of the same names (test/data/backing-names.json; `@` is the directory of the images).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { formatDomain } from '../../../../src/conf/domain-xml.ts'
import { VirError } from '../../../../src/conf/error.ts'
import { sourceOfName } from '../../../../src/drivers/qemu/block/backing-name.ts'
import { determineDiskChains } from '../../../../src/drivers/qemu/block/chain.ts'
import { buildCommand } from '../../../../src/drivers/qemu/command/index.ts'
import { checkStart, completeStart } from '../../../../src/drivers/qemu/definition/passes.ts'
import { usedBy } from '../../../../src/state/allocation.ts'
import { define, testContext } from '../../../helper/definition.ts'

interface Recorded {
  name: string
  /** of the backing image, as the header tells it */
  format?: string
  error?: string
  /** the lower node; null: QEMU is left to open the name */
  storage?: object | null
  /** the node of a part of it */
  slice?: object
  /** the upper node */
  layout?: object
}

const recorded = JSON.parse(readFileSync('test/data/backing-names.json', 'utf8')) as Recorded[]

/** A qcow2 header (version 3) with the name of a backing image. */
function imageOn(name: string, format = ''): Buffer {
  const header = Buffer.alloc(4096)
  header.write('QFI\xfb', 'latin1')
  header.writeUInt32BE(3, 4)
  header.writeUInt32BE(104, 100)
  if (format) {
    header.writeUInt32BE(0xe2792aca, 104)
    header.writeUInt32BE(format.length, 108)
    header.write(format, 112)
  }
  header.writeBigUInt64BE(512n, 8)
  header.writeUInt32BE(Buffer.byteLength(name), 16)
  header.write(name, 512)
  return header
}

/** The definition of a guest with that image, and its block nodes by name, as a start would have them. */
async function startOn(image: string) {
  const disk = `<disk type='file'><driver name='qemu' type='qcow2'/><source file='${image}'/><target dev='vda' bus='virtio'/></disk>`
  const def = await define(disk)
  let node = 0
  const nextNode = () => ++node
  const context = checkStart(def, testContext({ pretend: false, missing: ['blockjob.backing-mask-protocol'] }))
  completeStart(def, context, nextNode)
  determineDiskChains(def, { context, nextNode, dropped: () => undefined })
  const { argv } = buildCommand(def, context)
  const nodes = argv.flatMap((word, i) => (word === '-blockdev' ? [JSON.parse(argv[i + 1]!)] : []))
  return { def, nodes: new Map(nodes.map(({ 'node-name': name, ...props }) => [name, props])) }
}

t.test('names of all kinds, as libvirtd reads them', async t => {
  const dir = t.testdir({ 'raw.img': '', 'chain.qcow2': '' })
  mkdirSync(join(dir, 'sub'))
  writeFileSync(join(dir, 'chain.qcow2'), imageOn('raw.img', 'raw'))
  const top = join(dir, 'top.qcow2')
  const here = (text: string) => text.replaceAll('@/', `${dir}/`)
  for (const { name, format, error, storage, slice = {}, layout = {} } of recorded) {
    writeFileSync(top, imageOn(here(name), format))
    const answer = await startOn(top).catch((thrown: Error) => thrown)
    if (answer instanceof Error) {
      t.equal(answer.message, here(error ?? 'accepted'), name)
      continue
    }
    const { 'auto-read-only': _, discard: __, ...found } = answer.nodes.get('libvirt-2-storage') ?? {}
    t.same(found, JSON.parse(here(JSON.stringify(storage ?? error ?? {}))), name)
    t.match(answer.nodes.get('libvirt-2-slice-sto') ?? {}, slice, name)
    t.match(answer.nodes.get('libvirt-2-format') ?? {}, layout, name)
  }
  t.ok(recorded.length > 140)
})

t.test('what an image names is in the XML and among what the guest holds', async t => {
  const dir = t.testdir({ 'raw.img': '' })
  const xmlOf = async (name: string) => {
    writeFileSync(join(dir, 'top.qcow2'), imageOn(name, 'raw'))
    const { def } = await startOn(join(dir, 'top.qcow2'))
    const xml = formatDomain(def, { inactive: false })
    const held = usedBy(def).filter(({ kind }) => kind === 'disk')
    return { xml: /<backingStore.*<\/backingStore>/s.exec(xml)?.[0].replace(/\n\s*/g, ''), held }
  }
  const file = await xmlOf(`json:{"driver":"file","filename":"${dir}/raw.img"}`)
  t.equal(
    file.xml,
    `<backingStore type='file' index='2'><format type='raw'/><source file='${dir}/raw.img'/><backingStore/></backingStore>`
  )
  t.equal(file.held.length, 2)
  const far = await xmlOf('nbd://host:10810/e')
  t.equal(
    far.xml,
    "<backingStore type='network' index='2'><format type='raw'/><source protocol='nbd' name='e' tls='no'><host name='host' port='10810'/></source></backingStore>"
  )
  t.match(far.held[1], { key: /nbd:\/\/host.*\/e/, mode: 'shared' })
})

t.test("whatever an image names is a source, QEMU's affair or an error of ours", async t => {
  const part = fc.oneof(
    fc.constantFrom(
      'json:',
      '{',
      '}',
      '[',
      ']',
      '"',
      ':',
      ',',
      '.',
      '/',
      '//',
      '@',
      '\\',
      '=',
      '?',
      '#',
      '%',
      '+',
      '0'
    ),
    fc.constantFrom('driver', 'file', 'raw', 'nbd', 'rbd', 'server', 'host', 'type', 'unix', '__proto__', 'mon_host='),
    fc.string({ maxLength: 8 })
  )
  const names = fc.oneof(
    fc.array(part, { maxLength: 20 }).map(parts => parts.join('')),
    fc.json().map(json => `json:${json}`),
    fc
      .dictionary(
        fc.constantFrom('driver', 'file', 'file.driver', 'server.0.host', 'server', '__proto__'),
        fc.jsonValue()
      )
      .map(json => `json:${JSON.stringify(json)}`)
  )
  fc.assert(
    fc.property(names, name => {
      try {
        const source = sourceOfName(name)
        return source === undefined || typeof source.type === 'string'
      } catch (error) {
        return error instanceof VirError
      }
    }),
    { numRuns: 3000 }
  )
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
  t.throws(() => sourceOfName(`json:{"__proto__.polluted":1}`), VirError)
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
})

t.test('numbers keep their digits', async t => {
  const size = 2n ** 62n + 1n
  const source = sourceOfName(`json:{"driver":"raw","size":${size},"file":{"driver":"file","filename":"/x"}}`)
  t.same(source?.slice, { offset: 0n, size })
})
