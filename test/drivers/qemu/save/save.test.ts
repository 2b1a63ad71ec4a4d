// Saves and restores on a stand-in QEMU: what it is told, states and events, each failure, and a shim that is killed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Status } from '../../../../src/drivers/qemu/domain/status.ts'
import { formatImage, memoryOffset, readImageFile } from '../../../../src/drivers/qemu/save/image.ts'
import { finishSave, settleSave } from '../../../../src/drivers/qemu/save/settle.ts'
import { eightAtATime, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Answers, dies, type Order, refuses } from '../../../helper/stand-in-qemu.ts'

const RAM = { total: 200, remaining: 0, transferred: 80, duplicate: 3, normal: 4, 'normal-bytes': 16384, mbps: 8 }

/** QEMU's part of a migration. */
function migrates(status: string, events = ['setup', 'active', status]) {
  return (order: Order) => {
    order.reply()
    for (const one of events) order.peer.event('MIGRATION', { status: one })
  }
}

const ANSWERS: Answers = {
  getfd: {},
  closefd: refuses('no such descriptor'),
  'query-migrate-capabilities': [{ capability: 'events', state: false }],
  'migrate-set-capabilities': {},
  'migrate-set-parameters': {},
  migrate_cancel: {},
  migrate: migrates('completed'),
  'migrate-incoming': migrates('completed'),
  'query-migrate': { status: 'completed', downtime: 7, 'setup-time': 2, ram: RAM }
}

async function running(t: Test, answers: Answers = {}): Promise<{ guest: StandInGuest; path: string }> {
  const guest = await StandInGuest.running(t, { persistent: true })
  Object.assign(guest.qemu.peer.answers, ANSWERS, answers)
  return { guest, path: join(guest.dir, 'image') }
}

/** The commands that change something. */
const told = ({ qemu }: StandInGuest) =>
  qemu.peer.commands.filter(command => !/^(query-|qom-|migrate-set)/.test(command))

t.test('a guest is saved and restored', async t => {
  const { guest, path } = await running(t)
  t.equal(await guest.failureOf('virDomainSave', { to: path }), '')
  t.same(told(guest).slice(0, 3), ['stop', 'getfd', 'migrate'])
  t.same(guest.lifecycle, ['SUSPENDED PAUSED', 'STOPPED SAVED'])
  t.equal(await guest.state(), 'SHUTOFF SAVED')
  t.match(readImageFile(path), { running: true, format: 'raw', cookie: /<slirpHelper\/>/ })
  const [, params] = guest.told.find(([event]) => event === 'JOB_COMPLETED')!
  t.match(params, { params: { operation: { value: 2 }, memory_total: { value: 200n }, downtime: { type: 'ullong' } } })
  const completed = await guest.call('virDomainGetJobStats', { flags: ['VIR_DOMAIN_JOB_STATS_COMPLETED'] })
  t.match(completed, { type: 3, params: { memory_bps: 1_000_000, memory_normal_bytes: 16384 } })
  guest.forget()
  t.equal(await guest.failureOf('virDomainRestore', { from: path }), '')
  t.ok(told(guest).includes('migrate-incoming'))
  t.same(guest.lifecycle, ['STARTED RESTORED', 'RESUMED FROM_SNAPSHOT'])
  t.equal(await guest.state(), 'RUNNING RESTORED')
  t.equal(guest.domain.run?.goesOnFrom, undefined)
  t.ok(existsSync(path), 'the image is still there')
  t.match(await guest.failureOf('virDomainRestore', { from: path }), /is already active/)
})

