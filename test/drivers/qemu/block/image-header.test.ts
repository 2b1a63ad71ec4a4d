// Headers of images nobody vouches for: cut short, lying about their parts, pointing at themselves.
import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import type { StorageFormat } from '../../../../src/conf/storage/source.ts'
import { determineDiskChains } from '../../../../src/drivers/qemu/block/chain.ts'
import { backingOf, capacityOf, dataFileOf, probeFormat } from '../../../../src/drivers/qemu/block/image-header.ts'
import { define, errorOf, testContext } from '../../../helper/definition.ts'

fc.configureGlobal({ seed: 20_230_101 })

type Field = [at: number, value: number | bigint | string]

/** A header of that size with big-endian numbers and texts at places. */
function header(size: number, ...fields: Field[]): Buffer {
  const bytes = Buffer.alloc(size)
  for (const [at, value] of fields) {
    if (typeof value === 'string') bytes.write(value, at, 'latin1')
    else if (typeof value === 'bigint') bytes.writeBigUInt64BE(value, at)
    else bytes.writeUInt32BE(value, at)
  }
  return bytes
}

const MAGIC: Field = [0, 'QFI\xfb']
const qcow2 = (...fields: Field[]) => header(1024, MAGIC, [4, 3], [100, 104], ...fields)
const onBase: Field[] = [
  [8, 512n],
  [16, 4],
  [512, 'base']
]

t.test('signatures', async t => {
  const little = (size: number, at: number, value: number) => {
    const bytes = Buffer.alloc(size)
    bytes.writeUInt32LE(value, at)
    return bytes
  }
  const cases: [StorageFormat, Buffer][] = [
    ['qcow2', header(8, MAGIC, [4, 2])],
    ['qcow2', header(8, MAGIC, [4, 9])],
    ['qcow', header(8, MAGIC, [4, 1])],
    ['raw', header(8, MAGIC, [4, 0])],
    ['raw', header(7, MAGIC)],
    ['qed', header(64, [0, 'QED\0'])],
    ['vmdk', header(64, [0, 'KDMV'])],
    ['vpc', header(64, [0, 'conectix'])],
    ['vhd', header(64, [0, 'vhdxfile'])],
    ['vdi', little(68, 64, 0xbeda107f)],
    ['raw', little(68, 64, 0xbeda107f).subarray(0, 67)],
    ['raw', Buffer.alloc(0)],
    ['raw', Buffer.alloc(4096, 0xff)]
  ]
  for (const [format, bytes] of cases) t.equal(probeFormat(bytes), format)
})

t.test('sizes', async t => {
  t.equal(capacityOf(qcow2([24, 5n]), 'qcow2'), 5n)
  t.equal(capacityOf(qcow2([24, 2n ** 64n - 1n]), 'qcow2'), 2n ** 64n - 1n)
  t.equal(capacityOf(qcow2([24, 5n]), 'qed'), undefined, 'of another format')
  t.equal(capacityOf(header(16, MAGIC, [4, 3]), 'qcow2'), undefined, 'cut short')
  t.equal(capacityOf(Buffer.alloc(512), 'raw'), undefined)
})

t.test('what stands below', async t => {
  const cases: [Buffer, StorageFormat, { name: string; format?: StorageFormat } | undefined][] = [
    [qcow2(), 'qcow2', undefined],
    [qcow2(...onBase), 'qcow2', { name: 'base' }],
    [qcow2(...onBase), 'raw', undefined],
    [qcow2(...onBase), 'qed', undefined],
    [qcow2(...onBase, [104, 0xe2792aca], [108, 3], [112, 'raw']), 'qcow2', { name: 'base', format: 'raw' }],
    // another extension comes first, padded to 8 bytes
    [
      qcow2(...onBase, [104, 0x6803f857], [108, 3], [120, 0xe2792aca], [124, 5], [128, 'qcow2']),
      'qcow2',
      { name: 'base', format: 'qcow2' }
    ],
    // behind the end of extensions nothing counts
    [qcow2(...onBase, [104, 0], [112, 0xe2792aca], [116, 3], [120, 'raw']), 'qcow2', { name: 'base' }],
    [header(256, MAGIC, [4, 2], [8, 128n], [16, 4], [128, 'base']), 'qcow2', { name: 'base' }],
    [header(256, MAGIC, [4, 1], [8, 128n], [16, 4], [128, 'base']), 'qcow', { name: 'base' }],
    [qcow2([8, 512n], [16, 9], [512, 'base\0junk']), 'qcow2', { name: 'base' }],
    [qcow2([8, 512n], [16, 4]), 'qcow2', undefined],
    [qcow2([8, 0n], [16, 4]), 'qcow2', undefined],
    [header(1024, [0, 'KDMV'], [512, 'parentFileNameHint="base.vmdk"']), 'vmdk', { name: 'base.vmdk' }],
    [header(1024, [0, 'KDMV'], [512, 'parentFileNameHint=""']), 'vmdk', undefined]
  ]
  for (const [bytes, format, backing] of cases) t.same(backingOf(bytes, format), backing)
})

