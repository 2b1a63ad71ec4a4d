// Devices of the persistent definition through real daemons: of guests that run, through the aggregator, over a crash.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AggregatorRun } from '../helper/aggregator.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const SHUTOFF = 5
const VIR_ERR_SYSTEM_ERROR = 38
const VIR_ERR_CONFIG_UNSUPPORTED = 67
const VIR_ERR_OPERATION_UNSUPPORTED = 84

const rng = (path: string) => `<rng model='virtio'><backend model='random'>${path}</backend></rng>`
const cdrom = (target: string, unit: number) =>
  `<disk type='file' device='cdrom'><target dev='${target}' bus='ide'/><address type='drive' controller='0' bus='0' target='0' unit='${unit}'/></disk>`
/** A device that a running guest neither gets nor loses. */
const SCREEN = "<video><model type='virtio'/></video>"
const UNSUPPORTED = { status: 501, body: { code: VIR_ERR_OPERATION_UNSUPPORTED } }
const ONLY_LIVE_UPDATE = { status: 422, body: { code: VIR_ERR_CONFIG_UNSUPPORTED } }
const named = (name: string) => `t-${name}-${process.pid}`
const CONFIG = ['VIR_DOMAIN_AFFECT_CONFIG']

/** A shim whose guest is kept, and the end of its process. */
async function kept(name: string, state: number, ...options: string[]) {
  const shim = new Shim(bareGuest(named(name)))
  const exited = shim.start('--define', ...options)
  await shim.untilState(state)
  const xml = async (inactive: boolean): Promise<string> =>
    (await shim.call(`virDomainGetXMLDesc?flags=${inactive ? 2 : 0}`)).body.xml
  return { shim, exited, xml, file: join(shim.root, 'domain.xml') }
}

t.test('a running guest has them from its next start, and nothing live is touched', async t => {
  const { shim, exited, xml, file } = await kept('conf-live', RUNNING)
  t.teardown(() => shim.end())
  const [live, before] = [await xml(false), await xml(true)]
  for (const flags of [0, ['VIR_DOMAIN_AFFECT_LIVE'], ['VIR_DOMAIN_AFFECT_LIVE', 'VIR_DOMAIN_DEVICE_MODIFY_CONFIG']]) {
    for (const verb of ['Attach', 'Detach', 'Update']) {
      const answer = await shim.call(`virDomain${verb}DeviceFlags`, { xml: SCREEN, flags })
      // libvirt has another code for a change that only a running guest is to see
      const refused = verb === 'Update' && !flags.toString().includes('CONFIG') ? ONLY_LIVE_UPDATE : UNSUPPORTED
      t.match(answer, refused, `${verb} ${flags}`)
    }
  }
  for (const api of ['virDomainAttachDevice', 'virDomainDetachDevice']) {
    t.match(await shim.call(api, { xml: SCREEN }), UNSUPPORTED, api)
  }
  t.equal(await xml(true), before, 'a refusal changes nothing')
  t.same((await shim.call('virDomainAttachDeviceFlags', { xml: rng('/dev/urandom'), flags: CONFIG })).body, {})
  t.equal(await xml(false), live)
  t.match(await xml(true), /<rng model='virtio'>/)
  t.match(readFileSync(file, 'utf8'), /<rng model='virtio'>/, 'it is on disk')

  shim.child?.kill('SIGKILL')
  await exited
  void shim.run('bin/virshimd', ['--root', shim.root])
  await shim.untilState(RUNNING)
  t.notMatch(await xml(false), /<rng /)
  t.match(await xml(true), /<rng /, 'the next shim knows it')
})

t.test('a guest that is shut off starts with them', async t => {
  const { shim, xml } = await kept('conf-off', SHUTOFF, '--inactive')
  t.teardown(() => shim.end())
  t.match((await shim.call('virDomainAttachDevice', { xml: rng('/dev/urandom') })).body, { message: /not running/ })
  t.same((await shim.call('virDomainAttachDeviceFlags', { xml: rng('/dev/urandom') })).body, {}, 'current is config')
  t.same((await shim.call('virDomainCreate', {})).body, {})
  t.match(await xml(false), /<alias name='rng0'\/>/)
  t.same((await shim.call('virDomainDetachDeviceFlags', { xml: rng('/dev/urandom'), flags: CONFIG })).body, {})
  t.same((await shim.call('virDomainDestroy', {})).body, {})
  t.notMatch(await xml(false), /<rng /)
})

