// Images in files that clients bring (virDomainFDAssociate), by libvirt-python on a shim: there as long as the
// connection they came over, for as many starts as one likes.
import { execFile } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { bareGuest, Shim } from '../../helper/shim.ts'

t.setTimeout(300_000)

const SHUTOFF = 5
const SETTLED_LIMIT_MS = 60_000
const VIR_ERR_INVALID_ARG = 8
const VIR_ERR_OPERATION_DENIED = 29
const VIR_ERR_ARGUMENT_UNSUPPORTED = 74
const VIR_FROM_QEMU = 10
const VIR_FROM_DOMAIN = 20
const NAME = `t-groups-${process.pid}`

const disk = (group: string, target: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/nowhere' fdgroup='${group}'/>
    <target dev='${target}' bus='virtio'/></disk>`

const XML = bareGuest(NAME, `<controller type='scsi' index='0' model='virtio-scsi'/>${disk('images', 'vda')}`)
const shim = new Shim(XML)
t.teardown(() => shim.end())
void shim.start('--define', '--inactive')
await shim.untilState(SHUTOFF)

/** Sockets of the shim: each file it keeps waits in two. */
async function socketsOfShim(): Promise<number> {
  const { pids } = (await shim.call('report')).body
  const dir = `/proc/${pids.shim}/fd`
  const isSocket = (name: string) => {
    try {
      return readlinkSync(join(dir, name)).startsWith('socket:')
    } catch {
      return false
    }
  }
  return readdirSync(dir).filter(isSocket).length
}

/** What libvirt-python sees over a socket. */
async function cameOf(socket: string): Promise<unknown> {
  const args = ['test/helper/fd-associate.py', `qemu+unix:///system?socket=${socket}`, NAME]
  const { stdout } = await promisify(execFile)('/usr/bin/python3', args)
  return JSON.parse(stdout)
}

const unknown = (group: string) => [
  VIR_ERR_INVALID_ARG,
  VIR_FROM_QEMU,
  `invalid argument: file descriptor group '${group}' was not associated with the domain`
]
const IMAGES = ['libvirt-1-storage0']

const OUTCOMES = {
  'without files': unknown('images'),
  flags: [VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, 'unsupported flags (0x4) in function qemuDomainFDAssociate'],
  reader: [VIR_ERR_OPERATION_DENIED, VIR_FROM_DOMAIN, /read only access prevents virDomainFDAssociate/],
  given: 0,
  started: [[IMAGES], [8]],
  'started again': [[IMAGES], [8]],
  'given anew': 0,
  others: [[IMAGES], [16]],
  attached: [0, [IMAGES, ['libvirt-2-storage0']], [16, 8]],
  detached: [0, [IMAGES], [16]],
  'attached too late': [unknown('more'), [IMAGES]],
  'after the connection': unknown('images')
}

t.test('of libvirt-python', async t => {
  const before = await socketsOfShim()
  t.match(await cameOf(join(shim.root, 'libvirt-sock')), OUTCOMES)
  // the connections of the requests themselves come and go
  let open = await socketsOfShim()
  for (const limit = Date.now() + SETTLED_LIMIT_MS; open > before && Date.now() < limit; ) {
    await sleep(50)
    open = await socketsOfShim()
  }
  t.ok(open <= before, 'every file is closed')
})

t.test('through the aggregator', async t => {
  const host = new AggregatorRun()
  t.teardown(() => host.end())
  await host.start()
  t.equal((await host.call('virDomainDefineXML', { xml: XML })).status, 200)
  t.match(await cameOf(join(host.root, 'libvirt-sock')), OUTCOMES)
})

t.test('over HTTP, which brings none', async t => {
  const { status, body } = await shim.call('virDomainFDAssociate', { name: 'images' })
  t.equal(status, 501)
  t.equal(body.code, VIR_ERR_ARGUMENT_UNSUPPORTED)
})
