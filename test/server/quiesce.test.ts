// File systems of a guest whose agent holds them still while their disk is copied: what is copied is a file system that was
// put away in order, with every line whose writing the guest had told of, and no half one. Nothing goes on meanwhile, and
// all goes on afterwards.
import { execFileSync, spawnSync } from 'node:child_process'
import { openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { BootedGuest, DIRECT_BOOT, makeGuestFiles } from '../helper/booted-guest.ts'

t.setTimeout(290_000)

/** Wide: it only keeps the test from hanging. */
const LIMIT_MS = 120_000
/** e2fsprogs may be where users do not look. */
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }

makeGuestFiles()
const dir = t.testdir({})
const path = (name: string) => join(dir, name)
execFileSync('mkfs.ext4', ['-q', '-F', path('vda.raw'), '16M'], { env })
execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', path('vda.raw'), path('vda')])
writeFileSync(path('said'), '')

const guest = await BootedGuest.boot(`<domain type='qemu'><name>t-quiesce-${process.pid}</name>
  <memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
  <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path('vda')}'/><target dev='vda' bus='virtio'/></disk>
  <serial type='pty'/><serial type='file'><source path='${path('said')}' append='on'/></serial>
  <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`)
t.teardown(() => guest.end())

async function call(api: string, args: object = {}) {
  const { status, body } = await guest.shim.call(api, args)
  if (status !== 200) throw new Error(`${api}: ${body.codeName} ${body.message}`)
  return body
}

/** The latest line the guest says is written. */
const latest = (): number => Number(readFileSync(path('said'), 'latin1').trimEnd().split(/\s+/).at(-1))

/** Settles when it has written some more. */
async function goesOn(): Promise<void> {
  const from = latest()
  for (const limit = Date.now() + LIMIT_MS; !(latest() >= from + 3); await sleep(20)) {
    if (Date.now() > limit) throw new Error(`the guest stays at line ${latest()}`)
  }
}

const ORDERLY = 0
const FEATURES_AT = 1024 + 96
const NEEDS_RECOVERY = 4

/** Compares the file system in an image with what the guest has told. */
function check(t: Test, what: string, image: string, from: number, to: number): void {
  const raw = path('copied.raw')
  execFileSync('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', image, raw])
  t.equal(featuresOf(raw) & NEEDS_RECOVERY, ORDERLY, `${what}: its journal is empty`)
  const { status, stdout } = spawnSync('e2fsck', ['-f', '-n', raw], { encoding: 'utf8', env })
  t.equal(status, 0, `${what}: ${stdout}`)
  const text = execFileSync('debugfs', ['-R', 'cat /log', raw], {
    encoding: 'utf8',
    env,
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const lines = text.split('\n')
  t.equal(lines.pop(), '', `${what}: the last line is whole`)
  t.ok(lines.length >= from && lines.length <= to, `${what}: ${lines.length} lines, between ${from} and ${to}`)
  t.same(
    lines,
    Array.from(lines, (_, i) => `line ${i + 1}`),
    what
  )
  rmSync(raw)
}

function featuresOf(raw: string): number {
  const word = Buffer.alloc(4)
  readSync(openSync(raw, 'r'), word, 0, 4, FEATURES_AT)
  return word.readUInt32LE()
}

const snapshot = (file: string, flags: string[]) =>
  guest.shim.call('virDomainSnapshotCreateXML', {
    xmlDesc: `<domainsnapshot><disks><disk name='vda' snapshot='external'><source file='${file}'/></disk></disks></domainsnapshot>`,
    flags: ['DISK_ONLY', 'NO_METADATA', ...flags].map(flag => `VIR_DOMAIN_SNAPSHOT_CREATE_${flag}`)
  })

t.before(async () => {
  await guest.run('mkdir /mnt && mount -t ext4 /dev/vda /mnt')
  await guest.run(`(i=1
    while [ ! -e /stop ] && echo "line $i" >> /mnt/log && sync && echo $i > /dev/ttyS1; do i=$((i + 1)); done
  ) < /dev/null > /dev/null 2>&1 &`)
  await goesOn()
})

t.test('a snapshot of what is in use', async t => {
  t.equal((await snapshot(path('one'), [])).status, 200)
  const raw = path('copied.raw')
  execFileSync('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', path('vda'), raw])
  t.equal(featuresOf(raw) & NEEDS_RECOVERY, NEEDS_RECOVERY, 'is a file system that must be put in order')
  await goesOn()
})

t.test('a snapshot with QUIESCE', async t => {
  const from = latest()
  t.match(await snapshot(path('two'), ['QUIESCE']), { status: 200 })
  const to = latest() + 1
  await goesOn()
  check(t, 'the image below', path('one'), from, to)
  t.equal((await guest.agent('guest-fsfreeze-status')).body.result, '{"return":"thawed"}')
})

t.test('a snapshot with QUIESCE that fails', async t => {
  t.match(await snapshot(path('missing/three'), ['QUIESCE']), { body: { codeName: /VIR_ERR/ } })
  t.equal((await guest.agent('guest-fsfreeze-status')).body.result, '{"return":"thawed"}')
  await goesOn()
})

t.test('a backup between freeze and thaw', async t => {
  t.same(await call('virDomainFSFreeze', { mountpoints: [], flags: 0 }), { filesystems: 1 })
  t.match(
    await snapshot(path('three'), ['QUIESCE']),
    { body: { codeName: 'VIR_ERR_AGENT_COMMAND_FAILED' } },
    'who holds it holds it'
  )
  const from = latest()
  await call('virDomainBackupBegin', {
    backupXML: `<domainbackup><disks><disk name='vda' type='file'><driver type='qcow2'/><target file='${path('backup')}'/></disk></disks></domainbackup>`,
    checkpointXML: null,
    flags: []
  })
  while ((await call('virDomainGetJobInfo')).type !== 0) await sleep(20)
  t.ok(latest() <= from + 1, 'what was written before may be told of meanwhile, and nothing else')
  t.same(await call('virDomainFSThaw', { mountpoints: [], flags: 0 }), { filesystems: 1 })
  await goesOn()
  check(t, 'the backup', path('backup'), from, from + 1)
})

t.test('what the guest has at its end', async t => {
  await guest.run('touch /stop; until umount /mnt 2> /dev/null; do usleep 20000; done')
  const at = latest()
  await call('virDomainDestroy')
  check(t, "the guest's disk", path('two'), at, at)
  for (const image of ['vda', 'one', 'two', 'backup']) {
    const { status, stdout } = spawnSync('qemu-img', ['check', '-f', 'qcow2', path(image)], { encoding: 'utf8' })
    t.equal(status, 0, `${image}: ${stdout}`)
  }
})
