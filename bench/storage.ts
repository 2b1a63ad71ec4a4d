// Time of what takes a guest's memory and disks elsewhere, and for how long the guest stands still meanwhile, by one
// virsh alternating between libvirtd and a shim: guests of 2 GiB of memory, written to for the most part, with a disk of
// 4 GiB that is half full.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DIRECT_BOOT, makeGuestFiles } from '../test/helper/booted-guest.ts'
import { Daemons } from '../test/helper/libvirtd.ts'
import { median, ms, printTable, ratio } from './figures.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 3)
const MEMORY_MIB = Number(process.env.MEMORY_MIB ?? 2048)
const DISK_MIB = Number(process.env.DISK_MIB ?? 4096)
const LIMIT_MS = 600_000
/** Part of its memory that a guest writes to; the rest is its system's, for which 384 MiB in all are few enough. */
const FILLED = 0.7
const LIBVIRTD = 'libvirtd'
const SHIM = 'virshimd'

const dir = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'virshim-bench-'))
// libvirtd's QEMU runs as a user of its own and must reach the images
chmodSync(dir, 0o777)

/** One guest, and virsh on whoever serves it. */
class Guest {
  readonly name: string
  readonly uri: string
  readonly image: string

  constructor(name: string, uri: string) {
    this.name = name
    this.uri = uri
    this.image = join(dir, `${name}.qcow2`)
  }

  get xml(): string {
    return `<domain type='qemu'><name>${this.name}</name><memory unit='MiB'>${MEMORY_MIB}</memory><vcpu>1</vcpu>
      <os><type arch='x86_64' machine='pc'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
      <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${this.image}'/>
          <target dev='vda' bus='virtio'/></disk>
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <memballoon model='none'/></devices></domain>`
  }

  /** @throws Error with virsh's words */
  virsh(...words: string[]): string {
    const { status, stdout, stderr } = spawnSync('virsh', ['-q', '-c', this.uri, ...words], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`virsh ${words.join(' ')}: ${stderr}`)
    return stdout
  }

  /** Has the guest run a shell command. */
  async run(command: string): Promise<void> {
    const ask = (execute: string, args: object) =>
      JSON.parse(
        this.virsh('qemu-agent-command', this.name, JSON.stringify({ execute, arguments: args }), '--timeout', '60')
      ).return
    const { pid } = ask('guest-exec', { path: 'sh', arg: ['-c', command] })
    for (const deadline = Date.now() + LIMIT_MS; Date.now() < deadline; await sleep(500)) {
      const { exited, exitcode } = ask('guest-exec-status', { pid })
      if (exited && exitcode !== 0) throw new Error(`${command}: ${exitcode}`)
      if (exited) return
    }
    throw new Error(`${command}: does not end`)
  }

  /** Waits until its Linux has booted, and fills its memory and half its disk with what does not compress. */
  async fill(): Promise<void> {
    const ping = ['-c', this.uri, 'qemu-agent-command', this.name, '{"execute":"guest-ping"}']
    for (const deadline = Date.now() + LIMIT_MS; spawnSync('virsh', ping).status !== 0; await sleep(200)) {
      if (Date.now() > deadline) throw new Error(`${this.name} does not boot`)
    }
    await this.run('mkdir /fill && mount -t tmpfs -o size=100% fill /fill')
    await this.run('dd if=/dev/urandom of=/fill/piece bs=1M count=16')
    await this.run(`for i in $(seq ${Math.floor((MEMORY_MIB * FILLED) / 16)}); do cat /fill/piece; done > /fill/all`)
    await this.run(`for i in $(seq ${DISK_MIB / 32}); do cat /fill/piece; done | dd of=/dev/vda bs=1M; sync`)
  }

  /** Removes what the round before has left there; the time that takes is nobody's. */
  clear(): void {
    for (const what of ['saved', 'overlay', 'copy', 'backup']) rmSync(at(this, what), { force: true })
  }

  /** Milliseconds in all, and those in which the guest stood still. What others have left to be written is on disk before. */
  async timed(work: () => unknown): Promise<{ tookMs: number; pausedMs: number }> {
    execFileSync('sync')
    const events = spawn('virsh', ['-c', this.uri, 'event', this.name, '--event', 'lifecycle', '--loop', '--timestamp'])
    let heard = ''
    events.stdout.on('data', chunk => {
      heard += chunk
    })
    await sleep(500)
    const begun = performance.now()
    await work()
    const tookMs = performance.now() - begun
    await sleep(200)
    events.kill('SIGINT')
    await new Promise(resolve => events.once('exit', resolve))
    let pausedMs = 0
    let since: number | undefined
    for (const [, stamp, what] of heard.matchAll(
      /^(\S+ \S+): event 'lifecycle' for domain \S+ (Suspended|Resumed)/gm
    )) {
      const at = Date.parse(stamp!.replace(' ', 'T'))
      if (what === 'Suspended') since ??= at
      else if (since !== undefined) {
        pausedMs += at - since
        since = undefined
      }
    }
    return { tookMs, pausedMs }
  }
}

const at = (guest: Guest, what: string) => join(dir, `${guest.name}-${what}`)

