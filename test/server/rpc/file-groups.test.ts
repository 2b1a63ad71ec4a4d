// Images in files that clients bring (virDomainFDAssociate), by libvirt-python on a shim: there as long as the
// connection they came over, for as many starts as one likes.
import { execFile } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
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

const shim = new Shim(bareGuest(NAME, disk('images', 'vda')))
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

t.test('of libvirt-python', async t => {
  const before = await socketsOfShim()
  const uri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
  const args = ['test/helper/fd-associate.py', uri, NAME]
  const { stdout } = await promisify(execFile)('/usr/bin/python3', args)
  const unknown = (group: string) => [
    VIR_ERR_INVALID_ARG,
    VIR_FROM_QEMU,
    `invalid argument: file descriptor group '${group}' was not associated with the domain`
  ]
  t.match(JSON.parse(stdout), {
    'without files': unknown('images'),
    flags: [VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, 'unsupported flags (0x4) in function qemuDomainFDAssociate'],
    reader: [VIR_ERR_OPERATION_DENIED, VIR_FROM_DOMAIN, /read only access prevents virDomainFDAssociate/],
    given: 0,
    started: [[['libvirt-1-storage0']], [8]],
    'started again': [[['libvirt-1-storage0']], [8]],
    'given anew': 0,
    others: [[['libvirt-1-storage0']], [16]],
    'after the connection': unknown('images')
  })
  // the connections of the requests themselves come and go
  let open = await socketsOfShim()
  for (const limit = Date.now() + SETTLED_LIMIT_MS; open > before && Date.now() < limit; ) {
    await sleep(50)
    open = await socketsOfShim()
  }
  t.ok(open <= before, 'every file is closed')
})

t.test('over HTTP, which brings none', async t => {
  const { status, body } = await shim.call('virDomainFDAssociate', { name: 'images' })
  t.equal(status, 501)
  t.equal(body.code, VIR_ERR_ARGUMENT_UNSUPPORTED)
})
