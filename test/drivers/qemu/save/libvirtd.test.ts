// Saved memory beside libvirtd 11.3: its images are restored here and ours there, byte by byte, in each format. And a shim
// that is killed while a guest is being saved.
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Daemons } from '../../../helper/libvirtd.ts'
import { Shim } from '../../../helper/shim.ts'

t.setTimeout(300_000)

const [RUNNING, PAUSED, SHUTOFF] = [1, 3, 5]
const NAME = `t-saved-${process.pid}`
const MEMORY = 64 * 2 ** 20

const dir = mkdtempSync(join(tmpdir(), 'virshim-saved-'))
chmodSync(dir, 0o777)
const pattern = join(dir, 'pattern')
const XML = `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>${NAME}</name>
  <memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
  <cpu mode='custom'><model>qemu64</model></cpu><devices><serial type='null'/></devices>
  <qemu:commandline><qemu:arg value='-device'/>
  <qemu:arg value='loader,addr=0x1000000,file=${pattern},force-raw=on'/></qemu:commandline></domain>`

/** Memory of the guest that QEMU has loaded; what is loaded into a restored one is another, and overwritten. */
const newPattern = () => writeFileSync(pattern, randomBytes(2 ** 20))

const daemons = new Daemons(dir)
const shim = new Shim(XML)
const uris = {
  libvirtd: 'qemu:///system',
  shim: `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
}
type Side = keyof typeof uris

function virsh(side: Side, ...words: string[]): { status: number | null; err: string } {
  const { status, stderr } = spawnSync('virsh', ['-c', uris[side], ...words], { encoding: 'utf8', timeout: 60_000 })
  return { status, err: stderr }
}

/** The checksum of all the guest's memory. */
function memory(side: Side): string {
  const name = join(dir, 'memory')
  rmSync(name, { force: true })
  const args = { val: 0, size: MEMORY, filename: name }
  virsh(side, 'qemu-monitor-command', NAME, JSON.stringify({ execute: 'pmemsave', arguments: args }))
  return createHash('sha256').update(readFileSync(name)).digest('hex')
}

/** True for a QEMU of 9.0 or later, which can give each page its place in a file. */
function canMap(): boolean {
  const query = JSON.stringify({ execute: 'query-migrate-capabilities' })
  const args = ['-c', uris.shim, 'qemu-monitor-command', NAME, query]
  return spawnSync('virsh', args, { encoding: 'utf8', timeout: 60_000 }).stdout.includes('mapped-ram')
}

t.teardown(async () => {
  virsh('libvirtd', 'destroy', NAME)
  await shim.end()
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})

t.test('memory goes from one to the other and back', async t => {
  await daemons.ensure(2000)
  newPattern()
  void shim.start('--define', '--paused', '--linger', '--aggregator', 'none')
  await shim.untilState(PAUSED)
  const before = memory('shim')
  const sparse = ['--image-format', 'sparse']
  const mapped = [sparse, [...sparse, '--parallel-channels', '3'], [...sparse, '--bypass-cache']]
  const formats = [[], ['--image-format', 'gzip'], ['--image-format', 'zstd'], ['--bypass-cache']]
  for (const options of canMap() ? [...formats, ...mapped] : formats) {
    for (const [from, to] of [
      ['shim', 'libvirtd'],
      ['libvirtd', 'shim']
    ] as const) {
      const image = join(dir, 'image')
      rmSync(image, { force: true })
      const what = `${from} ${options.join(' ')}`
      t.match(virsh(from, 'save', NAME, image, ...options), { status: 0 }, what)
      newPattern()
      const again = options.filter(option => !(option === '--image-format' || option === options[1]))
      t.match(virsh(to, 'restore', image, ...again), { status: 0 }, what)
      t.equal(memory(to), before, `memory of ${what}`)
    }
  }
  t.match(virsh('shim', 'destroy', NAME), { status: 0 })
  await shim.untilState(SHUTOFF)
})

t.test('a shim that is killed while its guest is saved', async t => {
  const bin = join(dir, 'bin')
  mkdirSync(bin)
  // takes nothing until the shim is gone
  writeFileSync(join(bin, 'gzip'), '#!/bin/sh\nexec tail -f /dev/null --pid=$PPID\n', { mode: 0o755 })
  const { PATH } = process.env
  process.env.PATH = `${bin}:${PATH}`
  const other = new Shim(XML.replaceAll(NAME, `${NAME}-killed`))
  t.teardown(() => {
    process.env.PATH = PATH
    return other.end()
  })
  void other.start('--aggregator', 'none')
  await other.untilState(RUNNING)
  const image = join(dir, 'cut-short')
  const params = { file: image, image_format: 'gzip' }
  const saved = other.call('virDomainSaveParams', { params }).catch(() => undefined)
  const isUnderWay = async () => (await other.call('virDomainGetJobInfo')).body.memProcessed > 0
  while (!(await isUnderWay())) await sleep(50)
  await other.untilState(PAUSED)
  t.match(readFileSync(image, 'latin1'), /^LibvirtQemudPart/)
  other.child?.kill('SIGKILL')
  await saved
  void other.start('--aggregator', 'none')
  await other.untilState(RUNNING, 60_000)
  t.match((await other.call('virDomainGetState')).body, { state: RUNNING, reason: 7 })
  t.notOk(existsSync(image))
  process.env.PATH = PATH
  t.equal((await other.call('virDomainGetJobInfo')).body.type, 0)
})
