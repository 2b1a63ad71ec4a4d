// What is told of a guest from its definitions, and what of them may be changed: live, persistent, or both.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { silent } from '../../../helper/stand-in-qemu.ts'

const [DESCRIPTION, TITLE, ELEMENT] = [0, 1, 2]
const [LIVE, CONFIG] = [1, 2]
const NOT_PRESENT =
  'VIR_ERR_NO_DOMAIN_METADATA VIR_FROM_DOMAIN: metadata not found: Requested metadata element is not present'
const TRANSIENT =
  'VIR_ERR_OPERATION_INVALID VIR_FROM_DOMAIN: Requested operation is not valid: transient domains do not have any persistent config'
const NOT_RUNNING = 'VIR_ERR_OPERATION_INVALID VIR_FROM_DOMAIN: Requested operation is not valid: domain is not running'

/** Guests of each kind. */
const KINDS: Record<string, (t: Test) => Promise<StandInGuest>> = {
  'shut off': t => StandInGuest.make(t, { persistent: true }),
  transient: t => StandInGuest.running(t),
  persistent: t => StandInGuest.running(t, { persistent: true })
}

const titleIn = async (guest: StandInGuest, flags: number) => {
  const failure = await guest.failureOf('virDomainGetMetadata', { type: TITLE, flags })
  return failure || (await guest.call('virDomainGetMetadata', { type: TITLE, flags })).metadata
}

t.test('which definition a change is made in', async t => {
  /** Of each kind and impact: the title afterwards, live and persistent, or the error. */
  const cases: [kind: string, flags: number, live: string, config: string, error?: string][] = [
    ['shut off', 0, NOT_RUNNING, 'new'],
    ['shut off', CONFIG, NOT_RUNNING, 'new'],
    ['shut off', LIVE, NOT_RUNNING, NOT_PRESENT, NOT_RUNNING],
    ['shut off', LIVE | CONFIG, NOT_RUNNING, NOT_PRESENT, NOT_RUNNING],
    ['transient', 0, 'new', TRANSIENT],
    ['transient', LIVE, 'new', TRANSIENT],
    ['transient', CONFIG, NOT_PRESENT, TRANSIENT, TRANSIENT],
    ['transient', LIVE | CONFIG, NOT_PRESENT, TRANSIENT, TRANSIENT],
    ['persistent', 0, 'new', NOT_PRESENT],
    ['persistent', LIVE, 'new', NOT_PRESENT],
    ['persistent', CONFIG, NOT_PRESENT, 'new'],
    ['persistent', LIVE | CONFIG, 'new', 'new']
  ]
  for (const [kind, flags, live, config, error = ''] of cases) {
    const guest = await KINDS[kind]!(t)
    const what = `${kind}, ${flags}`
    t.equal(await guest.failureOf('virDomainSetMetadata', { type: TITLE, metadata: 'new', flags }), error, what)
    t.same([await titleIn(guest, LIVE), await titleIn(guest, CONFIG)], [live, config], what)
    t.same(
      guest.told.map(([event, fields]) => [event, fields]),
      error === '' ? [['METADATA_CHANGE', { type: TITLE, nsuri: undefined }]] : [],
      what
    )
    const kept = kind === 'transient' ? '' : readFileSync(guest.root.definition, 'utf8')
    t.equal(kept.includes('<title>new'), config === 'new', `${what}: on disk`)
    t.equal(((await guest.status())?.xml ?? '').includes('<title>new'), live === 'new', `${what}: in the status`)
    await guest.end()
  }
})