t.test('paused, and back so', async t => {
  const { guest, path } = await running(t)
  await guest.call('virDomainSuspend')
  guest.forget()
  await guest.call('virDomainSave', { to: path })
  t.same(guest.lifecycle, ['STOPPED SAVED'])
  t.equal(readImageFile(path).running, false)
  guest.forget()
  await guest.call('virDomainRestore', { from: path })
  t.same(guest.lifecycle, ['STARTED RESTORED', 'SUSPENDED RESTORED'])
  t.equal(await guest.state(), 'PAUSED MIGRATION')
  await guest.call('virDomainResume')
  await guest.call('virDomainSaveFlags', { to: path, flags: ['VIR_DOMAIN_SAVE_PAUSED'] })
  t.equal(readImageFile(path).running, false)
  await guest.call('virDomainRestoreFlags', { from: path, flags: ['VIR_DOMAIN_SAVE_RUNNING'] })
  t.equal(await guest.state(), 'RUNNING RESTORED')
})

t.test('managed save: found by the next start, and gone once the guest runs', async t => {
  const { guest } = await running(t)
  const { managedSave } = guest.root
  await guest.call('virDomainManagedSave')
  t.same(await guest.call('virDomainHasManagedSaveImage'), { result: 1 })
  t.match(await guest.call('virDomainManagedSaveGetXMLDesc'), { xml: /<name>t-stand-in</ })
  const both = ['VIR_DOMAIN_SAVE_RUNNING', 'VIR_DOMAIN_SAVE_PAUSED']
  const args = { dxml: guest.xml, flags: both }
  t.match(await guest.failureOf('virDomainManagedSaveDefineXML', args), /mutually exclusive/)
  await guest.call('virDomainManagedSaveDefineXML', { dxml: guest.xml, flags: ['VIR_DOMAIN_SAVE_PAUSED'] })
  guest.forget()
  await guest.call('virDomainCreate')
  t.equal(await guest.state(), 'PAUSED MIGRATION')
  t.notOk(existsSync(managedSave))
  await guest.call('virDomainManagedSave', { flags: ['VIR_DOMAIN_SAVE_RUNNING'] })
  guest.forget()
  await guest.call('virDomainCreateWithFlags', { flags: ['VIR_DOMAIN_START_FORCE_BOOT'] })
  t.notOk(told(guest).includes('migrate-incoming'))
  t.notOk(existsSync(managedSave))
  await guest.call('virDomainDestroy')
  for (const broken of ['', 'LibvirtQemudPart'.padEnd(200, '\0')]) {
    writeFileSync(managedSave, broken)
    guest.forget()
    await guest.call('virDomainCreate')
    t.equal(await guest.state(), 'RUNNING BOOTED')
    t.match(guest.logged, [{ message: 'the saved image is not whole, booting without it' }])
    t.notOk(existsSync(managedSave))
    await guest.call('virDomainDestroy')
  }
  const others = guest.xml.replace('t-stand-in', 't-other')
  const bytes = formatImage({ running: true, format: 'raw', xml: others }, { whole: true })
  writeFileSync(managedSave, bytes)
  t.match(await guest.failureOf('virDomainCreate'), /cannot restore domain 't-stand-in' .* belongs to domain 't-other'/)
  t.ok(existsSync(managedSave))
})

