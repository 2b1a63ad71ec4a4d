// A shim of a guest that is shut off: it serves, starts, changes and forgets it, and ends when nobody wants it.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Daemons } from '../helper/libvirtd.ts'
import { processesNaming } from '../helper/processes.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const PAUSED = 3
const SHUTOFF = 5

/** A shim that keeps its guest's definition and does not start it. */
async function defined(xml: string, ...options: string[]): Promise<{ shim: Shim; exited: Promise<number | string> }> {
  const shim = new Shim(xml)
  const exited = shim.start('--define', '--inactive', ...options)
  await shim.untilState(SHUTOFF)
  return { shim, exited }
}

t.test('serves a guest that is shut off, starts it more than once, ends when idle', async t => {
  const { shim, exited } = await defined(bareGuest('life-idle'), '--idle-timeout', '1')
  t.teardown(() => shim.end())
  t.match((await shim.call('report')).body, { id: -1, state: SHUTOFF, persistent: true, pids: { qemu: null } })
  t.match(await shim.call('virDomainSuspend', {}), { status: 409, body: { code: 55, message: /not running/ } })
  const before = (await shim.call('virDomainGetXMLDesc?flags=2')).body.xml
  for (const flags of [['VIR_DOMAIN_START_PAUSED'], []]) {
    t.same((await shim.call('virDomainCreateWithFlags', { flags })).body, {})
    t.equal((await shim.call('virDomainGetState')).body.state, flags.length > 0 ? PAUSED : RUNNING)
    t.match((await shim.call('virDomainGetXMLDesc')).body.xml, /<alias name='serial0'\/>/)
    t.equal((await shim.call('virDomainGetXMLDesc?flags=2')).body.xml, before, 'the start leaves the definition alone')
    t.match(await shim.call('virDomainCreate', {}), { status: 409, body: { message: /already running/ } })
    t.same((await shim.call('virDomainDestroy', {})).body, {})
    t.match((await shim.call('virDomainGetState')).body, { state: SHUTOFF, reason: 2 })
    t.equal((await shim.call('virDomainGetXMLDesc')).body.xml, before, 'and its end brings it back')
  }
  t.equal(await exited, 0)
  t.same(readdirSync(shim.root).sort(), ['domain.xml', 'log'])
})

t.test('who holds the report or a connection to it does what a client does: the latter keeps it', async t => {
  const { shim, exited } = await defined(bareGuest('life-held'), '--idle-timeout', '1')
  t.teardown(() => shim.end())
  const uri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
  const virsh = spawn('virsh', ['-c', uri, 'event', '--all', '--loop'], { stdio: 'ignore' })
  t.teardown(() => virsh.kill())
  await new Promise(resolve => setTimeout(resolve, 2500))
  t.equal(shim.child?.exitCode, null, 'a client that listens is not cut off')
  const report = shim.call('/v1/report?since=1000000&wait=60').catch(() => ({ status: 0 }))
  virsh.kill()
  t.equal(await exited, 0)
  t.match(await report, { status: /304|200/ }, 'who waited for a change is answered')
})

t.test('SIGTERM ends it, SIGKILL loses nothing', async t => {
  const { shim, exited } = await defined(bareGuest('life-term'))
  t.teardown(() => shim.end())
  shim.child?.kill('SIGKILL')
  await exited
  const again = shim.start('--inactive')
  await shim.untilState(SHUTOFF)
  await shim.call('virDomainCreate', {})
  const { pids } = (await shim.call('report')).body
  shim.child?.kill('SIGKILL')
  await again
  const third = shim.start('--inactive')
  await shim.untilState(RUNNING)
  t.equal((await shim.call('report')).body.pids.qemu, pids.qemu, 'a running guest is taken over')
  shim.child?.kill('SIGKILL')
  await third
  process.kill(pids.qemu, 'SIGKILL')
  const fourth = shim.start('--inactive')
  await shim.untilState(SHUTOFF)
  t.match((await shim.call('virDomainGetState')).body, { state: SHUTOFF, reason: 3 }, 'a guest that is gone crashed')
  t.notOk(existsSync(join(shim.root, 'status.json')))
  shim.child?.kill('SIGTERM')
  t.equal(await fourth, 1, 'its last run crashed')
})

