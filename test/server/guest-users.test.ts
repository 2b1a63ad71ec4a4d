// Guests whose QEMUs run as users of their own, each with the files of its guest: real ones, their owners before, while
// and after, whoever is killed meanwhile.
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AggregatorRun } from '../helper/aggregator.ts'
import { Daemons } from '../helper/libvirtd.ts'
import {
  checkGivenBack,
  destroy,
  FIRST,
  guestWithFiles,
  LAST,
  LIMIT_MS,
  onlyRoot,
  pidOf,
  RANGE,
  RUNNING,
  running,
  statusOf,
  uidOf
} from '../helper/owned-guest.ts'
import { attributesOf, ownerOf, setAttributes, succeedsAs } from '../helper/owners.ts'
import { leftovers } from '../helper/refusal.ts'
import type { Shim } from '../helper/shim.ts'

const skip = onlyRoot
t.setTimeout(300_000)

const OVMF = '/usr/share/OVMF/OVMF_CODE_4M.fd'
const noFirmware = !existsSync(OVMF) && `needs ${OVMF}`

const savedOf = (shim: Shim) => JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8'))

t.test('a guest runs as a user of the range, to whom its files belong', { skip }, async t => {
  const { shim, at, files } = guestWithFiles(t, 't-user')
  const [exited] = await running(shim)
  const uid = uidOf(shim)
  t.ok(uid >= FIRST && uid <= LAST, `uid ${uid}`)
  const of = (name: string) => statusOf(shim)[name]?.trim().split('\t')
  t.same(of('Uid'), Array(4).fill(String(uid)))
  t.same(of('Gid'), Array(4).fill(String(uid)))
  t.same(of('Groups'), [''], 'in no other group')
  t.match(statusOf(shim), { NoNewPrivs: '1', Seccomp: '2', CapEff: /^0+$/, CapPrm: /^0+$/, CapBnd: /^0+$/ })
  t.equal(ownerOf(at('top')), `${uid}:${uid} 600`)
  t.equal(ownerOf(at('serial')), `${uid}:${uid} 600`)
  t.match(attributesOf(at('top')), { 'trusted.libvirt.security.dac': '+1234:+1235' })
  for (const file of ['base', 'iso']) {
    t.match(ownerOf(at(file)), /^1234:1235/, `${file} stays whose it is`)
    t.ok(succeedsAs(uid, 'cat', at(file)), 'and is open to it')
    t.notOk(succeedsAs(uid + 1, 'cat', at(file)), 'and to no other')
  }
  const { xml } = (await shim.call('virDomainGetXMLDesc')).body
  const label = `+${uid}:+${uid}`
  t.match(
    xml,
    `<seclabel type='dynamic' model='dac' relabel='yes'>
    <label>${label}</label>
    <imagelabel>${label}</imagelabel>
  </seclabel>`
  )
  const list = await shim.call('virDomainGetSecurityLabelList')
  t.same(list.body.labels, [
    { label: '', enforcing: 0 },
    { label, enforcing: 0 }
  ])
  const { allocations } = (await shim.call('report')).body
  t.match(
    allocations.filter(({ kind }: { kind: string }) => kind === 'uid'),
    [{ key: String(uid), mode: 'exclusive' }]
  )

  shim.child?.kill('SIGKILL')
  t.equal(await exited, 'SIGKILL')
  const again = shim.start()
  await shim.untilState(RUNNING, LIMIT_MS)
  t.equal(uidOf(shim), uid, 'taken over by a shim that was not told of the range')
  await destroy(t, shim)
  t.equal(await again, 0)
  checkGivenBack(t, files)
  t.match(ownerOf(at('serial')), /^0:0/, 'what was made for it is ours')
  t.same(leftovers(shim.root, `t-user-${process.pid}`), [])
})