t.test('each failure of a save leaves the guest as it was, and no file', async t => {
  const failed = { status: 'failed', 'error-desc': 'disk is full' }
  const ways: [what: string, answers: Answers, args: object, message: RegExp][] = [
    ['it may not', { 'query-migrate': { 'blocked-reasons': ['a', 'b'] } }, {}, /cannot migrate domain: a; b/],
    ['it cannot stop', { stop: refuses() }, {}, /the stand-in refuses/],
    ['other XML', {}, { dxml: '<domain' }, /Couldn't find end of Start Tag domain/],
    ['no directory', {}, { to: '/nosuch/file' }, /Failed to create file '\/nosuch\/file': No such file or directory/],
    ['capabilities', { 'query-migrate-capabilities': refuses() }, {}, /the stand-in refuses/],
    ['parameters', { 'migrate-set-parameters': refuses() }, {}, /the stand-in refuses/],
    ['descriptor', { getfd: refuses() }, {}, /the stand-in refuses/],
    ['migrate', { migrate: refuses() }, {}, /the stand-in refuses/],
    ['fails', { migrate: migrates('failed'), 'query-migrate': failed }, {}, /job 'domain save' failed: disk is full/],
    ['without words', { migrate: migrates('failed') }, {}, /job 'domain save' unexpectedly failed/],
    ['QEMU gives up', { migrate: migrates('cancelled') }, {}, /job 'domain save' canceled by client/]
  ]
  await eightAtATime(ways, async ([what, answers, args, message]) => {
    const { guest, path } = await running(t, answers)
    t.match(await guest.failureOf('virDomainSaveFlags', { to: path, ...args }), message, what)
    t.match(await guest.state(), /^RUNNING/, what)
    t.notOk(existsSync(path), what)
    t.equal(guest.domain.run?.memoryFile, undefined, what)
    t.equal(guest.domain.jobs.async, undefined, what)
    t.equal((await guest.status())?.memoryFile, undefined, what)
  })
})

t.test('a file that was there stays, emptied; a guest that is gone leaves none of ours', async t => {
  const { guest, path } = await running(t, { migrate: refuses() })
  writeFileSync(path, 'former')
  t.match(await guest.failureOf('virDomainSave', { to: path }), /the stand-in refuses/)
  t.match(readFileSync(path, 'latin1'), /^LibvirtQemudPart/)
  const other = join(guest.dir, 'other')
  guest.qemu.peer.answers.migrate = dies(guest.qemu)
  t.not(await guest.failureOf('virDomainSave', { to: other }), '')
  await guest.untilState('SHUTOFF')
  t.notOk(existsSync(other))
})

t.test('a file that another guest has is not emptied', async t => {
  for (const api of ['virDomainSave', 'virDomainCoreDump']) {
    const { guest, path } = await running(t)
    writeFileSync(path, 'of another guest')
    const asked: object[] = []
    const claim = async (_: object, resources: object[]) => {
      asked.push(...resources)
      throw new Error('taken')
    }
    Object.assign(guest.domain, { claims: { claim, release: async () => undefined, held: [] } })
    t.match(await guest.failureOf(api, { to: path }), /taken/, api)
    t.match(asked, [{ kind: 'disk', path, mode: 'exclusive' }], api)
    t.equal(readFileSync(path, 'latin1'), 'of another guest', api)
    t.match(await guest.state(), /^RUNNING/, api)
  }
})

t.test('a guest that cannot even be resumed', async t => {
  const { guest, path } = await running(t, { migrate: refuses(), cont: refuses('not now') })
  t.match(await guest.failureOf('virDomainSave', { to: path }), /the stand-in refuses/)
  t.equal(await guest.state(), 'PAUSED API_ERROR')
  t.match(guest.lifecycle, ['SUSPENDED PAUSED', 'SUSPENDED API_ERROR'])
})

t.test('while it goes on: progress, who may do what, and giving it up', async t => {
  const active = { status: 'active', 'expected-downtime': 300, ram: { ...RAM, remaining: 120 } }
  const { guest, path } = await running(t, {
    migrate: migrates('active', ['setup', 'active']),
    'query-migrate': active
  })
  guest.qemu.peer.answers.migrate_cancel = (order: Order) => {
    guest.qemu.peer.answers['query-migrate'] = { status: 'cancelled' }
    order.reply()
    order.peer.event('MIGRATION', { status: 'cancelled' })
  }
  guest.qemu.peer.answers['query-migrate'] = {}
  const saved = guest.failureOf('virDomainSave', { to: path })
  await guest.qemu.peer.told('migrate')
  guest.qemu.peer.answers['query-migrate'] = active
  t.equal(await guest.state(), 'PAUSED SAVE')
  t.match(await guest.call('virDomainGetJobInfo'), { type: 2, memTotal: 200, memProcessed: 80, memRemaining: 120 })
  t.match((await guest.status())?.job, { kind: 'save', api: 'virDomainSave' })
  t.match(await guest.status(), { memoryFile: { path, made: true } })
  t.match(readFileSync(path, 'latin1'), /^LibvirtQemudPart/)
  await guest.call('virDomainAbortJob')
  t.match(await saved, /VIR_ERR_OPERATION_ABORTED .*domain save job: canceled by client/)
  t.equal(await guest.state(), 'RUNNING SAVE_CANCELED')
  t.notOk(existsSync(path))
})

t.test('each failure of a restore leaves a guest that is shut off', async t => {
  const ways: [what: string, answers: Answers | 'dies', message: RegExp][] = [
    ['refused', { 'migrate-incoming': refuses('no') }, /migrate-incoming': no/],
    ['fails', { 'migrate-incoming': migrates('failed') }, /job 'start' unexpectedly failed/],
    ['dies', 'dies', /QEMU unexpectedly closed the monitor \(vm='t-stand-in'\)/],
    ['cannot run', { cont: refuses('not now') }, /not now/]
  ]
  for (const [what, answers, message] of ways) {
    const { guest } = await running(t)
    await guest.call('virDomainManagedSave')
    Object.assign(guest.qemu.peer.answers, answers === 'dies' ? { 'migrate-incoming': dies(guest.qemu) } : answers)
    guest.forget()
    t.match(await guest.failureOf('virDomainCreate'), message, what)
    t.match(await guest.state(), /^SHUTOFF/, what)
    t.ok(existsSync(guest.root.managedSave), what)
  }
})

t.test('a program that finds its image damaged: the guest does not run, and the image stays', async t => {
  const { guest } = await running(t)
  await guest.call('virDomainManagedSave')
  const image = { ...readImageFile(guest.root.managedSave), format: 'gzip' } as const
  writeFileSync(guest.root.managedSave, Buffer.concat([formatImage(image, { whole: true }), Buffer.from('no gzip')]))
  guest.forget()
  t.match(await guest.failureOf('virDomainCreate'), /Child process \(gzip -dc\) unexpected exit status 1/)
  t.notOk(told(guest).includes('cont'))
  t.match(await guest.state(), /^SHUTOFF/)
  t.ok(existsSync(guest.root.managedSave))
})

/** A QEMU that can give each page its place in a file. */
const MAPS: Answers = {
  'query-migrate-capabilities': ['events', 'mapped-ram', 'multifd'].map(capability => ({ capability, state: false })),
  'query-migrate-parameters': { 'multifd-channels': 2, 'direct-io': false },
  'query-fdsets': [
    { 'fdset-id': 1, fds: [{ fd: 20, opaque: 'of another device' }] },
    { 'fdset-id': 2, fds: [{ fd: 21, opaque: 'libvirt-migrate-buffered' }] }
  ],
  'add-fd': (order: Order) => order.reply({ fd: 30, 'fdset-id': order.args['fdset-id'] }),
  'remove-fd': {}
}

const argsOf = ({ qemu }: StandInGuest, command: string) =>
  qemu.peer.orders.filter(order => order.command === command).map(({ args }) => args)

t.test('sparse: QEMU opens sets of descriptors as often as it has threads', async t => {
  for (const [channels, direct] of [
    [undefined, false],
    [3, true]
  ] as const) {
    const { guest, path } = await running(t, MAPS)
    const flags = direct ? ['VIR_DOMAIN_SAVE_BYPASS_CACHE'] : []
    const through = channels === undefined ? {} : { 'parallel.channels': channels }
    const saved = { file: path, image_format: 'sparse', ...through }
    const handed = direct ? ['buffered', 'direct'] : ['buffered']
    const moved = (uri: string, mode: string) => {
      t.match(argsOf(guest, mode), [{ uri }])
      t.match(
        argsOf(guest, 'add-fd').map(({ opaque }) => opaque),
        handed.map(what => `libvirt-migrate-${what}`)
      )
      const switched = argsOf(guest, 'migrate-set-capabilities')[0].capabilities
      t.match(
        switched,
        ['events', 'mapped-ram', 'multifd'].map(capability => ({ capability, state: true }))
      )
      t.match(argsOf(guest, 'migrate-set-parameters')[0], { 'multifd-channels': channels ?? 1, 'direct-io': direct })
    }
    t.equal(await guest.failureOf('virDomainSaveParams', { params: saved, flags }), '')
    const image = readImageFile(path)
    t.equal(image.format, 'sparse')
    const offset = `offset=0x${memoryOffset(image).toString(16)}`
    moved(`file:/dev/fdset/0,${offset}`, 'migrate')
    guest.forget()
    const params = { file: path, ...through }
    t.equal(await guest.failureOf('virDomainRestoreParams', { params, flags }), '')
    moved(`file:/dev/fdset/0,${offset}`, 'migrate-incoming')
    t.same(argsOf(guest, 'remove-fd'), [{ 'fdset-id': 2 }], 'its own set alone')
    t.equal(await guest.state(), 'RUNNING RESTORED')
  }
})

t.test('sparse: each failure leaves the guest as it was, no file, and no descriptors in QEMU', async t => {
  const params = { image_format: 'sparse' }
  const old = { 'query-migrate-capabilities': ANSWERS['query-migrate-capabilities'] }
  const ways: [what: string, answers: Answers, params: object, message: RegExp][] = [
    ['too old a QEMU', old, params, /save image format sparse is not supported by this QEMU binary/],
    [
      'no channels',
      {},
      { ...params, 'parallel.channels': 0 },
      /number of parallel save channels cannot be less than 1/
    ],
    ['raw', {}, { 'parallel.channels': 2 }, /Parallel save is only supported with the 'sparse' save image format/],
    ['parameters', { 'query-migrate-parameters': refuses() }, params, /the stand-in refuses/],
    ['descriptor', { 'add-fd': refuses() }, params, /the stand-in refuses/],
    ['migrate', { migrate: refuses() }, params, /the stand-in refuses/],
    ['fails', { migrate: migrates('failed') }, params, /job 'domain save' unexpectedly failed/]
  ]
  await eightAtATime(ways, async ([what, answers, more, message]) => {
    const { guest, path } = await running(t, { ...MAPS, ...answers })
    t.match(await guest.failureOf('virDomainSaveParams', { params: { file: path, ...more } }), message, what)
    t.match(await guest.state(), /^RUNNING/, what)
    t.notOk(existsSync(path), what)
    const handed = argsOf(guest, 'add-fd').length > 0
    t.same(argsOf(guest, 'remove-fd'), handed ? [{ 'fdset-id': 2 }] : [], what)
  })
})

t.test('sparse: an image that its QEMU cannot read is not restored', async t => {
  const { guest, path } = await running(t, { ...MAPS, 'migrate-incoming': refuses('unknown migration protocol') })
  await guest.call('virDomainSaveParams', { params: { file: path, image_format: 'sparse' } })
  t.match(await guest.failureOf('virDomainRestore', { from: path }), /unknown migration protocol/)
  t.match(await guest.state(), /^SHUTOFF/)
  t.ok(existsSync(path))
})

/** What a next shim makes of what a killed one has left. */
async function next(guest: StandInGuest, changed: Partial<Status> = {}): Promise<void> {
  guest.leave()
  guest.forget()
  const status = { ...(await guest.status())!, ...changed }
  await guest.takeOver({ ...changed, ...(finishSave(status) && { phase: 'stopping' }) })
  await settleSave(guest.domain, status)
}

t.test('a shim that is killed before the image is on disk: the save is taken back', async t => {
  for (const made of [true, false]) {
    const { guest, path } = await running(t, { migrate: migrates('active', ['active']), 'query-migrate': {} })
    if (!made) writeFileSync(path, 'former')
    void guest.failureOf('virDomainSave', { to: path })
    await guest.qemu.peer.told('migrate')
    guest.qemu.peer.answers['query-migrate'] = { status: 'active', ram: RAM }
    guest.qemu.peer.answers.migrate_cancel = (order: Order) => {
      guest.qemu.peer.answers['query-migrate'] = { status: 'cancelled' }
      order.reply()
    }
    await next(guest)
    t.ok(told(guest).includes('migrate_cancel'))
    t.equal(await guest.state(), 'RUNNING SAVE_CANCELED')
    t.equal(existsSync(path), !made)
    t.equal(guest.domain.jobs.async, undefined)
    t.equal((await guest.status())?.memoryFile, undefined)
  }
})

t.test('a shim that is killed when the image is on disk: the save is finished', async t => {
  const { guest, path } = await running(t)
  const job = { kind: 'save', api: 'virDomainSave', sinceMs: 1, phase: 'written' } as const
  const left = { state: 3, reason: 3, job, memoryFile: { path, made: true } }
  writeFileSync(path, formatImage({ running: true, format: 'raw', xml: guest.xml }))
  await next(guest, left)
  t.match(await guest.state(), /^SHUTOFF/)
  t.equal(readImageFile(path).running, true)
})

t.test('an image that is gone by then is none: the guest runs', async t => {
  const { guest, path } = await running(t)
  await guest.call('virDomainSuspend')
  const job = { kind: 'save', api: 'virDomainSave', sinceMs: 1, phase: 'written' } as const
  await next(guest, { state: 3, reason: 3, job, memoryFile: { path, made: true } })
  t.equal(await guest.state(), 'RUNNING SAVE_CANCELED')
})

t.test('a shim that is killed when a restored guest has its memory: it runs, and its saved image is gone', async t => {
  for (const paused of [false, true]) {
    const { guest } = await running(t)
    await guest.call('virDomainSuspend')
    writeFileSync(guest.root.managedSave, 'image')
    await next(guest, { state: 3, reason: 2, paused, goesOnFrom: 'managed save' })
    t.equal(await guest.state(), paused ? 'PAUSED MIGRATION' : 'RUNNING RESTORED')
    t.notOk(existsSync(guest.root.managedSave))
    t.equal((await guest.status())?.goesOnFrom, undefined)
  }
})

t.test('a restored guest that ended with its shim: a saved image goes that its disks are ahead of', async t => {
  for (const [left, stays] of [
    [{ state: 1, reason: 3 }, false],
    [{ state: 3, reason: 2 }, true],
    [{ phase: 'starting' }, true]
  ] as const) {
    const { guest } = await running(t)
    writeFileSync(guest.root.managedSave, 'image')
    guest.leave()
    const changed = { ...left, goesOnFrom: 'managed save' } as const
    const status = { ...(await guest.status())!, ...changed }
    await guest.qemu.end()
    t.equal(await guest.takeOver(changed), false)
    await settleSave(guest.domain, status)
    t.equal(existsSync(guest.root.managedSave), stays, JSON.stringify(left))
  }
})

t.test('a snapshot that ended with its shim and guest, and is none, leaves no memory behind', async t => {
  for (const whole of [false, true]) {
    const { guest, path } = await running(t)
    writeFileSync(path, formatImage({ running: true, format: 'raw', xml: guest.xml }, { whole }))
    guest.leave()
    const job = { kind: 'snapshot', api: 'virDomainSnapshotCreateXML', sinceMs: 1 } as const
    const changed = { job, memoryFile: { path, made: true } }
    const status = { ...(await guest.status())!, ...changed }
    await guest.qemu.end()
    t.equal(await guest.takeOver(changed), false)
    await settleSave(guest.domain, status)
    t.notOk(existsSync(path), whole ? 'whole' : 'in part')
  }
})
