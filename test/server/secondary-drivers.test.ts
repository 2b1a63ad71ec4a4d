// Guests that use what libvirt's other drivers have: a port on a network, a volume of a pool, a secret that is in no
// file. The drivers are those of this host's libvirtd.
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { secondaryDrivers } from '../../src/server/secondary-drivers.ts'
import { Daemons } from '../helper/libvirtd.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(180_000)

const RUNNING = 1
const [TRANSIENT_JOB, REUSE, PIVOT] = [4, 2, 2]
const NAME = `t-drv-${process.pid}`
const BRIDGE = `tdrv${process.pid % 100_000}`
const MAC = '52:54:00:7a:33:01'
const SECRET = randomUUID()
const PASSPHRASE = 'correct horse'
const dir = mkdtempSync(join(tmpdir(), 'virshim-drivers-'))
const poolDir = join(dir, 'pool')
mkdirSync(poolDir)

function libvirt(words: string[], mayFail = false): string {
  for (;;) {
    const { status, stdout, stderr } = spawnSync('virsh', ['-q', '-c', 'qemu:///system', ...words], {
      encoding: 'utf8',
      timeout: 30_000
    })
    // on a machine where others use it too, it may be on its way up again
    if (/Failed to connect socket|client socket is closed/.test(stderr)) continue
    if (status !== 0 && !mayFail) throw new Error(`virsh ${words.join(' ')}: ${stderr}`)
    return stdout.trim()
  }
}

function fromXml(command: string, xml: string): void {
  const file = join(dir, 'made.xml')
  writeFileSync(file, xml)
  libvirt([command, file])
}

/** QEMU and qemu-img time themselves for LUKS, which does not always succeed on a busy machine. */
const ATTEMPTS = 10

function makeLuks(image: string): void {
  const key = `secret,id=k,data=${PASSPHRASE}`
  for (let attempt = 1; ; attempt++) {
    const options = ['--object', key, '-o', `key-secret=k,iter-time=${attempt * 50}`]
    const { status, stderr } = spawnSync('qemu-img', ['create', '-q', '-f', 'luks', ...options, image, '4M'])
    if (status === 0) return
    if (attempt === ATTEMPTS) throw new Error(`qemu-img: ${stderr}`)
  }
}