t.test('what cannot be saved changes nothing', async t => {
  const { shim, xml, file } = await kept('conf-disk', SHUTOFF, '--inactive')
  t.teardown(() => shim.end())
  const before = await xml(true)
  renameSync(file, `${file}.kept`)
  mkdirSync(join(file, 'in-the-way'), { recursive: true })
  const refused = await shim.call('virDomainAttachDeviceFlags', { xml: rng('/dev/urandom'), flags: CONFIG })
  t.match(refused.body, { code: VIR_ERR_SYSTEM_ERROR })
  t.equal(await xml(true), before)
  rmSync(file, { recursive: true })
  renameSync(`${file}.kept`, file)
  t.same((await shim.call('virDomainAttachDeviceFlags', { xml: rng('/dev/urandom'), flags: CONFIG })).body, {})
})

t.test(
  'what does not fit together is refused; a definition that does not is served, and refused when it starts',
  async t => {
    const { shim, exited, xml, file } = await kept('conf-odd', SHUTOFF, '--inactive')
    t.teardown(() => shim.end())
    const message = /Found duplicate drive address/
    const attach = (target: string) => shim.call('virDomainAttachDeviceFlags', { xml: cdrom(target, 0), flags: CONFIG })
    t.same((await attach('hda')).body, {})
    t.match((await attach('hdb')).body, { message })
    t.notMatch(await xml(true), /dev='hdb'/)
    shim.child?.kill('SIGKILL')
    await exited
    const disk = /<disk [\s\S]*?<\/disk>/
    const [first] = disk.exec(readFileSync(file, 'utf8'))!
    writeFileSync(file, readFileSync(file, 'utf8').replace(disk, `${first}${first.replace("dev='hda'", "dev='hdb'")}`))
    void shim.run('bin/virshimd', ['--root', shim.root, '--inactive'])
    await shim.untilState(SHUTOFF)
    t.match(await xml(true), /dev='hdb'/, 'the next shim serves it')
    t.match((await shim.call('virDomainCreate', {})).body, { message })
    t.same((await shim.call('virDomainDetachDeviceFlags', { xml: cdrom('hdb', 0), flags: CONFIG })).body, {})
    t.same((await shim.call('virDomainCreate', {})).body, {})
  }
)

t.test('a transient guest has no definition to change', async t => {
  const shim = new Shim(bareGuest(named('conf-gone')))
  t.teardown(() => shim.end())
  void shim.start()
  await shim.untilState(RUNNING)
  const message = /transient domains do not have any persistent config/
  for (const [api, what] of [
    ['virDomainAttachDeviceFlags', { xml: '<nosuch/>' }],
    ['virDomainDetachDeviceFlags', { xml: '<nosuch/>' }],
    ['virDomainUpdateDeviceFlags', { xml: '<nosuch/>' }],
    ['virDomainDetachDeviceAlias', { alias: 'ua-x' }]
  ] as const) {
    t.match((await shim.call(api, { ...what, flags: CONFIG })).body, { code: 55, message }, api)
  }
})

t.test('through the aggregator, of a guest that has no process', async t => {
  const run = new AggregatorRun()
  t.teardown(async () => {
    await run.kill('SIGTERM')
    rmSync(run.dir, { recursive: true, force: true })
  })
  await run.start()
  const name = named('conf-agg')
  t.match((await run.call('virDomainDefineXML', { xml: bareGuest(name) })).body, { dom: { name } })
  const uri = `qemu+unix:///system?socket=${join(run.root, 'libvirt-sock')}`
  const file = join(run.dir, 'rng.xml')
  writeFileSync(file, rng('/dev/urandom'))
  const virsh = (...given: string[]) => spawnSync('virsh', ['-q', '-c', uri, ...given], { encoding: 'utf8' })
  t.match(virsh('attach-device', name, file, '--config'), { status: 0, stderr: '' })
  t.match(virsh('dumpxml', name, '--inactive').stdout, /<rng /)
  t.match(virsh('attach-disk', name, '/tmp/x.img', 'vda', '--config'), { status: 0, stderr: '' })
  t.match(virsh('attach-disk', name, '/tmp/x.img', 'vda', '--config'), {
    status: 1,
    stderr: /target vda already exists/
  })
  const client = spawnSync('bin/virshim', ['-c', run.socket, 'detach-disk', name, 'vda', '--config'], {
    encoding: 'utf8'
  })
  t.match(client, { status: 0, stdout: /Disk detached successfully/ })
  const answer = await run.call(`domains/${name}/virDomainDetachDeviceFlags`, { xml: rng('/dev/urandom'), flags: 2 })
  t.same(answer.body, {})
  t.notMatch(virsh('dumpxml', name).stdout, /<rng |vda/)
  t.match(virsh('undefine', name), { status: 0 })
})