t.test('metadata there cannot be', async t => {
  const guest = await StandInGuest.running(t)
  const set = (args: object) => guest.failureOf('virDomainSetMetadata', args)
  const cases: [args: object, error: RegExp][] = [
    [
      { type: TITLE, metadata: 'two\nlines' },
      /^VIR_ERR_INVALID_ARG VIR_FROM_DOMAIN: metadata title can't contain newlines$/
    ],
    [{ type: ELEMENT, metadata: '<a/>', key: 'k' }, /uri in virDomainSetMetadata must not be NULL$/],
    [{ type: ELEMENT, metadata: '<a/>', uri: 'urn:x' }, /key in virDomainSetMetadata must not be NULL$/],
    [{ type: 7, metadata: 'x' }, /^VIR_ERR_INVALID_ARG VIR_FROM_DOMAIN: .*unknown metadata type '7'$/],
    [{ type: ELEMENT, metadata: '<a', key: 'k', uri: 'urn:x' }, /^VIR_ERR_XML_/]
  ]
  for (const [args, error] of cases) t.match(await set(args), error, JSON.stringify(args))
  t.same(guest.told, [])
  t.equal(await set({ type: ELEMENT, metadata: '<a x="1"/>', key: 'k', uri: 'urn:x' }), '')
  t.match(await guest.call('virDomainGetMetadata', { type: ELEMENT, uri: 'urn:x' }), { metadata: /<a x=["']1["']/ })
  t.equal(await set({ type: ELEMENT, uri: 'urn:x' }), '')
  t.equal(await guest.failureOf('virDomainGetMetadata', { type: ELEMENT, uri: 'urn:x' }), NOT_PRESENT)
  t.equal(await set({ type: DESCRIPTION, metadata: 'of\nlines' }), '')
  t.equal((await guest.call('virDomainGetMetadata', { type: DESCRIPTION })).metadata, 'of\nlines')
  t.equal(await set({ type: DESCRIPTION, metadata: '' }), '')
  t.equal(await guest.failureOf('virDomainGetMetadata', { type: DESCRIPTION }), NOT_PRESENT)
})

t.test('XML is that of the moment', async t => {
  const guest = await StandInGuest.running(t, { persistent: true })
  const xml = async (flags = 0): Promise<string> => (await guest.call('virDomainGetXMLDesc', { flags })).xml
  const before = await xml()
  t.equal(await xml(), before)
  await guest.call('virDomainSetMetadata', { type: TITLE, metadata: 'new', flags: LIVE })
  t.match(await xml(), /<title>new/)
  t.notMatch(await xml(2), /<title>new|<alias/, 'the next start has it not')
  await guest.call('virDomainDestroy')
  t.notMatch(await xml(), /<title>new|<domain[^>]* id=/)
})

t.test('autostart', async t => {
  const transient = await StandInGuest.running(t)
  t.match(
    await transient.failureOf('virDomainSetAutostart', { autostart: 1 }),
    /cannot set autostart for transient domain$/
  )
  const guest = await StandInGuest.make(t, { persistent: true })
  for (const autostart of [1, 1, 0, 0, 1]) {
    await guest.call('virDomainSetAutostart', { autostart })
    t.same(await guest.call('virDomainGetAutostart'), { autostart })
    t.equal(guest.leftovers.includes('autostart'), autostart === 1)
  }
})

t.test('autostart with the next boot alone', async t => {
  const transient = await StandInGuest.running(t)
  t.match(
    await transient.failureOf('virDomainSetAutostartOnce', { autostart: 1 }),
    /^VIR_ERR_OPERATION_INVALID .*cannot set autostart for transient domain$/
  )
  const guest = await StandInGuest.make(t, { persistent: true })
  for (const autostart of [1, 1, 0, 0, 1]) {
    await guest.call('virDomainSetAutostartOnce', { autostart })
    t.same(await guest.call('virDomainGetAutostartOnce'), { autostart })
    t.same(await guest.call('virDomainGetAutostart'), { autostart: 0 })
    t.equal(guest.leftovers.includes('autostart-once'), autostart === 1)
  }
})

t.test('what is told of a guest', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  const told = async () => {
    const out: unknown[] = []
    for (const api of ['GetID', 'GetName', 'GetOSType', 'IsActive', 'IsPersistent', 'IsUpdated', 'HasManagedSaveImage'])
      out.push(...Object.values(await guest.call(`virDomain${api}`)))
    return out
  }
  t.same(await told(), [-1, 't-stand-in', 'hvm', 0, 1, 0, 0])
  writeFileSync(guest.root.managedSave, '')
  await guest.start()
  t.same(await told(), [1, 't-stand-in', 'hvm', 1, 1, 0, 1])
  t.same(await guest.call('virDomainGetSecurityLabel'), { label: '', enforcing: 0 })
  t.match(await guest.call('virDomainGetJobInfo'), { type: 0, timeElapsed: 0n, memTotal: 0n })
  t.same(await guest.call('virDomainGetJobStats'), { type: 0, params: {} })
  t.equal(
    await guest.failureOf('virDomainAbortJob'),
    'VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: no job is active on the domain'
  )
  await guest.call('virDomainDestroy')
  t.equal(await guest.failureOf('virDomainGetJobInfo'), NOT_RUNNING)
  t.same(await guest.call('virDomainGetJobStats', { flags: 1 }), { type: 0, params: {} }, 'of a job that is over')
})

t.test('undefine', async t => {
  const invalid = (what: string) => `VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: Requested operation is not valid: ${what}`
  const moment = (directory: string) => {
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, 'm.xml'), '<x/>')
  }
  const cases: [what: string, make: (guest: StandInGuest) => void, flags: string[], error: string][] = [
    ['plain', () => {}, [], ''],
    [
      'both ways',
      () => {},
      ['VIR_DOMAIN_UNDEFINE_NVRAM', 'VIR_DOMAIN_UNDEFINE_KEEP_NVRAM'],
      invalid('cannot both keep and delete nvram')
    ],
    [
      'both ways',
      () => {},
      ['VIR_DOMAIN_UNDEFINE_TPM', 'VIR_DOMAIN_UNDEFINE_KEEP_TPM'],
      invalid('cannot both keep and delete TPM')
    ],
    [
      'a saved image',
      ({ root }) => writeFileSync(root.managedSave, ''),
      [],
      invalid('Refusing to undefine while domain managed save image exists')
    ],
    ['a saved image', ({ root }) => writeFileSync(root.managedSave, ''), ['VIR_DOMAIN_UNDEFINE_MANAGED_SAVE'], ''],
    [
      'snapshots',
      ({ root }) => moment(root.snapshotDir),
      [],
      invalid('cannot delete inactive domain with 1 snapshots')
    ],
    ['snapshots', ({ root }) => moment(root.snapshotDir), ['VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA'], ''],
    [
      'checkpoints',
      ({ root }) => moment(root.checkpointDir),
      [],
      invalid('cannot delete inactive domain with 1 checkpoints')
    ],
    ['checkpoints', ({ root }) => moment(root.checkpointDir), ['VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA'], '']
  ]
  for (const [what, make, flags, error] of cases) {
    const guest = await StandInGuest.make(t, { persistent: true })
    await guest.call('virDomainSetAutostart', { autostart: 1 })
    await guest.call('virDomainSetAutostartOnce', { autostart: 1 })
    make(guest)
    const before = guest.leftovers
    t.equal(await guest.failureOf('virDomainUndefineFlags', { flags }), error, `${what} ${flags}`)
    t.same(guest.leftovers, error === '' ? [] : before, `${what} ${flags}`)
    t.same(guest.lifecycle, error === '' ? ['UNDEFINED REMOVED'] : [])
    t.match(await guest.failureOf('virDomainGetInfo'), error === '' ? /^VIR_ERR_NO_DOMAIN / : /^$/)
  }
  const transient = await StandInGuest.running(t)
  t.equal(await transient.failureOf('virDomainUndefine'), invalid('cannot undefine transient domain'))
  const running = await StandInGuest.running(t, { persistent: true })
  t.equal(await running.failureOf('virDomainUndefine'), '')
  t.same(await running.call('virDomainIsPersistent'), { persistent: 0 }, 'one that runs becomes transient')
  t.equal(await running.state(), 'RUNNING BOOTED')
})