t.test('files go back whoever is killed', { skip }, async t => {
  const { shim, at, files } = guestWithFiles(t, 't-user-kill')
  await t.test('QEMU', async t => {
    const [exited] = await running(shim)
    process.kill(pidOf(shim), 'SIGKILL')
    t.equal(await exited, 1)
    checkGivenBack(t, files)
  })
  await t.test('the shim, and then QEMU', async t => {
    const [exited] = await running(shim)
    shim.child?.kill('SIGKILL')
    await exited
    process.kill(pidOf(shim), 'SIGKILL')
    t.not(ownerOf(at('top')), '1234:1235 600')
    t.equal(await shim.start('--inactive'), 1)
    checkGivenBack(t, files)
  })
  await t.test('the shim at each step of its start', async t => {
    // as soon as its status says that it is going to give them, before and after it has
    for (const given of [(): boolean => true, () => ownerOf(at('top')) !== '1234:1235 600']) {
      const exited = shim.start(...RANGE)
      const isSo = () => {
        try {
          return savedOf(shim).ownership.given.length > 0 && given()
        } catch {
          return false
        }
      }
      for (const deadline = Date.now() + LIMIT_MS; !isSo() && Date.now() < deadline; ) await sleep(1)
      shim.child?.kill('SIGKILL')
      t.equal(await exited, 'SIGKILL')
      // one that is cut short is taken back, one that was about to run goes on
      const next = shim.start('--inactive')
      await Promise.race([next, shim.untilState(RUNNING, LIMIT_MS).then(() => destroy(t, shim))]).catch(() => undefined)
      t.type(await next, 'number')
      checkGivenBack(t, files)
    }
  })
})

t.test('the shim, while it gives them back', { skip }, async t => {
  const { shim, files } = guestWithFiles(t, 't-user-end')
  const [exited] = await running(shim)
  void shim.call('virDomainDestroy', {}).catch(() => undefined)
  const isSo = () => {
    try {
      const { phase, ownership } = savedOf(shim)
      return phase === 'stopping' && ownership.change !== undefined
    } catch {
      // the whole of it was too fast
      return !existsSync(join(shim.root, 'status.json'))
    }
  }
  for (const deadline = Date.now() + LIMIT_MS; !isSo() && Date.now() < deadline; ) await sleep(1)
  shim.child?.kill('SIGKILL')
  await exited
  t.type(await shim.start('--inactive'), 'number')
  checkGivenBack(t, files)
})

t.test('a host that went down with its guests', { skip }, async t => {
  const { shim, at, files } = guestWithFiles(t, 't-user-crash')
  const [exited] = await running(shim)
  shim.child?.kill('SIGKILL')
  await exited
  process.kill(pidOf(shim), 'SIGKILL')
  const another = 'another-boot-of-the-host'
  const { bootId } = savedOf(shim)
  const status = join(shim.root, 'status.json')
  writeFileSync(status, readFileSync(status, 'utf8').replace(bootId, another))
  for (const file of [at('top'), at('serial')]) {
    const mark = attributesOf(file)['trusted.virshim.dac']!.replace(/^[^:]*/, another.slice(0, 8))
    setAttributes(file, { 'trusted.virshim.dac': mark, 'trusted.libvirt.security.timestamp_dac': '1000' })
  }
  t.type(await shim.start('--inactive'), 'number')
  checkGivenBack(t, files)
  t.match(ownerOf(at('serial')), /^0:0/)
})

