// Which firmware a guest gets from descriptors of our own making, and the variable stores made for it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { formatDomain } from '../../../../src/conf/domain-xml.ts'
import { DEFAULT_CONFIG } from '../../../../src/drivers/qemu/context.ts'
import { loadDomain, prepareNative } from '../../../../src/drivers/qemu/definition/passes.ts'
import { matchesDomain } from '../../../../src/drivers/qemu/firmware/choose.ts'
import { parseDescriptor, readDescriptors } from '../../../../src/drivers/qemu/firmware/descriptors.ts'
import { makeNvram } from '../../../../src/drivers/qemu/firmware/nvram.ts'
import { argvOf, define, errorOf, type GuestOptions, guestXml, testContext } from '../../../helper/definition.ts'

const flash = (name: string, mode = 'split', format = 'raw') => ({
  device: 'flash',
  mode,
  executable: { filename: `/fw/${name}.fd`, format },
  ...(mode === 'split' && { 'nvram-template': { filename: `/fw/${name}.vars.fd`, format } })
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
  'usr/65-qcow2.json': descriptor(flash('qcow2', 'split', 'qcow2'), ['amd-sev', 'amd-sev-es']),
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
  t.match(keys, /-machine .*smm=on.*pflash0=libvirt-pflash0-format,pflash1=libvirt-pflash1-storage/)
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
  t.match(await efi('', { features: "<smm state='off'/>" }), /\/fw\/plain.fd/, 'firmware that needs no SMM')
  t.match(
    await errorOf(() => efi('', { config: config(t, {}) })),
    /OPERATION_FAILED: .*Unable to find 'efi' firmware that is compatible with the current configuration/
  )
})

const KEYS =
  "<firmware><feature enabled='yes' name='enrolled-keys'/><feature enabled='yes' name='secure-boot'/></firmware>"
const PLAIN =
  "<firmware><feature enabled='no' name='enrolled-keys'/><feature enabled='no' name='secure-boot'/></firmware>"
const NBD = "<source protocol='nbd' name='v'><host name='h' port='1'/></source>"
const filled = (name: string, { format = 'raw', extension = 'fd', secure = '' } = {}) =>
  `<loader readonly='yes'${secure} type='pflash' format='${format}'>/fw/${name}.fd</loader>` +
  `<nvram template='/fw/${name}.vars.fd' templateFormat='${format}' format='${format}'>` +
  `/lib/nvram/guest_VARS.${extension}</nvram>`
const SECURE = { secure: " secure='yes'" }

