// A QEMU that is confined to a view of the host's files of its own: what it sees, what it gets later, what is left of it,
// and what a program in its place gets at.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AggregatorRun } from '../helper/aggregator.ts'
import { escapeFrom, gains, groupsOf, processStatus } from '../helper/escape.ts'
import { processesNaming } from '../helper/processes.ts'
import { leftovers, refuses } from '../helper/refusal.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(600_000)

const skip = process.getuid?.() !== 0 && 'only root can start QEMU as somebody else'
const RUNNING = 1
const LIVE = ['VIR_DOMAIN_AFFECT_LIVE']
const LIMIT_MS = 120_000

const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8')

const disk = (file: string, target: string, type = 'qcow2') =>
  `<disk type='file' device='disk'><driver name='qemu' type='${type}'/><source file='${file}'/><target dev='${target}' bus='virtio'/></disk>`
const drive = (file?: string) =>
  `<disk type='file' device='cdrom'>${file ? `<driver name='qemu' type='raw'/><source file='${file}'/>` : ''}<target dev='hda' bus='ide'/></disk>`

/** A guest whose images lie below a directory that nobody but root may pass. */
class Confined {
  readonly shim = new Shim('')
  readonly images = join(this.shim.dir, 'images')
  readonly name: string

  constructor(
    t: Test,
    name: string,
    readonly uid: number
  ) {
    this.name = `t-confined-${name}-${process.pid}`
    t.teardown(() => this.shim.end())
    mkdirSync(this.images, { mode: 0o700 })
    this.image('base', '-f', 'qcow2')
    this.image('top', '-f', 'qcow2', '-b', join(this.images, 'base'), '-F', 'qcow2')
    symlinkSync('images/top', join(this.shim.dir, 'link'))
    const inside = disk(join(this.shim.dir, 'link'), 'vda') + drive()
    writeFileSync(
      this.shim.xmlFile,
      bareGuest(
        this.name,
        `${inside}<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>
         <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
      )
    )
  }

  /** Makes an image that is QEMU's user's. */
  image(name: string, ...options: string[]): string {
    const path = join(this.images, name)
    const backed = options.includes('-b')
    const { status, stderr }: SpawnSyncReturns<string> = spawnSync(
      'qemu-img',
      ['create', '-q', ...options, path, ...(backed ? [] : ['4M'])],
      { encoding: 'utf8' }
    )
    if (status !== 0) throw new Error(stderr)
    chownSync(path, this.uid, this.uid)
    return path
  }

  get qemu(): number {
    const [pid] = processesNaming(`path=${this.shim.root}/`)
    return pid!
  }

  /** Names in a directory as QEMU has it. */
  seen(path: string): string[] {
    return readdirSync(`/proc/${this.qemu}/root${path}`).sort()
  }

  start(...options: string[]): Promise<number | string> {
    return this.shim.start('--user', `+${this.uid}`, '--confine', '--aggregator', 'none', ...options)
  }

  async does(t: Test, api: string, args: object = {}): Promise<void> {
    const { status, body } = await this.shim.call(api, args)
    t.equal(status, 200, `${api} ${body.message ?? ''}`)
  }
}

t.test('a confined QEMU', { skip }, async t => {
  const before = mounts()
  const guest = new Confined(t, 'life', 70_001)
  const { shim, images } = guest
  let exited = guest.start()
  await shim.untilState(RUNNING, LIMIT_MS)
  const { qemu } = guest

  t.match(processStatus(qemu), { NoNewPrivs: '1', CapEff: /^0+$/, CapBnd: /^0+$/, CapPrm: /^0+$/, CapInh: /^0+$/ })
  t.same(
    guest.seen('/dev').filter(name => !name.startsWith('std')),
    [
      ...[
        '.virshim',
        'fd',
        'full',
        ...(existsSync('/dev/net/tun') ? ['net'] : []),
        'null',
        'ptmx',
        'pts',
        'random',
        'shm'
      ],
      ...['urandom', ...(existsSync('/dev/userfaultfd') ? ['userfaultfd'] : []), 'zero']
    ]
  )
  t.same(guest.seen('/tmp'), [shim.dir.slice('/tmp/'.length)])
  t.same(guest.seen(shim.dir), ['images', 'link', 'root'])
  t.same(guest.seen(images), ['base', 'top'])
  t.same(guest.seen(shim.root), ['channel', 'master-key.aes', 'qemu'])
  t.same(guest.seen('/root'), [])
  const group = groupsOf(qemu).devices!
  if (existsSync(join(group, 'devices.list'))) {
    const allowed = readFileSync(join(group, 'devices.list'), 'utf8').trim().split('\n')
    t.ok(allowed.includes('c 1:3 rw') && allowed.includes('c 136:* rw'))
    t.notOk(
      allowed.some(line => line.startsWith('a') || line.startsWith('b')),
      'no others, and no disks'
    )
  }
  t.equal(mounts(), before, 'the host’s mounts are as they were')

  t.equal((await shim.call('virDomainScreenshot', { screen: 0 })).status, 200, 'QEMU writes what we read')
  shim.child?.kill('SIGKILL')
  await exited
  exited = shim.start()
  await shim.untilState(RUNNING, LIMIT_MS)
  t.equal((await shim.call('virDomainScreenshot', { screen: 0 })).status, 200, 'for a shim that was not told, too')

  await t.test('devices, media and snapshots of a running guest', async t => {
    const plugged = disk(guest.image('plugged', '-f', 'qcow2'), 'vdb')
    await guest.does(t, 'virDomainAttachDeviceFlags', { xml: plugged, flags: LIVE })
    t.ok(guest.seen(images).includes('plugged'))
    const medium = guest.image('medium', '-f', 'raw')
    await guest.does(t, 'virDomainUpdateDeviceFlags', { xml: drive(medium), flags: LIVE })
    await guest.does(t, 'virDomainUpdateDeviceFlags', { xml: drive(), flags: LIVE })
    await guest.does(t, 'virDomainSnapshotCreateXML', {
      xmlDesc: `<domainsnapshot><disks><disk name='vda'><source file='${join(images, 'overlay')}'/></disk><disk name='vdb' snapshot='no'/></disks></domainsnapshot>`,
      flags: ['VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY', 'VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA']
    })
    t.ok(guest.seen(images).includes('overlay'))
  })
  t.equal(mounts(), before, 'nor have they changed since')
  await guest.does(t, 'virDomainDestroy')
  t.equal(await exited, 0)
  t.same(leftovers(shim.root, guest.name), [])
  t.equal(mounts(), before)
})

t.test('where it is refused', { skip }, async t => {
  const xml = bareGuest(`t-confined-refused-${process.pid}`)
  const message = /QEMU cannot be confined: root would pass all the same, it takes a user/
  await refuses(t, { xml, status: 2, message, options: ['--confine'] })
  await refuses(t, { xml, status: 2, message, options: ['--confine', '--user', 'root'] })
  const shim = new Shim(xml)
  t.teardown(() => shim.end())
  chmodSync(shim.dir, 0o711)
  const args = ['--bounding-set=-sys_admin', 'bin/virshimd', '--root', shim.root, '--user', 'nobody', '--confine']
  t.equal(await shim.run('setpriv', [...args, shim.xmlFile]), 2)
  t.match(shim.errors, 'error: unsupported configuration: QEMU cannot be confined: it takes CAP_SYS_ADMIN')
})

t.test('what a program in its place gets at', { skip }, async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start()
  const [one, other] = [new Confined(t, 'one', 70_003), new Confined(t, 'other', 70_004)]
  for (const guest of [one, other]) {
    void guest.start()
    await guest.shim.untilState(RUNNING, LIMIT_MS)
  }
  const { shim } = other
  // as images of others often are
  chmodSync(other.images, 0o755)
  chmodSync(join(other.images, 'top'), 0o644)
  const vnc = readdirSync(join(shim.root, 'qemu')).map(name => join(shim.root, 'qemu', name))
  const targets = {
    read: [
      ...['/etc/shadow', `/proc/${other.qemu}/environ`, '/dev/.virshim/host/etc/hostname'],
      ...[join(other.images, 'top'), join(shim.root, 'master-key.aes'), join(shim.dir, 'guest.xml')],
      ...[shim.root, one.shim.root].flatMap(root => ['status.json', 'log/qemu.log'].map(name => join(root, name))),
      join(one.shim.dir, 'guest.xml')
    ],
    write: [join(one.shim.root, 'status.json'), join(other.images, 'top')],
    list: ['/tmp', other.images, shim.root, one.shim.root, '/dev/.virshim', '/root', '/var/lib/libvirt'],
    connect: [
      ...[shim.root, one.shim.root].flatMap(root =>
        ['api.sock', 'api-ro.sock', 'libvirt-sock', 'libvirt-sock-ro'].map(name => join(root, name))
      ),
      ...['api.sock', 'api-ro.sock', 'claims.sock', 'libvirt-sock-ro'].map(name => join(aggregator.root, name)),
      ...['/run/libvirt/libvirt-sock', '/run/libvirt/libvirt-sock-ro', '/run/dbus/system_bus_socket'],
      ...[join(shim.root, 'qmp.sock'), ...vnc]
    ],
    processes: {
      'the other QEMU': other.qemu,
      'the other shim': shim.child!.pid!,
      'its shim': one.shim.child!.pid!,
      init: 1
    },
    devices: [
      '/dev/kvm',
      '/dev/mem',
      '/dev/kmsg',
      '/dev/fuse',
      '/dev/loop-control',
      '/dev/vda',
      '/dev/sda',
      '/dev/tty0'
    ],
    covers: ['/tmp', '/dev', '/root', '/proc'],
    hidden: ['/dev/.virshim', '/dev/.virshim/host'],
    writable: join(one.shim.root, 'qemu')
  }
  t.same(gains(escapeFrom(one.qemu, targets)), [], 'nothing')

  await t.test('and where it is not confined', async t => {
    const open = new Confined(t, 'open', 70_005)
    chmodSync(open.shim.dir, 0o711)
    chmodSync(open.images, 0o711)
    void open.shim.start('--user', '+70005', '--aggregator', 'none')
    await open.shim.untilState(RUNNING, LIMIT_MS)
    const got = gains(escapeFrom(open.qemu, { ...targets, writable: join(open.shim.root, 'qemu') }))
    t.comment(`not confined: ${got.map(line => line.slice(0, 80)).join('; ')}`)
    t.ok(
      got.some(line => line.startsWith('list /tmp')),
      'the attempts are such that can succeed'
    )
  })
})
