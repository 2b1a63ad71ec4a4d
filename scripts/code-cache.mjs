// Fills V8's code caches in dist/ by running the programs: what they compile on the way is what a cache holds. The
// shim's is of a start, an answer on each API and an end of ordinary guests; what it does not do in every life is better
// compiled when it is needed than read at every start. Files that are loaded when they are needed have caches of their
// own: of jobs on disks, too, which few guests have often enough to have them compiled before, and of a move, in which a
// guest stands still for a while. Without QEMU there is less to cache.
import { spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A shim that has not done its part by then is asked to end. */
const LIMIT_MS = 20_000
/** A job that is not ready to be ended is asked again. */
const TRIES = 10
const RETRY_MS = 100

const env = { ...process.env, VIRSHIM_WRITE_CODE_CACHE: 'all' }
const moreEnv = { ...env, VIRSHIM_WRITE_CODE_CACHE: 'more' }

/** Two ordinary guests: the older machine with few devices, the newer one with what servers and desktops have. */
const guests = [
  {
    machine: 'pc',
    devices: `
      <disk type='file' device='disk'>
        <driver name='qemu' type='raw'/><source file='DIR/disk'/><target dev='vda' bus='virtio'/>
      </disk>
      <interface type='user'><model type='virtio'/></interface>
      <serial type='pty'/>
      <video><model type='vga'/></video>
      <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>`
  },
  {
    machine: 'q35',
    devices: `
      <disk type='file' device='disk'>
        <driver name='qemu' type='raw' cache='none' discard='unmap'/>
        <source file='DIR/disk'/><target dev='sda' bus='scsi'/><boot order='1'/>
      </disk>
      <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
      <controller type='scsi' model='virtio-scsi'/>
      <controller type='usb' model='qemu-xhci'/>
      <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/><boot order='2'/></interface>
      <console type='pty'/>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
      <input type='tablet' bus='usb'/>
      <graphics type='vnc'><listen type='socket'/></graphics>
      <video><model type='virtio'/></video>
      <memballoon model='virtio'/>`
  }
]

const domainXml = ({ machine, devices }, dir) => `
  <domain type='qemu'>
    <name>code-cache-${process.pid}</name>
    <uuid>${randomUUID()}</uuid>
    <memory unit='MiB'>64</memory>
    <vcpu>1</vcpu>
    <os><type arch='x86_64' machine='${machine}'>hvm</type></os>
    <features><acpi/><apic/></features>
    <devices>${devices.replaceAll('DIR', dir)}</devices>
  </domain>`

export async function fillCaches() {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-build-'))
  try {
    writeFileSync(join(dir, 'disk'), Buffer.alloc(1024 * 1024))
    for (const guest of guests) await tried(oneLife(domainXml(guest, dir), dir))
    await tried(oneLife(domainXml(guests[0], dir), dir, moreEnv, diskJobs))
    await tried(twoMoves(domainXml(guests[0], dir), dir))
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  spawnSync('bin/virshim-aggregatord', ['--version'], { env, stdio: 'ignore' })
  const examples = ['examples', 'test/data/domain'].flatMap(xmlFiles)
  spawnSync('bin/virshim', ['domxml-to-native', 'qemu-argv', ...examples], { env, stdio: 'ignore' })
}

/** What goes wrong is told: a cache less makes nothing worse than slower. */
const tried = life => life.catch(error => console.warn(`code cache: ${error.message}`))

/** Starts a guest, asks its shim on both APIs, does the work and ends it. */
async function oneLife(xml, dir, shimEnv = env, work = () => {}) {
  const root = join(dir, 'root')
  const { shim, ended, state } = await startShim(xml, dir, root, shimEnv)
  try {
    if (state !== 'running') return
    await askRpc(join(root, 'libvirt-sock'))
    await post(join(root, 'api.sock'), '/v1/virDomainGetInfo')
    await work((api, args) => succeeds(post(join(root, 'api.sock'), `/v1/${api}`, args)), dir)
    await post(join(root, 'api.sock'), '/v1/virDomainDestroy')
  } catch (error) {
    shim.kill('SIGTERM')
    throw error
  } finally {
    await ended
    rmSync(root, { recursive: true, force: true })
  }
}

/** Moves a guest on over three shims, so that the second is on both sides. */
async function twoMoves(xml, dir) {
  const roots = ['first', 'second', 'third'].map(name => join(dir, name))
  const shims = []
  try {
    for (const [i, root] of roots.entries()) {
      const options = i === 0 ? [] : ['--await-migration']
      shims.push(await startShim(xml, dir, root, i === 1 ? moreEnv : process.env, ...options))
    }
    if (shims[0].state !== 'running') return
    for (const [i, to] of roots.slice(1).entries()) {
      const dconnuri = `qemu+unix:///system?socket=${join(to, 'libvirt-sock')}`
      const flags = ['VIR_MIGRATE_LIVE', 'VIR_MIGRATE_PEER2PEER', 'VIR_MIGRATE_UNSAFE']
      const params = { migrate_uri: 'tcp:127.0.0.1' }
      await post(join(roots[i], 'api.sock'), '/v1/virDomainMigratePerform3Params', { dconnuri, params, flags })
    }
    await post(join(roots.at(-1), 'api.sock'), '/v1/virDomainDestroy')
  } finally {
    for (const { shim } of shims) shim.kill('SIGTERM')
    await Promise.all(shims.map(({ ended }) => ended))
  }
}

/** Settles when it serves its guest, or has ended. */
async function startShim(xml, dir, root, env, ...more) {
  writeFileSync(join(dir, 'guest.xml'), xml)
  const options = ['--root', root, '--aggregator', 'none', '--shutdown-timeout', '1', ...more]
  const shim = spawn('bin/virshimd', [...options, join(dir, 'guest.xml')], {
    env,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    timeout: LIMIT_MS
  })
  const ended = once(shim, 'exit')
  const [news] = await Promise.race([once(shim, 'message'), ended])
  return { shim, ended, state: news?.state }
}

/** @throws Error with the answer's words */
async function post(socketPath, path, body = {}) {
  const headers = { 'content-type': 'application/json' }
  const sent = request({ socketPath, path, method: 'POST', agent: false, headers }).end(JSON.stringify(body))
  const [reply] = await once(sent, 'response')
  const words = (await reply.toArray()).join('')
  if (reply.statusCode !== 200) throw new Error(`${path}: ${words}`)
}

/** Tells whether a call succeeds. */
const succeeds = call =>
  call.then(
    () => true,
    () => false
  )

const DISK_ONLY_NO_METADATA = 16 | 4
const COMMIT_ACTIVE = 4
const COPY_TRANSIENT_JOB = 4
const ABORT_PIVOT = 2

/** Snapshots outside and inside of the image, a copy, a backup, a commit. */
async function diskJobs(call, dir) {
  const disk = 'vda'
  const at = name => `<source file='${join(dir, name)}'/>`
  const overlay = `<disk name='${disk}'>${at('overlay')}</disk>`
  await call('virDomainSnapshotCreateXML', {
    xmlDesc: `<domainsnapshot><disks>${overlay}</disks></domainsnapshot>`,
    flags: DISK_ONLY_NO_METADATA
  })
  await call('virDomainSnapshotCreateXML', { xmlDesc: '<domainsnapshot><name>inside</name></domainsnapshot>' })
  await call('virDomainRevertToSnapshot', { snap: { name: 'inside' } })
  await call('virDomainSnapshotDelete', { snap: { name: 'inside' } })
  const copy = `<disk type='file'>${at('copy')}<driver type='qcow2'/></disk>`
  await call('virDomainBlockCopy', { disk, destxml: copy, flags: COPY_TRANSIENT_JOB })
  await call('virDomainGetBlockJobInfo', { disk })
  await call('virDomainBlockJobAbort', { disk })
  const store = `<disk name='${disk}' type='file'><target file='${join(dir, 'backup')}'/></disk>`
  await call('virDomainBackupBegin', { backupXML: `<domainbackup><disks>${store}</disks></domainbackup>` })
  await call('virDomainGetJobInfo')
  await call('virDomainAbortJob')
  await call('virDomainBlockCommit', { disk, flags: COMMIT_ACTIVE })
  for (let tries = 0; tries < TRIES; tries++) {
    await call('virDomainGetBlockJobInfo', { disk })
    if (await call('virDomainBlockJobAbort', { disk, flags: ABORT_PIVOT })) return
    await sleep(RETRY_MS)
  }
}

/** REMOTE_PROC_AUTH_LIST, which takes no arguments: length, program, version, procedure, type, serial, status. */
async function askRpc(path) {
  const socket = connect(path)
  const packet = Buffer.alloc(28)
  for (const [i, word] of [28, 0x20008086, 1, 66, 0, 0, 0].entries()) packet.writeUInt32BE(word, 4 * i)
  socket.write(packet)
  await once(socket, 'data')
  socket.destroy()
}

const xmlFiles = directory => {
  try {
    return readdirSync(directory).flatMap(name => (name.endsWith('.xml') ? [join(directory, name)] : []))
  } catch {
    return []
  }
}