t.test('what is filled in', async t => {
  const host = config(t, HOST)
  const acpi = '<acpi/>'
  /** <os> behind its type, and <features>. */
  const shown = async (os: string, options: GuestOptions & { features?: string } = {}) => {
    const outside = `<features>${acpi}${options.features ?? ''}</features>${options.outside ?? ''}`
    const xml = guestXml('', { machine: 'q35', os, ...options, outside })
    const context = testContext({ config: host, ...options })
    const { def } = await loadDomain(xml, async () => context)
    const text = formatDomain(def)
    t.equal(formatDomain((await loadDomain(text, async () => context)).def), text, 'it chooses itself again')
    const all = text.replace(/\n\s*/g, '')
    const [, attributes, inside] = all.match(/<os(.*?)><type.*?<\/type>(.*?)(<boot dev='hd'\/>)?<\/os>/)!
    return `${attributes}: ${inside} ${all.match(/<smm state='\w+'\/>/)?.[0] ?? ''}`.trim()
  }
  const efi = (os: string, options: Parameters<typeof shown>[1] = {}) =>
    shown(os, { osAttributes: " firmware='efi'", ...options })
  const secure = `firmware='efi': ${KEYS}${filled('keys', SECURE)} <smm state='on'/>`
  const plain = `firmware='efi': ${PLAIN}${filled('plain')}`
  const qcow2 = `firmware='efi': ${PLAIN}${filled('qcow2', { format: 'qcow2', extension: 'qcow2' })}`
  const loader = (path: string, more = '') => `<loader readonly='yes'${more} type='pflash'>${path}</loader>`
  for (const [os, expected] of [
    ['', secure],
    ["<loader secure='yes'/>", secure],
    ["<loader secure='no'/>", plain.replace(" type='pflash'", " secure='no' type='pflash'")],
    ["<loader readonly='yes' type='pflash'/>", secure],
    ["<firmware><feature enabled='no' name='secure-boot'/></firmware>", plain],
    ["<loader format='qcow2'/>", qcow2],
    ["<nvram format='qcow2'/>", qcow2],
    ["<loader/><nvram format='qcow2'/>", secure.replace(" format='raw'>/lib", " format='raw'>/lib")],
    [loader('/fw/plain.fd'), plain],
    ["<nvram template='/fw/plain.vars.fd'/>", plain],
    ["<nvram format='raw'>/srv/v</nvram>", secure.replace('/lib/nvram/guest_VARS.fd', '/srv/v')],
    [
      `<nvram type='network'>${NBD}</nvram>`,
      "firmware='efi': <firmware><feature enabled='yes' name='secure-boot'/></firmware>" +
        "<loader readonly='yes' secure='yes' type='pflash' format='raw'>/fw/keys.fd</loader>" +
        `<nvram type='network' format='raw'>${NBD}</nvram> <smm state='on'/>`
    ],
    [
      "<loader stateless='yes'/>",
      `firmware='efi': ${PLAIN}<loader readonly='yes' type='pflash' stateless='yes' format='raw'>/fw/stateless.fd</loader>`
    ]
  ] as const)
    t.equal(await efi(os), expected, os)
  t.equal(await efi('', { features: "<smm state='off'/>" }), `${plain} <smm state='off'/>`)
  for (const [os, expected] of [
    [loader('/fw/plain.fd'), plain],
    ["<loader type='pflash'>/fw/plain.fd</loader>", plain],
    [
      loader('/fw/plain.fd', " stateless='yes'"),
      ": <loader readonly='yes' type='pflash' stateless='yes' format='raw'>/fw/plain.fd</loader>"
    ],
    [
      "<loader readonly='no' type='pflash'>/fw/plain.fd</loader>",
      ": <loader readonly='no' type='pflash' format='raw'>/fw/plain.fd</loader>"
    ],
    [
      `${loader('/fw/plain.fd')}<nvram template='/t'/>`,
      ": <loader readonly='yes' type='pflash' format='raw'>/fw/plain.fd</loader>" +
        "<nvram template='/t' format='raw'>/lib/nvram/guest_VARS.fd</nvram>"
    ],
    [
      "<loader type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>",
      ": <loader readonly='yes' type='pflash' format='raw'>/usr/share/OVMF/OVMF_CODE.fd</loader>" +
        "<nvram template='/usr/share/OVMF/OVMF_VARS.fd' templateFormat='raw' format='raw'>" +
        '/lib/nvram/guest_VARS.fd</nvram>'
    ],
    [
      `${loader('/usr/share/OVMF/OVMF_CODE.fd')}<nvram template='/t'/>`,
      ": <loader readonly='yes' type='pflash' format='raw'>/usr/share/OVMF/OVMF_CODE.fd</loader>" +
        "<nvram template='/t' templateFormat='raw' format='raw'>/lib/nvram/guest_VARS.fd</nvram>"
    ],
    ["<loader type='rom'>/fw/bios.bin</loader>", ": <loader type='rom'>/fw/bios.bin</loader>"]
  ] as const)
    t.equal(await shown(os), expected, os)
  for (const os of [
    "<loader readonly='no'/>",
    "<loader type='rom'/>",
    "<loader format='qcow2'/><nvram template='/fw/plain.vars.fd'/>",
    loader('/fw/other.fd'),
    `${loader('/fw/plain.fd')}<nvram template='/fw/keys.vars.fd'/>`
  ])
    t.match(await errorOf(() => efi(os)), /OPERATION_FAILED: .*Unable to find 'efi' firmware/, os)
})