t.test('without a definition there is nothing to be inactive', async t => {
  const shim = new Shim(bareGuest('life-none'))
  t.teardown(() => shim.end())
  t.equal(await shim.start('--inactive'), 1)
})

t.test('undefine refuses to take along what it was not told to', async t => {
  const { shim, exited } = await defined(bareGuest('life-undef'))
  t.teardown(() => shim.end())
  await shim.call('virDomainSetAutostart', { autostart: 1 })
  t.ok(existsSync(join(shim.root, 'autostart')))
  const kept = {
    'snapshots/one.xml': ['VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA', /cannot delete inactive domain with 1 snapshots/],
    'checkpoints/a.xml': ['VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA', /cannot delete inactive domain with 1 checkp/],
    'managed.save': ['VIR_DOMAIN_UNDEFINE_MANAGED_SAVE', /Refusing to undefine while domain managed save image exists/]
  } as const
  const flags: string[] = []
  for (const file of Object.keys(kept)) {
    mkdirSync(join(shim.root, file, '..'), { recursive: true })
    writeFileSync(join(shim.root, file), '')
  }
  t.match((await shim.call('virDomainHasManagedSaveImage')).body, { result: 1 })
  for (const [flag, message] of Object.values(kept)) {
    t.match(await shim.call('virDomainUndefineFlags', { flags }), { status: 409, body: { code: 55, message } })
    flags.push(flag)
  }
  const both = ['VIR_DOMAIN_UNDEFINE_NVRAM', 'VIR_DOMAIN_UNDEFINE_KEEP_NVRAM']
  t.match((await shim.call('virDomainUndefineFlags', { flags: both })).body, { message: /both keep and delete nvram/ })
  t.same((await shim.call('virDomainUndefineFlags', { flags })).body, {})
  t.equal(await exited, 0)
  t.same(readdirSync(shim.root), [])
})

t.test('what it says to who started it', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'life-tell-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const root = join(dir, 'root')
  const begin = (input: string, ...options: string[]) => {
    const child = spawn('bin/virshimd', ['--root', root, '--json', ...options, '-'], {
      stdio: ['pipe', 'pipe', 'pipe', 'ipc']
    })
    child.stderr?.resume()
    child.stdin?.end(input)
    let out = ''
    child.stdout?.on('data', chunk => {
      out += chunk
    })
    return {
      child,
      closed: once(child.stdout!, 'end'),
      news: once(child, 'message').then(([news]) => news),
      lines: () =>
        out
          .trimEnd()
          .split('\n')
          .map(line => JSON.parse(line))
    }
  }
  const bad = begin(bareGuest('life-tell').replace("type='qemu'", "type='nope'"), '--inactive', '--define')
  const error = await bad.news
  t.match(error, { error: { codeName: String, message: /nope/ }, status: 2 })
  await bad.closed
  t.same(bad.lines(), [error])
  const good = begin(bareGuest('life-tell'), '--paused')
  const news = await good.news
  t.match(news, { state: 'running', name: 'life-tell', id: 1 })
  const [qemu] = processesNaming(`path=${root}/qmp.sock`)
  good.child.disconnect()
  process.kill(qemu!, 'SIGKILL')
  await good.closed
  t.same(good.lines(), [news, { ended: { reason: 3, failed: true }, status: 1 }])
  const child = spawnSync('bin/virshimd', ['--root', root, '--json', '--nonsense'], { encoding: 'utf8' })
  t.match(JSON.parse(child.stdout), { error: { code: 8 }, status: 2 })
})