async function backedUp(guest: Guest): Promise<void> {
  const file = at(guest, 'backup.xml')
  writeFileSync(
    file,
    `<domainbackup mode='push'><disks><disk name='vda' type='file'><driver type='qcow2'/><target file='${at(guest, 'backup')}'/></disk></disks></domainbackup>`
  )
  guest.virsh('backup-begin', guest.name, file)
  while (!/None/.test(guest.virsh('domjobinfo', guest.name))) await sleep(5)
}

/** What is timed, in this order; each leaves the guest as it was. */
const WORKS: Record<string, (guest: Guest) => unknown> = {
  save: guest => guest.virsh('save', guest.name, at(guest, 'saved')),
  restore: guest => guest.virsh('restore', at(guest, 'saved')),
  'external snapshot': guest =>
    guest.virsh(
      ...['snapshot-create-as', guest.name, '--disk-only', '--no-metadata', '--diskspec'],
      `vda,file=${at(guest, 'overlay')}`
    ),
  'active commit': guest => guest.virsh('blockcommit', guest.name, 'vda', '--active', '--pivot', '--wait'),
  copy: guest =>
    guest.virsh('blockcopy', guest.name, 'vda', at(guest, 'copy'), '--transient-job', '--wait', '--finish'),
  'push backup': backedUp,
  'internal snapshot': guest => guest.virsh('snapshot-create-as', guest.name, 's'),
  revert: guest => guest.virsh('snapshot-revert', guest.name, 's'),
  'delete snapshot': guest => guest.virsh('snapshot-delete', guest.name, 's')
}

const daemons = new Daemons(dir)
makeGuestFiles()
await daemons.ensure()
const ours = 'bench-storage-2'
const root = join(dir, 'root')
const guests = {
  [LIBVIRTD]: new Guest('bench-storage-1', 'qemu:///system'),
  [SHIM]: new Guest(ours, `qemu+unix:///system?socket=${join(root, 'libvirt-sock')}`)
}
let shim: ChildProcess | undefined
try {
  console.log(
    `${ROUNDS} rounds, medians; ${cpus().length} CPUs, ${MEMORY_MIB} MiB of memory, a disk of ${DISK_MIB} MiB\n`
  )
  for (const guest of Object.values(guests)) {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', guest.image, `${DISK_MIB}M`])
    chmodSync(guest.image, 0o666)
    writeFileSync(at(guest, 'guest.xml'), guest.xml)
  }
  const [theirs, our] = [guests[LIBVIRTD], guests[SHIM]]
  theirs.virsh('define', at(theirs, 'guest.xml'))
  theirs.virsh('start', theirs.name)
  shim = spawn('bin/virshimd', ['--define', '--linger', '--root', root, '--aggregator', 'none', at(our, 'guest.xml')], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  await new Promise((resolve, reject) => {
    shim!.once('message', resolve)
    shim!.once('exit', () => reject(new Error('virshimd could not start its guest')))
  })
  for (const guest of [theirs, our]) await guest.fill()
  const took = new Map<string, { tookMs: number; pausedMs: number }[]>()
  const written: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const guest of Object.values(guests)) guest.clear()
    for (const [what, work] of Object.entries(WORKS)) {
      const sides = Object.entries(guests)
      for (const [side, guest] of round % 2 ? sides.reverse() : sides) {
        const figures = await guest.timed(() => work(guest))
        const key = `${what} ${side}`
        took.set(key, [...(took.get(key) ?? []), figures])
        if (what === 'save' && side === SHIM) {
          const { size } = statSync(at(guest, 'saved'))
          const begun = performance.now()
          execFileSync('dd', [`if=${at(guest, 'saved')}`, `of=${at(guest, 'dd')}`, 'bs=1M', 'conv=fsync'], {
            stdio: 'ignore'
          })
          const ddRate = size / (performance.now() - begun)
          written.push(size / figures.tookMs / ddRate)
          rmSync(at(guest, 'dd'))
        }
      }
    }
  }
  const of = (what: string, side: string, key: 'tookMs' | 'pausedMs') =>
    median(took.get(`${what} ${side}`)!.map(figures => figures[key]))
  printTable(
    ['operation', LIBVIRTD, SHIM, 'beside libvirtd', 'pause, libvirtd', 'pause, virshimd'],
    Object.keys(WORKS).map(what => [
      what,
      ms(of(what, LIBVIRTD, 'tookMs')),
      ms(of(what, SHIM, 'tookMs')),
      ratio(of(what, SHIM, 'tookMs'), of(what, LIBVIRTD, 'tookMs')),
      ms(of(what, LIBVIRTD, 'pausedMs')),
      ms(of(what, SHIM, 'pausedMs'))
    ])
  )
  console.log(`save writes ${ratio(median(written), 1)} of what dd writes to the same place, both until it is on disk`)
} finally {
  for (const guest of Object.values(guests)) {
    spawnSync('virsh', ['-q', '-c', guest.uri, 'destroy', guest.name])
    spawnSync('virsh', ['-q', '-c', guest.uri, 'undefine', guest.name, '--snapshots-metadata', '--managed-save'])
  }
  shim?.kill('SIGTERM')
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
}