t.test('migratable XML names files alone, as older versions choose otherwise', async t => {
  const options = { machine: 'q35', outside: '<features><acpi/></features>', osAttributes: " firmware='efi'" }
  const text = formatDomain(await define('', { ...options, config: config(t, HOST) }), { migratable: true })
  t.match(text, '<os>')
  t.match(text, '/fw/keys.fd</loader>')
  t.notMatch(text, '<firmware>')
})

t.test('launch security asks for firmware of its kind', async t => {
  const def = await define('', {
    machine: 'q35',
    outside: '<features><acpi/></features>',
    osAttributes: " firmware='efi'"
  })
  def.os = { ...def.os, loader: undefined, firmwareFeatures: undefined } as never
  def.features = { acpi: true }
  const fits = (launchSecurity: object, ...features: string[]) =>
    matchesDomain(
      { ...def, launchSecurity } as never,
      parseDescriptor(JSON.stringify(descriptor(flash('a'), features)), 'f')
    )
  const sev = (policy: number) => ({ type: 'sev', policy })
  t.same([fits(sev(1)), fits(sev(1), 'amd-sev'), fits(sev(1), 'amd-sev-es')], [false, true, false])
  t.same([fits(sev(5), 'amd-sev'), fits(sev(5), 'amd-sev', 'amd-sev-es')], [false, true], 'encrypted registers')
  t.same([fits({ type: 'sev-snp' }, 'amd-sev'), fits({ type: 'sev-snp' }, 'amd-sev-snp')], [false, true])
  t.same([fits({ type: 'tdx' }), fits({ type: 'tdx' }, 'intel-tdx'), fits({ type: 's390-pv' })], [false, true, true])
})

t.test('stores follow the name of their template in new definitions', async t => {
  const raw = { ...flash('a'), 'nvram-template': { filename: '/fw/a.raw', format: 'raw' } }
  const context = testContext({ config: config(t, { 'usr/a.json': descriptor(raw) }) })
  const xml = guestXml('', { machine: 'q35', outside: '<features><acpi/></features>', osAttributes: " firmware='efi'" })
  const store = async (abiUpdate: boolean) => {
    const { def } = await loadDomain(xml, async () => context, { abiUpdate })
    return def.os.loader?.nvram?.source
  }
  t.same(await store(true), { type: 'file', path: '/lib/nvram/guest_VARS.raw', format: 'raw' })
  t.same(await store(false), { type: 'file', path: '/lib/nvram/guest_VARS.fd', format: 'raw' })
})

t.test('a definition that is read again stays, and its start says what is wrong', async t => {
  const qcow2 = flash('qcow2', 'split', 'qcow2')
  const context = testContext({ config: config(t, { 'usr/a.json': descriptor(qcow2) }) })
  const xml = guestXml('', { machine: 'q35', outside: '<features><acpi/></features>', osAttributes: " firmware='efi'" })
  const { def } = await loadDomain(xml, async () => context, { abiUpdate: false })
  t.same(def.os.loader, { format: 'raw' }, 'older ones mean raw images')
  t.match(await errorOf(() => prepareNative(def, context)), /OPERATION_FAILED: .*Unable to find 'efi' firmware/)
})

