// Which firmware a guest gets from descriptors of our own making, and the variable stores made for it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DEFAULT_CONFIG } from '../../../../src/drivers/qemu/context.ts'
import { parseDescriptor, readDescriptors } from '../../../../src/drivers/qemu/firmware/descriptors.ts'
import { makeNvram } from '../../../../src/drivers/qemu/firmware/nvram.ts'
import { argvOf, define, errorOf, type GuestOptions, testContext } from '../../../helper/definition.ts'

const flash = (name: string, mode = 'split') => ({
  device: 'flash',
  mode,
  executable: { filename: `/fw/${name}.fd`, format: 'raw' },
  ...(mode === 'split' && { 'nvram-template': { filename: `/fw/${name}.vars.fd`, format: 'raw' } })
})
const descriptor = (mapping: object, features: string[] = [], more = {}) => ({
  'interface-types': ['uefi'],
  mapping,
  targets: [{ architecture: 'x86_64', machines: ['pc-q35-*', 'pc-i440fx-?.?'] }],
  features,
  tags: [],
  ...more
})

const config = (t: { testdir(): string }, files: Record<string, object | ''>) => {
  const dir = t.testdir()
  for (const [name, content] of Object.entries(files)) {
    const path = join(dir, name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, content === '' ? '' : JSON.stringify(content))
  }
  return { ...DEFAULT_CONFIG, firmwareDirs: [join(dir, 'etc'), join(dir, 'usr')] }
}

const HOST = {
  'usr/40-keys.json': descriptor(flash('keys'), ['secure-boot', 'requires-smm', 'enrolled-keys', 'acpi-s3']),
  'usr/50-secure.json': descriptor(flash('secure'), ['secure-boot', 'requires-smm'], {
    targets: [{ architecture: 'x86_64', machines: ['pc-q35-*'] }]
  }),
  'usr/60-plain.json': descriptor(flash('plain'), ['amd-sev', 'something-new']),
  'usr/70-stateless.json': descriptor(flash('stateless', 'stateless')),
  'usr/80-bios.json': descriptor({ device: 'memory', filename: '/fw/bios.bin' }, [], { 'interface-types': ['bios'] })
}

t.test('the first that has what is asked for', async t => {
  const host = config(t, HOST)
  const efi = async (os: string, { features = '', ...options }: GuestOptions & { features?: string } = {}) => {
    const outside = `<features><acpi/>${features}</features>`
    const lines = await argvOf('', {
      machine: 'q35',
      outside,
      os,
      osAttributes: " firmware='efi'",
      config: host,
      ...options
    })
    return lines.join('\n')
  }
  const feature = (name: string, enabled: string) => `<feature name='${name}' enabled='${enabled}'/>`
  const firmware = (...features: string[]) => `<firmware>${features.join('')}</firmware>`

  const keys = await efi('')
  t.match(keys, /"filename":"\/fw\/keys.fd","node-name":"libvirt-pflash0-storage"/)
  t.match(keys, /"filename":"\/lib\/nvram\/guest_VARS.fd","node-name":"libvirt-pflash1-storage"/)
  t.match(keys, /-machine .*smm=on.*pflash0=libvirt-pflash0-format,pflash1=libvirt-pflash1-format/)
  t.match(keys, /-global driver=cfi.pflash01,property=secure,value=on/)
  t.match(await efi(firmware(feature('enrolled-keys', 'no'))), /\/fw\/secure.fd/)
  t.match(await efi(firmware(feature('enrolled-keys', 'no')), { machine: 'pc' }), /\/fw\/plain.fd/)
  const plain = await efi(firmware(feature('secure-boot', 'no')), { features: "<smm state='off'/>" })
  t.match(plain, /\/fw\/plain.fd/)
  t.notMatch(plain, /-global driver=cfi/)
  t.match(await efi('<nvram>/srv/vars</nvram>'), /"filename":"\/srv\/vars"/)
  const stateless = await efi("<loader stateless='yes'/>")
  t.match(stateless, /\/fw\/stateless.fd/)
  t.notMatch(stateless, /pflash1/)
  t.match(await efi('', { osAttributes: " firmware='bios'" }), /-bios \/fw\/bios.bin/)
  t.match(
    await errorOf(() => efi('', { features: "<smm state='off'/>" })),
    /OPERATION_INVALID: .*domain has SMM turned off but chosen firmware requires it/
  )
  t.match(
    await errorOf(() => efi('', { config: config(t, {}) })),
    /OPERATION_FAILED: .*Unable to find any firmware to satisfy 'efi'/
  )
})

t.test('files of one name hide each other, empty ones hide only', async t => {
  const found = (files: Record<string, object | ''>) =>
    readDescriptors(testContext({ config: config(t, files) })).map(({ mapping }) =>
      mapping.device === 'flash' ? mapping.executable.filename : mapping.filename
    )
  t.same(found({ 'usr/b.json': descriptor(flash('b')), 'etc/a.json': descriptor(flash('a')), 'usr/.x': '' }), [
    '/fw/a.fd',
    '/fw/b.fd'
  ])
  t.same(found({ 'usr/a.json': descriptor(flash('usr')), 'etc/a.json': descriptor(flash('etc')) }), ['/fw/etc.fd'])
  t.same(found({ 'usr/a.json': descriptor(flash('usr')), 'etc/a.json': '' }), [])
})

t.test('descriptors that are wrong', async t => {
  const cases: [doc: object, error: RegExp][] = [
    [{}, /failed to get interface-types from 'f'/],
    [descriptor({}, [], { 'interface-types': ['x'] }), /unknown interface type: 'x'/],
    [descriptor({}), /missing device type in 'f'/],
    [descriptor({ device: 'x' }), /unknown device type in 'f'/],
    [descriptor({ device: 'flash' }), /missing 'executable' in 'f'/],
    [descriptor(flash('a', 'x')), /Firmware flash mode value 'x' unexpected/],
    [descriptor({ ...flash('a'), 'nvram-template': undefined }), /missing 'nvram-template' in 'f'/],
    [descriptor({ device: 'memory' }), /missing 'filename' in 'f'/],
    [descriptor(flash('a'), [], { targets: [{}] }), /missing 'architecture' in 'f'/],
    [descriptor(flash('a'), [], { features: 1 }), /failed to get features from 'f'/]
  ]
  for (const [doc, error] of cases) t.match(await errorOf(() => parseDescriptor(JSON.stringify(doc), 'f')), error)
  t.match(await errorOf(() => parseDescriptor('{', 'f')), /INTERNAL_ERROR: .*unable to parse json file 'f'/)
})

t.test('the variable store is made from its template, once', async t => {
  const dir = t.testdir({ 'template.fd': 'new' })
  const store = join(dir, 'made', 'VARS.fd')
  const loader = (template: string) =>
    `<loader readonly='yes' type='pflash'>/fw/x.fd</loader><nvram${template}>${store}</nvram>`
  const guest = (template: string) =>
    define('', { machine: 'q35', outside: '<features><acpi/></features>', os: loader(template) })
  const templated = await guest(` template='${dir}/template.fd'`)
  t.match(
    await errorOf(async () => makeNvram(await guest(''))),
    /OPERATION_FAILED: .*master var store for loader: \/fw\/x/
  )
  t.notOk(existsSync(store))
  makeNvram(templated)
  t.equal(readFileSync(store, 'utf8'), 'new')
  writeFileSync(store, 'changed')
  makeNvram(templated)
  t.equal(readFileSync(store, 'utf8'), 'changed')
})