const daemons = new Daemons(dir)
t.teardown(() => {
  libvirt(['net-destroy', NAME], true)
  libvirt(['pool-destroy', NAME], true)
  libvirt(['secret-undefine', SECRET], true)
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)
fromXml('net-create', `<network><name>${NAME}</name><bridge name='${BRIDGE}'/></network>`)
fromXml('pool-create', `<pool type='dir'><name>${NAME}</name><target><path>${poolDir}</path></target></pool>`)
fromXml(
  'secret-define',
  `<secret ephemeral='yes'><uuid>${SECRET}</uuid><usage type='volume'><volume>${NAME}</volume></usage></secret>`
)
libvirt(['secret-set-value', SECRET, Buffer.from(PASSPHRASE).toString('base64')])
libvirt(['vol-create-as', NAME, 'plain', '8M', '--format', 'qcow2'])
makeLuks(join(poolDir, 'locked'))
libvirt(['pool-refresh', NAME])

const ports = () => libvirt(['net-port-list', NAME]).split('\n').filter(Boolean)

t.test('networks and room for volumes, before anything is made', async t => {
  const drivers = secondaryDrivers('/run/libvirt')
  await drivers.checkNetwork(NAME)
  await t.rejects(drivers.checkNetwork(`${NAME}-none`), { code: 'VIR_ERR_NO_NETWORK' })
  const volume = (name: string) => ({ name, format: 'qcow2', capacity: 1n })
  const left = await drivers.roomFor({ directory: poolDir, ...volume('new') })
  t.ok(left !== undefined && left > 0n)
  t.equal(await drivers.roomFor({ pool: NAME, ...volume('plain') }), undefined)
  await t.rejects(drivers.roomFor({ directory: dir, ...volume('new') }), { code: 'VIR_ERR_NO_STORAGE_POOL' })
  t.notOk(existsSync(join(poolDir, 'new')))
})

const guest = bareGuest(
  NAME,
  `<interface type='network'><mac address='${MAC}'/><source network='${NAME}'/><model type='virtio'/></interface>
  <disk type='volume'><driver name='qemu' type='qcow2'/><source pool='${NAME}' volume='plain'/><target dev='vda' bus='virtio'/></disk>
  <disk type='volume'><driver name='qemu' type='raw'/><source pool='${NAME}' volume='locked'>
    <encryption format='luks'><secret type='passphrase' uuid='${SECRET}'/></encryption></source>
    <target dev='vdb' bus='virtio'/></disk>`
)

t.test('a guest with a network port, volumes and a secret of the driver', async t => {
  const shim = new Shim(guest)
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  const { xml } = (await shim.call('virDomainGetXMLDesc')).body
  const [port] = ports()
  t.match(xml, `<source network='${NAME}' portid='${port}' bridge='${BRIDGE}'/>`, 'the live XML names port and bridge')
  const [, tap = ''] = /<target dev='(vnet\d+)'\/>/.exec(xml) ?? []
  t.ok(existsSync(`/sys/class/net/${BRIDGE}/brif/${tap}`), 'the tap device is on the bridge')
  t.match(xml, `<source pool='${NAME}' volume='plain' index=`, 'a volume is shown as one')
  const { body: inactive } = await shim.call('virDomainGetXMLDesc', { flags: ['VIR_DOMAIN_XML_INACTIVE'] })
  t.match(inactive.xml, `<source network='${NAME}'/>`)
  const stats = await shim.call('virDomainGetBlockInfo', { disk: 'vdb', flags: 0 })
  t.equal(stats.body.capacity, 4 * 1024 * 1024, 'the encrypted volume is open')
  await shim.call('virDomainDestroy', {})
  await exited
  t.same(ports(), [], 'the port is given back')
})

t.test('a shim that is killed leaves its port to the next one', async t => {
  const shim = new Shim(guest)
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  const before = ports()
  shim.child!.kill('SIGKILL')
  await exited
  t.same(ports(), before, 'it is kept')
  const again = shim.start()
  await shim.untilState(RUNNING)
  t.same(ports(), before, 'and taken over')
  await shim.call('virDomainDestroy', {})
  await again
  t.same(ports(), [])
})

t.test('a disk goes on in a volume, then in LUKS whose secret the driver has', async t => {
  libvirt(['vol-create-as', NAME, 'copied', '8M', '--format', 'raw'])
  const shim = new Shim(guest)
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  const ok = async (api: string, args: object) => {
    const { status, body } = await shim.call(api, args)
    t.equal(status, 200, `${api}: ${body.message}`)
    return body
  }
  const written = async (pattern: number) => {
    const line = `qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -q -P ${pattern} 0 1M"`
    const cmd = JSON.stringify({ execute: 'human-monitor-command', arguments: { 'command-line': line } })
    t.match((await ok('virDomainQemuMonitorCommand', { cmd })).result, '"return":""')
  }
  const copied = async (destxml: string, flags: number) => {
    const begin = () =>
      shim.call('virDomainBlockCopy', { disk: 'vda', destxml, params: {}, flags: TRANSIENT_JOB | flags })
    let { status, body } = await begin()
    for (let left = ATTEMPTS - 1; left > 0 && /Unable to get accurate CPU usage/.test(body.message); left--)
      ({ status, body } = await begin())
    t.equal(status, 200, `virDomainBlockCopy: ${body.message}`)
    for (let found = { cur: 0, end: 1 }; found.cur !== found.end; ) {
      found = await ok('virDomainGetBlockJobInfo', { disk: 'vda' })
    }
    await ok('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT })
  }
  const volume = `<disk type='volume'><driver type='raw'/><source pool='${NAME}' volume='copied'/></disk>`
  const { body: refused } = await shim.call('virDomainBlockCopy', {
    disk: 'vda',
    destxml: volume,
    flags: TRANSIENT_JOB
  })
  t.match(refused.message, /already exists and is not a block device/, 'a volume is there already')
  const nosuch = volume.replace("'copied'", "'nosuch'")
  const { body: missing } = await shim.call('virDomainBlockCopy', {
    disk: 'vda',
    destxml: nosuch,
    flags: TRANSIENT_JOB
  })
  t.match(missing.message, /Storage volume not found/)
  await written(5)
  await copied(volume, REUSE)
  t.match((await shim.call('virDomainGetXMLDesc')).body.xml, `<source pool='${NAME}' volume='copied' index=`)
  await written(7)
  const luks = join(dir, 'copied.luks')
  await copied(
    `<disk type='file'><driver type='raw'/><source file='${luks}'><encryption format='luks'>
      <secret type='passphrase' uuid='${SECRET}'/></encryption></source></disk>`,
    0
  )
  const intoVolume = readFileSync(join(poolDir, 'copied'))
  t.ok(intoVolume.subarray(0, 2 ** 20).equals(Buffer.alloc(2 ** 20, 7)), 'the volume had what the guest wrote')
  await written(9)
  await shim.call('virDomainDestroy', {})
  await exited
  const key = `secret,id=k,data=${PASSPHRASE}`
  const options = `driver=luks,key-secret=k,file.filename=${luks}`
  const plain = join(dir, 'plain.raw')
  const args = ['convert', '--object', key, '--image-opts', options, '-O', 'raw', plain]
  t.equal(spawnSync('qemu-img', args).status, 0)
  t.ok(
    readFileSync(plain)
      .subarray(0, 2 ** 20)
      .equals(Buffer.alloc(2 ** 20, 9)),
    'and so has the image that is encrypted'
  )
})

t.test("the drivers' errors are the start's", async t => {
  for (const [name, inside, error] of [
    ['net', `<interface type='network'><source network='${NAME}-none'/></interface>`, /Network not found/],
    [
      'vol',
      `<disk type='volume'><source pool='${NAME}' volume='none'/><target dev='vda'/></disk>`,
      /Storage volume not found/
    ],
    ['pool', `<disk type='volume'><source pool='${NAME}-none' volume='x'/><target dev='vda'/></disk>`, /pool not found/]
  ] as const) {
    const shim = new Shim(bareGuest(`${NAME}-${name}`, inside))
    t.teardown(() => shim.end())
    t.not(await shim.start(), 0, name)
    t.match(shim.errors, error)
  }
  t.same(ports(), [], 'nothing is left')
})