t.test('headers that contradict themselves are refused', async t => {
  for (const [what, bytes] of [
    ['a name beyond the header', qcow2([8, 1022n], [16, 4])],
    ['a name beyond all files', qcow2([8, 2n ** 64n - 1n], [16, 4])],
    ['a name longer than names are', qcow2([8, 512n], [16, 1024])],
    ['a name of 4 GiB', qcow2([8, 512n], [16, 0xffff_ffff])],
    ['a format beyond the header', qcow2(...onBase, [104, 0xe2792aca], [108, 0xffff_fff0])],
    ['a header cut short', header(12, MAGIC, [4, 3])]
  ] as const) {
    t.throws(() => backingOf(bytes, 'qcow2'), what)
  }
})

t.test('any bytes are read in no time', async t => {
  const formats = ['qcow', 'qcow2', 'qed', 'vmdk', 'vpc', 'vdi'] as const
  const starts = [[MAGIC, [4, 3] as Field], [MAGIC, [4, 1] as Field], [[0, 'QED\0'] as Field], [[0, 'KDMV'] as Field]]
  fc.assert(
    fc.property(fc.constantFrom(...starts), fc.uint8Array({ minLength: 8, maxLength: 600 }), (start, rest) => {
      const bytes = header(600, ...start)
      bytes.set(rest.subarray(8), 8)
      for (const format of formats) {
        capacityOf(bytes, format)
        try {
          const backing = backingOf(bytes.subarray(0, rest.length), format)
          if (backing && (backing.name === '' || backing.name.includes('\0'))) return false
        } catch (error) {
          if (!(error instanceof Error)) return false
        }
      }
      return true
    }),
    { numRuns: 1000 }
  )
  t.pass('and give a name or none, or are refused')
})

const CHAINS = { context: testContext(), nextNode: () => 2, dropped: () => undefined }