t.test('virsh on it and on libvirtd: define, rename, start, undefine', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'life-virsh-'))
  const daemons = new Daemons(dir)
  const name = 'life-peer'
  const uuid = '0b6f7a52-18a4-4b0f-9a5e-5b8f3c1d7e21'
  const peer = (...words: string[]) => spawnSync('virsh', ['-c', 'qemu:///system', ...words], { encoding: 'utf8' })
  t.teardown(() => {
    for (const one of [name, `${name}-2`]) for (const word of ['destroy', 'undefine']) peer(word, one)
    daemons.end()
    rmSync(dir, { recursive: true, force: true })
  })
  await daemons.ensure(2000)
  const xml = (more: { name?: string; uuid?: string; mib?: number } = {}) =>
    bareGuest(more.name ?? name)
      .replace('<memory', `<uuid>${more.uuid ?? uuid}</uuid><memory`)
      .replace('>64<', `>${more.mib ?? 64}<`)
  const file = (label: string, text: string) => {
    writeFileSync(join(dir, label), text)
    return join(dir, label)
  }
  const base = file('base', xml())
  const big = file('big', xml({ mib: 96 }))
  const live = file('live', xml({ mib: 80 }))
  const otherUuid = file('uuid', xml({ uuid: '11111111-2222-4333-8444-555555555555' }))
  const otherName = file('name', xml({ name: `${name}-2` }))
  const noName = file('noname', xml().replace(/<name>.*<\/name>/, ''))

  const { shim, exited } = await defined(xml())
  t.teardown(() => shim.end())
  peer('define', base)
  const uri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
  const ours = (...words: string[]) => spawnSync('virsh', ['-c', uri, ...words], { encoding: 'utf8' })
  const steps: string[][] = [
    ['define', base],
    ['define', otherUuid],
    ['define', otherName],
    ['define', noName],
    ['create', otherUuid],
    ['create', otherName],
    ['autostart', name],
    ['dominfo', name],
    ['autostart', name, '--disable'],
    ['domrename', name, name],
    ['domrename', name, 'a/b'],
    ['domrename', name, `${name}-2`],
    ['domstate', name],
    ['domuuid', `${name}-2`],
    ['domrename', `${name}-2`, name],
    ['domstate', name, '--reason'],
    ['start', name, '--paused', '--force-boot', '--bypass-cache'],
    ['domstate', name, '--reason'],
    ['start', name],
    ['create', base],
    ['domrename', name, `${name}-2`],
    ['define', big],
    ['dumpxml', name, '--xpath', '/domain/memory'],
    ['dumpxml', name, '--inactive', '--xpath', '/domain/memory'],
    ['undefine', name],
    ['dominfo', name],
    ['undefine', name],
    ['autostart', name],
    ['domrename', name, `${name}-2`],
    ['define', big],
    ['dominfo', name],
    ['destroy', name],
    ['domstate', name, '--reason'],
    ['dumpxml', name, '--xpath', '/domain/memory'],
    ['create', live, '--paused'],
    ['dominfo', name],
    ['dumpxml', name, '--xpath', '/domain/memory'],
    ['dumpxml', name, '--inactive', '--xpath', '/domain/memory'],
    ['destroy', name],
    ['dumpxml', name, '--xpath', '/domain/memory'],
    ['undefine', name, '--nvram', '--keep-nvram'],
    ['undefine', name, '--managed-save', '--nvram', '--snapshots-metadata', '--checkpoints-metadata']
  ]
  const normal = ({ status, stdout, stderr }: ReturnType<typeof ours>) => ({
    status,
    out: stdout
      .split('\n')
      .filter(line => !/^(Id|CPU time|Security|Used memory)/.test(line))
      .map(line => line.trimEnd()),
    err: stderr
  })
  for (const words of steps) {
    const expected = normal(peer(...words))
    t.same(normal(ours(...words)), expected, words.join(' ').replaceAll(dir, ''))
  }
  t.equal(await exited, 0, 'undefined, it ends')
  t.notOk(readFileSync(shim.xmlFile, 'utf8') === '' || existsSync(join(shim.root, 'domain.xml')))
})