t.test('a libvirtd of the host has its files to itself', { skip }, async t => {
  const { shim, at, files } = guestWithFiles(t, 't-user-libvirt')
  const daemons = new Daemons(shim.dir)
  t.teardown(() => daemons.end())
  await daemons.ensure(LIMIT_MS)
  const virsh = (...args: string[]) => spawnSync('virsh', ['-q', '-c', 'qemu:///system', ...args], { encoding: 'utf8' })
  const name = `t-user-libvirt-theirs-${process.pid}`
  const theirs = join(shim.dir, 'theirs.xml')
  writeFileSync(
    theirs,
    `<domain type='qemu'><name>${name}</name><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os><devices>
      <disk type='file'><driver type='qcow2'/><source file='${at('top')}'/><target dev='vda'/></disk></devices></domain>`
  )
  const { status, stderr } = virsh('create', theirs)
  t.teardown(() => void virsh('destroy', name))
  t.equal(status, 0, stderr)
  const held = [ownerOf(at('top')), attributesOf(at('top'))]
  t.equal(await shim.start(...RANGE), 1)
  t.match(shim.errors, `Setting different DAC user or group on ${at('top')} which is already in use`)
  t.same([ownerOf(at('top')), attributesOf(at('top'))], held)
  t.equal(virsh('destroy', name).status, 0)
  checkGivenBack(t, [at('top')])
  const [exited] = await running(shim)
  await destroy(t, shim)
  t.equal(await exited, 0)
  checkGivenBack(
    t,
    files.filter(file => file !== at('base'))
  )
})

t.test('two guests have two users', { skip }, async t => {
  const one = guestWithFiles(t, 't-user-one')
  const two = guestWithFiles(t, 't-user-two')
  const base = one.at('base')
  const rebase = ['rebase', '-u', '-b', base, '-F', 'qcow2', two.at('top')]
  t.equal(spawnSync('qemu-img', rebase).status, 0)
  const [first] = await running(one.shim)
  const [second] = await running(two.shim)
  const [a, b] = [uidOf(one.shim), uidOf(two.shim)]
  t.not(a, b)
  t.notOk(succeedsAs(b, 'cat', one.at('top')), 'neither reads what the other has')
  t.notOk(succeedsAs(a, 'cat', two.at('top')))
  for (const uid of [a, b]) t.ok(succeedsAs(uid, 'cat', base), 'an image that both stand on is open to both')
  await destroy(t, one.shim)
  t.equal(await first, 0)
  t.notOk(succeedsAs(a, 'cat', base))
  t.ok(succeedsAs(b, 'cat', base), 'and to the other when one is gone')

  const third = guestWithFiles(t, 't-user-three')
  const xml = readFileSync(third.shim.xmlFile, 'utf8').replace(third.at('top'), two.at('top'))
  writeFileSync(third.shim.xmlFile, xml)
  t.equal(await third.shim.start(...RANGE, '--aggregator', 'none'), 1)
  t.match(third.shim.errors, `Setting different DAC user or group on ${two.at('top')} which is already in use`)
  t.equal(ownerOf(two.at('top')), `${b}:${b} 600`)
  checkGivenBack(t, third.files)
  await destroy(t, two.shim)
  t.equal(await second, 0)
  checkGivenBack(t, two.files)
  checkGivenBack(t, one.files)
})

