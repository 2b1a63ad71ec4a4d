// Descriptors as distributions and administrators write them, and as they should not.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { DEFAULT_CONFIG } from '../../../../src/drivers/qemu/context.ts'
import { matchesMachine } from '../../../../src/drivers/qemu/firmware/choose.ts'
import { parseDescriptor, readDescriptors } from '../../../../src/drivers/qemu/firmware/descriptors.ts'
import { errorOf } from '../../../helper/definition.ts'

const FLASH = {
  executable: { filename: '/c.fd', format: 'raw' },
  'nvram-template': { filename: '/v.fd', format: 'qcow2' }
}
const GOOD = {
  'interface-types': ['uefi', 'bios'],
  mapping: { device: 'flash', ...FLASH },
  targets: [{ architecture: 'i386', machines: ['pc-q35-*'] }],
  features: ['acpi-s3']
}
const parse = (more: object, without?: keyof typeof GOOD) => {
  const doc = { ...GOOD, ...more }
  if (without) delete (doc as Partial<typeof GOOD>)[without]
  return parseDescriptor(JSON.stringify(doc), '/d.json')
}

t.test('what is read', async t => {
  t.same(parse({}), {
    interfaces: ['uefi', 'bios'],
    mapping: {
      device: 'flash',
      mode: 'split',
      executable: { filename: '/c.fd', format: 'raw' },
      nvramTemplate: { filename: '/v.fd', format: 'qcow2' }
    },
    targets: [{ arch: 'i686', machines: ['pc-q35-*'] }],
    features: new Set(['acpi-s3'])
  })
  const { executable } = FLASH
  for (const [mapping, expected] of [
    [
      { device: 'flash', mode: 'stateless', executable },
      { device: 'flash', mode: 'stateless', executable }
    ],
    [
      { device: 'flash', mode: 'combined', executable },
      { device: 'flash', mode: 'combined', executable }
    ],
    [
      { device: 'memory', filename: '/b.bin' },
      { device: 'memory', filename: '/b.bin' }
    ],
    [
      { device: 'kernel', filename: '/k' },
      { device: 'kernel', filename: '/k' }
    ]
  ] as const) {
    t.same(parse({ mapping }).mapping, expected)
  }
})

t.test('what is refused, with libvirt’s words', async t => {
  const of = (mapping: unknown) => ({ mapping })
  for (const [work, message] of [
    [() => parseDescriptor('{', '/d.json'), "unable to parse json file '/d.json'"],
    [() => parseDescriptor('[]', '/d.json'), "failed to get interface-types from '/d.json'"],
    [() => parseDescriptor('null', '/d.json'), "failed to get interface-types from '/d.json'"],
    [() => parse({}, 'interface-types'), "failed to get interface-types from '/d.json'"],
    [() => parse({ 'interface-types': ['x'] }), "unknown interface type: 'x'"],
    [() => parse({}, 'mapping'), "missing mapping in '/d.json'"],
    [() => parse(of(null)), "missing device type in '/d.json'"],
    [() => parse(of({ device: 7 })), "missing device type in '/d.json'"],
    [() => parse(of({ device: 'x' })), "unknown device type in '/d.json'"],
    [() => parse(of({ device: 'flash' })), "missing 'executable' in '/d.json'"],
    [() => parse(of({ device: 'flash', executable: {} })), "missing 'filename' in '/d.json'"],
    [() => parse(of({ device: 'flash', executable: { filename: '/a' } })), "missing 'format' in '/d.json'"],
    [() => parse(of({ device: 'flash', executable: FLASH.executable })), "missing 'nvram-template' in '/d.json'"],
    [() => parse(of({ device: 'flash', mode: 'x', ...FLASH })), "Firmware flash mode value 'x' unexpected"],
    [() => parse(of({ device: 'memory' })), "missing 'filename' in '/d.json'"],
    [() => parse({}, 'targets'), "failed to get targets from '/d.json'"],
    [() => parse({ targets: [{}] }), "missing 'architecture' in '/d.json'"],
    [() => parse({ targets: [{ architecture: 'x' }] }), "unknown architecture 'x'"],
    [() => parse({ targets: [{ architecture: 'x86_64' }] }), "missing 'machines' in '/d.json'"],
    [() => parse({}, 'features'), "failed to get features from '/d.json'"]
  ] as const) {
    t.equal(await errorOf(work), `VIR_ERR_INTERNAL_ERROR: internal error: ${message}`)
  }
})

t.test('machines by pattern', async t => {
  const targets = (...machines: string[]) => parse({ targets: [{ architecture: 'x86_64', machines }] })
  for (const [pattern, machine, fits] of [
    ['pc-q35-*', 'pc-q35-7.2', true],
    ['pc-q35-*', 'pc-i440fx-7.2', false],
    ['pc-q35-?.2', 'pc-q35-7.2', true],
    ['pc-q35-?.2', 'pc-q35-10.2', false],
    ['pc.q35', 'pc-q35', false],
    ['*', '', true],
    ['', 'pc', false],
    ['(a', '(a', true]
  ] as const) {
    t.equal(matchesMachine(targets(pattern), 'x86_64', machine), fits, `${pattern} ${machine}`)
  }
  t.equal(matchesMachine(targets('*'), 'aarch64', 'virt'), false, 'of another architecture')
})

t.test('directories: files hide others of their name, empty ones hide them for good', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-descriptors-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const [admin, system] = [join(dir, 'etc'), join(dir, 'usr')]
  for (const made of [admin, system, join(system, '60-directory.json')]) mkdirSync(made)
  const write = (file: string, filename: string) =>
    writeFileSync(file, JSON.stringify({ ...GOOD, mapping: { device: 'memory', filename } }))
  write(join(system, '50-a.json'), '/usr/a')
  write(join(system, '40-b.json'), '/usr/b')
  write(join(system, '30-c.json'), '/usr/c')
  write(join(system, '.hidden.json'), '/usr/hidden')
  write(join(admin, '50-a.json'), '/etc/a')
  write(join(admin, '10-d.json'), '/etc/d')
  writeFileSync(join(admin, '30-c.json'), '')
  const read = (...firmwareDirs: string[]) =>
    readDescriptors({ config: { ...DEFAULT_CONFIG, firmwareDirs }, privileged: true }).map(({ mapping }) =>
      'filename' in mapping ? mapping.filename : ''
    )
  t.same(read(admin, system), ['/etc/d', '/usr/b', '/etc/a'])
  t.same(read(system), ['/usr/c', '/usr/b', '/usr/a'])
  t.same(read(join(dir, 'absent')), [])
  writeFileSync(join(admin, '10-d.json'), '{')
  t.same(read(admin, system), ['/usr/b', '/etc/a'], 'one of another form only hides')
  writeFileSync(join(admin, '10-d.json'), JSON.stringify({ ...GOOD, description: ' '.repeat(1024 ** 2) }))
  t.same(read(admin, system), ['/usr/b', '/etc/a'], 'nor does one that is too long')
})