t.test('define and rename', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  const titled = (title: string) => guest.xml.replace('</name>', `</name><title>${title}</title>`)
  await guest.call('virDomainDefineXML', { xml: titled('one') })
  t.equal(await titleIn(guest, 0), 'one')
  await guest.start()
  await guest.call('virDomainDefineXMLFlags', { xml: titled('two'), flags: ['VIR_DOMAIN_DEFINE_VALIDATE'] })
  t.same([await titleIn(guest, LIVE), await titleIn(guest, CONFIG)], ['one', 'two'])
  t.match(
    await guest.failureOf('virDomainDefineXMLFlags', {
      xml: titled('x').replace('<title>', '<nosuch/><title>'),
      flags: 1
    }),
    /^VIR_ERR_XML_INVALID_SCHEMA /
  )
  t.match(await guest.failureOf('virDomainRename', { new_name: 'other' }), /cannot rename active domain$/)
  await guest.call('virDomainDestroy')
  t.equal(await titleIn(guest, 0), 'two')
  guest.forget()
  for (const [name, error] of [
    [undefined, /new_name in virDomainRename must not be NULL$/],
    ['', /string new_name in virDomainRename must not be empty$/],
    ['t-stand-in', /Can't rename domain to itself$/],
    ['a/b', /^VIR_ERR_XML_ERROR /]
  ] as const)
    t.match(await guest.failureOf('virDomainRename', { new_name: name }), error)
  t.same(guest.lifecycle, [])
  t.equal(await guest.failureOf('virDomainRename', { new_name: 'other' }), '')
  t.match(readFileSync(guest.root.definition, 'utf8'), /<name>other</)
  t.same(guest.lifecycle, ['UNDEFINED RENAMED', 'DEFINED RENAMED'])
})

t.test('calls that only read wait for no job, those that change wait for it', async t => {
  const guest = await StandInGuest.running(t, { persistent: true, answers: { 'inject-nmi': silent } })
  const holder = guest.failureOf('virDomainInjectNMI')
  const order = await guest.qemu.peer.told('inject-nmi')
  for (const api of ['virDomainGetXMLDesc', 'virDomainIsPersistent', 'virDomainGetAutostart', 'virDomainGetMessages'])
    t.equal(await guest.failureOf(api), '', api)
  const changed = guest.failureOf('virDomainSetMetadata', { type: TITLE, metadata: 'new' })
  t.equal(await titleIn(guest, 0), NOT_PRESENT)
  order.reply()
  t.equal(await holder, '')
  t.equal(await changed, '')
  t.equal(await titleIn(guest, 0), 'new')
})

t.test('a definition that cannot be written is not changed', async t => {
  const guest = await StandInGuest.make(t, { persistent: true })
  rmSync(guest.root.definition)
  mkdirSync(join(guest.root.definition, 'in the way'), { recursive: true })
  t.match(
    await guest.failureOf('virDomainDefineXML', { xml: guest.xml.replace('</name>', '</name><title>x</title>') }),
    /^VIR_ERR_SYSTEM_ERROR .* cannot write '.*domain.xml'/
  )
  t.equal(await titleIn(guest, 0), NOT_PRESENT)
  t.same(guest.lifecycle, [])
  t.match(await guest.failureOf('virDomainRename', { new_name: 'other' }), /^VIR_ERR_SYSTEM_ERROR /)
  t.same(await guest.call('virDomainGetName'), { name: 't-stand-in' })
})