t.test('variables, and files for the firmware', { skip: skip || noFirmware }, async t => {
  const { shim, at, files } = guestWithFiles(t, 't-user-nvram', {
    os: `<loader readonly='yes' type='pflash'>${OVMF}</loader><nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>`,
    outside: `<sysinfo type='fwcfg'><entry name='opt/org.virshim/x' file='SECOND'/></sysinfo>
      <memoryBacking><source type='file'/></memoryBacking>`,
    devices: `<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
  })
  writeFileSync(shim.xmlFile, readFileSync(shim.xmlFile, 'utf8').replace('SECOND', at('second')))
  const [exited] = await running(shim)
  const uid = uidOf(shim)
  const { xml } = (await shim.call('virDomainGetXMLDesc')).body
  const nvram = /<nvram[^>]*>([^<]*)/.exec(xml)?.[1] ?? ''
  t.match(ownerOf(nvram), new RegExp(`^${uid}:${uid} `))
  t.ok(succeedsAs(uid, 'cat', at('second')))
  await destroy(t, shim)
  t.equal(await exited, 0)
  t.match(ownerOf(nvram), /^0:0 /)
  checkGivenBack(t, files)
})

t.test('labels of the definition', { skip }, async t => {
  await t.test('a static one names the user', async t => {
    const form = { outside: `<seclabel type='static' model='dac' relabel='yes'><label>+4321:+4322</label></seclabel>` }
    const { shim, at, files } = guestWithFiles(t, 't-user-static', form)
    const [exited] = await running(shim)
    t.match(statusOf(shim), { Uid: /^4321\t/, Gid: /^4322\t/ })
    t.equal(ownerOf(at('top')), '4321:4322 600')
    await destroy(t, shim)
    t.equal(await exited, 0)
    checkGivenBack(t, files)
  })
  await t.test('one that relabels nothing leaves files alone', async t => {
    const form = { outside: `<seclabel type='static' model='dac' relabel='no'><label>+4321:+4322</label></seclabel>` }
    const { shim, at, files } = guestWithFiles(t, 't-user-norelabel', form)
    t.equal(await shim.start(...RANGE), 1)
    t.match(shim.errors, /Permission denied/)
    writeFileSync(at('serial'), '')
    for (const file of [...files, at('serial')]) chownSync(file, 4321, 4322)
    const [exited] = await running(shim)
    t.equal(ownerOf(at('top')), '4321:4322 600')
    t.same(attributesOf(at('top')), {})
    await destroy(t, shim)
    t.equal(await exited, 0)
    t.equal(ownerOf(at('top')), '4321:4322 600')
  })
  await t.test('of one image', async t => {
    const form = { label: "<seclabel model='dac' relabel='no'/>" }
    const { shim, at } = guestWithFiles(t, 't-user-image', form)
    for (const file of ['top', 'base']) chmodSync(at(file), 0o666)
    const [exited] = await running(shim)
    t.equal(ownerOf(at('top')), '1234:1235 666')
    t.not(ownerOf(at('iso')), '1234:1235 600')
    await destroy(t, shim)
    t.equal(await exited, 0)
  })
})

t.test('the aggregator gives each guest a user that nobody else has', { skip }, async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  chmodSync(aggregator.dir, 0o711)
  await aggregator.start('--uid-range', `${FIRST}-${FIRST + 1}`)
  const guests = ['a', 'b', 'c'].map(name => guestWithFiles(t, `t-user-agg-${name}`))
  const start = ({ shim }: { shim: Shim }) =>
    aggregator.call('virDomainCreateXML', { xmlDesc: readFileSync(shim.xmlFile, 'utf8') })
  for (const guest of guests.slice(0, 2)) t.equal((await start(guest)).status, 200)
  const held = async () => {
    const { allocations } = (await aggregator.call('allocations')).body
    const uids = allocations.filter(({ kind }: { kind: string }) => kind === 'uid')
    return uids.map(({ key }: { key: string }) => Number(key)).sort()
  }
  t.same(await held(), [FIRST, FIRST + 1])
  t.match((await start(guests[2]!)).body, {
    codeName: 'VIR_ERR_RESOURCE_BUSY',
    message: new RegExp(`no uid is free from ${FIRST} to ${FIRST + 1}`)
  })
  const label = `<seclabel type='static' model='dac' relabel='yes'><label>+${FIRST}:+${FIRST}</label></seclabel>`
  const { xmlFile } = guests[2]!.shim
  writeFileSync(xmlFile, readFileSync(xmlFile, 'utf8').replace('</devices>', `</devices>${label}`))
  t.match((await start(guests[2]!)).body, { codeName: 'VIR_ERR_RESOURCE_BUSY', message: /uid '232000' is in use/ })
  const name = `t-user-agg-a-${process.pid}`
  t.equal((await aggregator.call(`domains/${name}/virDomainDestroy`, {})).status, 200)
  checkGivenBack(t, guests[0]!.files)
  await aggregator.untilSo('it is free', async () => (await held()).length === 1)
})