t.test('images of formats', async t => {
  const line = async (os: string) => {
    const options = { machine: 'q35', outside: '<features><acpi/></features>', os, config: config(t, HOST) }
    return (await argvOf('', options)).filter(one => /pflash|-bios/.test(one)).join('\n')
  }
  const code = '<loader readonly="yes" type="pflash" format="qcow2">/c</loader>'
  const text = await line(`${code}<nvram format='qcow2'>/v</nvram>`)
  for (const [unit, readOnly] of [
    [0, true],
    [1, false]
  ] as const) {
    const name = `libvirt-pflash${unit}`
    const node = `"node-name":"${name}-format","read-only":${readOnly},"driver":"qcow2","file":"${name}-storage","backing":null`
    t.match(text, node)
  }
  t.match(text, 'pflash0=libvirt-pflash0-format,pflash1=libvirt-pflash1-format')
  t.match(
    await errorOf(() => line("<loader readonly='no' type='pflash'>/c</loader><nvram>/v</nvram>")),
    /INTERNAL_ERROR: .*mishandled storage format 'none'/
  )
  t.equal(await line("<loader type='rom' format='qcow2'>/b</loader>"), '-bios /b')
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
  const guest = (template: string) =>
    define('', {
      machine: 'q35',
      outside: '<features><acpi/></features>',
      os: `<loader readonly='yes' type='pflash'>/fw/x.fd</loader><nvram${template}>${store}</nvram>`
    })
  const templated = await guest(` template='${dir}/template.fd'`)
  t.match(
    await errorOf(async () => makeNvram(await guest(''))),
    /OPERATION_FAILED: .*master var store for loader: \/fw\/x/
  )
  t.match(
    await errorOf(async () => makeNvram(await guest(` template='${dir}/template.fd' templateFormat='qcow2'`))),
    /OPERATION_UNSUPPORTED: .*conversion of the nvram template to another target format is not supported/
  )
  t.notOk(existsSync(store))
  await makeNvram(templated)
  t.equal(readFileSync(store, 'utf8'), 'new')
  writeFileSync(store, 'changed')
  await makeNvram(templated)
  t.equal(readFileSync(store, 'utf8'), 'changed')
  await makeNvram(templated, true)
  t.equal(readFileSync(store, 'utf8'), 'new', 'unless it is to be as new')
})

t.test('variables on devices and servers', async t => {
  const dir = t.testdir({ device: 'nothing of qcow2', 'template.fd': 'x'.repeat(512) })
  const device = join(dir, 'device')
  const made = async (attributes: string, { path = device, reset = false } = {}) => {
    const source = `<nvram type='block'${attributes}><source dev='${path}'/></nvram>`
    const os = `<loader readonly='yes' type='pflash'>/fw/x.fd</loader>${source}`
    const def = await define('', { machine: 'q35', outside: '<features><acpi/></features>', os })
    return errorOf(() => makeNvram(def, reset))
  }
  const template = ` template='${dir}/template.fd'`
  t.match(
    await made('', { path: join(dir, 'absent') }),
    /INVALID_ARG: .*'block' nvram backing device '.*' doesn't exist/
  )
  t.equal(await made(" format='raw'"), 'accepted', 'raw variables cannot be told from others')
  t.match(await made(template, { reset: true }), /OPERATION_UNSUPPORTED: .*only 'qcow2' formatted 'block' nvram/)
  t.match(await made(" format='qcow2'"), /OPERATION_FAILED: .*unable to find nvram template image/)
  t.equal(await made(` format='qcow2'${template}`), 'accepted')
  const header = readFileSync(device).subarray(0, 4)
  t.same(header, Buffer.from('QFI\xfb', 'latin1'), 'it has become a qcow2 image')
  writeFileSync(join(dir, 'template.fd'), '')
  const before = readFileSync(device)
  t.equal(await made(` format='qcow2'${template}`), 'accepted')
  t.same(readFileSync(device), before, 'which stays')

  const os = `<loader readonly='yes' type='pflash'>/fw/x.fd</loader><nvram type='network'>${NBD}</nvram>`
  const def = await define('', { machine: 'q35', outside: '<features><acpi/></features>', os })
  t.equal(await errorOf(() => makeNvram(def)), 'accepted')
  t.match(
    await errorOf(() => makeNvram(def, true)),
    /OPERATION_UNSUPPORTED: .*resetting of nvram is not supported with nvram device backed by 'network'/
  )
})