/** What a guest with that image for a disk says before it starts. */
async function chainError(path: string): Promise<string> {
  const def = await define(
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='vda' bus='virtio'/></disk>`
  )
  return errorOf(() => determineDiskChains(def, CHAINS))
}

const standingOn = (name: string) => qcow2([8, 512n], [16, name.length], [512, name])

t.test('files of all kinds below an image', async t => {
  const dir = t.testdir({
    'on-self.qcow2': standingOn('on-self.qcow2'),
    'a.qcow2': standingOn('b.qcow2'),
    'cut.qcow2': header(12, MAGIC, [4, 3]),
    'on-cut.qcow2': standingOn('cut.qcow2'),
    'on-directory.qcow2': standingOn('directory'),
    'on-pipe.qcow2': standingOn('pipe'),
    'on-loop.qcow2': standingOn('loop'),
    'on-nothing.qcow2': standingOn('nosuch'),
    'on-nul.qcow2': standingOn('raw\0/etc/passwd'),
    'on-uri.qcow2': standingOn('nbd://host/export'),
    'on-json.qcow2': standingOn('json:{"driver":"null-co"}'),
    raw: ''
  })
  mkdirSync(`${dir}/directory`)
  symlinkSync('loop', `${dir}/loop`)
  execFileSync('mkfifo', [`${dir}/pipe`])
  writeFileSync(`${dir}/b.qcow2`, standingOn('a.qcow2'))
  for (const [name, error] of [
    ['on-self', 'VIR_ERR_OPERATION_INVALID'],
    ['a', 'VIR_ERR_OPERATION_INVALID'],
    ['on-cut', `VIR_ERR_INTERNAL_ERROR: internal error: cannot read the header of '${dir}/cut.qcow2'`],
    [
      'on-directory',
      "VIR_ERR_OPERATION_INVALID: Requested operation is not valid: format of backing image 'directory'"
    ],
    ['on-loop', 'VIR_ERR_SYSTEM_ERROR'],
    [
      'on-nothing',
      `Cannot access backing file '${dir}/nosuch' of storage file '${dir}/on-nothing.qcow2': No such file`
    ],
    // nobody is waited for at its other end
    ['on-pipe', `VIR_ERR_INTERNAL_ERROR: internal error: cannot read the header of '${dir}/pipe'`],
    ['on-nul', 'accepted'],
    // whose format is not told and cannot be looked for
    ['on-uri', 'VIR_ERR_OPERATION_INVALID'],
    [
      'on-json',
      "VIR_ERR_INTERNAL_ERROR: internal error: missing parser implementation for JSON backing volume driver 'null-co'"
    ]
  ] as const) {
    t.match(await chainError(`${dir}/${name}.qcow2`), error, name)
  }
})

t.test('an image with its format told may not come back to itself either', async t => {
  const format: Field[] = [
    [104, 0xe2792aca],
    [108, 5],
    [112, 'qcow2']
  ]
  const on = (name: string) => qcow2([8, 512n], [16, name.length], [512, name], ...format)
  const dir = t.testdir({ 'a.qcow2': on('b.qcow2'), 'b.qcow2': on('a.qcow2'), 'self.qcow2': on('self.qcow2') })
  for (const name of ['a', 'self']) {
    t.match(await chainError(`${dir}/${name}.qcow2`), 'is self-referential or too deeply nested', name)
  }
})

t.test('an image that keeps its data elsewhere is refused, wherever in the chain it stands', async t => {
  const dir = t.testdir({})
  const make = (name: string, ...options: string[]) => {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', ...options, `${dir}/${name}`, '1M'])
    return `${dir}/${name}`
  }
  writeFileSync(`${dir}/secret`, 'secret')
  const lying = make('lying', '-o', `data_file=${dir}/secret,data_file_raw=on`)
  const above = make('above', '-b', lying, '-F', 'qcow2')
  const plain = make('plain')
  const image = (path: string, below = '') =>
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/>${below}<target dev='vda' bus='virtio'/></disk>`
  const refused = `VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: image '${lying}' has its data in another file, '${dir}/secret', which the definition does not name`
  const named = `<backingStore type='file'><format type='qcow2'/><source file='${lying}'/><backingStore type='file'><format type='raw'/><source file='${dir}/secret'/><backingStore/></backingStore></backingStore>`
  const withStore = (xml: string) =>
    xml.replace(
      /(<source file='[^']*')\/>/,
      `$1><dataStore type='file'><format type='raw'/><source file='${dir}/mine'/></dataStore></source>`
    )
  const cases: [string, string][] = [
    [image(plain), 'accepted'],
    [image(lying), refused],
    [image(above), refused],
    [image(plain, named), refused],
    [image(lying).replace("type='qcow2'", "type='raw'"), 'accepted'],
    [withStore(image(lying)), 'accepted'],
    [withStore(image(plain)), 'accepted'],
    [image(plain, withStore(named)), 'accepted'],
    [withStore(image(above)), refused]
  ]
  for (const [xml, answer] of cases) {
    const def = await define(xml)
    t.equal(await errorOf(() => determineDiskChains(def, CHAINS)), answer)
  }
  const bit = 4n
  const bare = header(1024, MAGIC, [4, 3], [72, bit], [100, 104])
  t.equal(dataFileOf(bare), '', 'a header that does not name the file')
  t.equal(dataFileOf(bare.subarray(0, 90)), undefined, 'cut short')
  t.equal(dataFileOf(header(1024, MAGIC, [4, 2], [72, bit])), undefined, 'version 2 has no such bit')
})
