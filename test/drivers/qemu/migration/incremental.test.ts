// Checkpoints of guests that move: an incremental backup after the move has what was written since the checkpoint, before
// the move and after it, byte by byte and no more.
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { TwoRoots } from '../../../helper/two-roots.ts'

t.setTimeout(600_000)

const KIB = 1024
const SIZE = 8192 * KIB
const CLUSTER = 64 * KIB
const NAME = `t-incremental-${process.pid}`

const qemuImg = (...words: string[]) => execFileSync('qemu-img', words, { encoding: 'utf8' })

const guestXml = (image: string) => `<domain type='qemu'><name>${NAME}</name>
  <uuid>7b1c5a5e-0000-4000-8000-0000000000d2</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/>
    <target dev='vda' bus='virtio'/></disk><memballoon model='none'/></devices></domain>`

/** Parts of the disk, by KiB and length, as one side writes them. */
const BEFORE = [
  [0, 512],
  [4096, 64]
] as const
const SINCE = [
  [128, 64],
  [6000, 10]
] as const
const AFTER = [[2048, 192]] as const

/** Sides of the move, with the images each has the disk in. */
interface Move {
  what: string
  options: string[]
  from: string
  to: string
  /** makes the disk a chain before the move */
  overlay?: true
}

const MOVES: Move[] = [
  { what: 'on shared storage', options: ['--unsafe'], from: 'shared', to: 'shared' },
  { what: 'with its disk', options: ['--copy-storage-all'], from: 'one', to: 'two' },
  { what: 'with its disk, by itself', options: ['--copy-storage-all', '--p2p'], from: 'three', to: 'four' },
  { what: 'with a chain that becomes one', options: ['--copy-storage-all'], from: 'five', to: 'six', overlay: true },
  { what: 'with the top of a chain', options: ['--copy-storage-inc'], from: 'seven', to: 'eight', overlay: true }
]

/** All five take a minute: INCREMENTAL=all. */
const CHOSEN = process.env.INCREMENTAL === 'all' ? MOVES : MOVES.filter(({ from }) => from === 'one' || from === 'five')

/** The disk of one guest over its move. */
class Disk {
  readonly model = Buffer.alloc(SIZE)
  /** clusters written since the checkpoint */
  readonly since = new Set<number>()
  readonly #roots: TwoRoots
  #byte = 0

  constructor(roots: TwoRoots) {
    this.#roots = roots
  }

  async write(side: 'from' | 'to', parts: readonly (readonly [number, number])[], isSince: boolean): Promise<void> {
    for (const [at, length] of parts) {
      const byte = ++this.#byte
      const line = `qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P ${byte} ${at}k ${length}k"`
      const said = await this.#roots.qmp(side, NAME, 'human-monitor-command', { 'command-line': line })
      if (said !== '') throw new Error(said)
      this.model.fill(byte, at * KIB, (at + length) * KIB)
      const [first, last] = [at, at + length - 1].map(k => Math.floor((k * KIB) / CLUSTER)) as [number, number]
      for (let i = first; isSince && i <= last; i++) this.since.add(i)
    }
  }

  /** Looks at an image that has what was written since the checkpoint. */
  check(t: Test, image: string): void {
    // the disk that stands below it is in use
    const map: { start: number; length: number; depth: number }[] = JSON.parse(
      qemuImg('map', '-U', '--output=json', image)
    )
    const kept = map.filter(({ depth }) => depth === 0)
    const clusters = new Set(
      kept.flatMap(({ start, length }) => Array.from({ length: length / CLUSTER }, (_, i) => start / CLUSTER + i))
    )
    t.same([...clusters].sort(), [...this.since].sort(), 'what was written since, and no more')
    const raw = `${image}.raw`
    qemuImg('convert', '-U', '-O', 'raw', image, raw)
    const content = readFileSync(raw)
    for (const { start, length } of kept) {
      const part = [start, start + length] as const
      t.ok(content.subarray(...part).equals(this.model.subarray(...part)), `${start} + ${length}`)
    }
  }
}

t.test('with the real QEMU', async t => {
  const roots = await TwoRoots.make(t)
  const { dir } = roots
  const file = (name: string) => join(dir, name)
  const virsh = async (side: 'from' | 'to', ...words: string[]) => {
    const { status, out, err } = await roots.virsh(side, words)
    if (status !== 0) throw new Error(`${words.join(' ')}: ${err}`)
    return out
  }
  const written = (name: string, text: string) => {
    writeFileSync(file(name), text)
    return file(name)
  }
  for (const { what, options, from, to, overlay } of CHOSEN) {
    await t.test(what, async t => {
      const disk = new Disk(roots)
      qemuImg('create', '-q', '-f', 'qcow2', file(from), String(SIZE))
      await virsh('from', 'define', written('from.xml', guestXml(file(from))))
      await virsh('from', 'start', NAME)
      await disk.write('from', BEFORE, false)
      await virsh('from', 'checkpoint-create-as', NAME, 'c1')
      await disk.write('from', SINCE.slice(0, 1), true)
      if (overlay) {
        const top = `file=${file(`${from}.top`)}`
        await virsh(
          'from',
          'snapshot-create-as',
          NAME,
          's1',
          '--disk-only',
          '--no-metadata',
          '--diskspec',
          `vda,${top}`
        )
      }
      await disk.write('from', SINCE.slice(1), true)
      const checkpoint = await virsh('from', 'checkpoint-dumpxml', NAME, 'c1')
      const isIncremental = options.includes('--copy-storage-inc')
      if (from !== to) {
        // what is below the top is there already
        const backing = isIncremental ? ['-F', 'qcow2', '-b', file(from)] : []
        qemuImg('create', '-q', '-f', 'qcow2', ...backing, file(to), String(SIZE))
      }
      const xml = written('to.xml', guestXml(file(to)))
      const moved = await roots.migrate(NAME, '--persistent', '--undefinesource', '--xml', xml, ...options)
      t.same(moved, { status: 0, out: '', err: '' })
      t.equal((await virsh('to', 'checkpoint-list', NAME, '--name')).trim(), '', 'its description stays behind')
      await virsh('to', 'checkpoint-create', NAME, '--redefine', '--xmlfile', written('c1.xml', checkpoint))
      await disk.write('to', AFTER, true)
      const backup = `<domainbackup><incremental>c1</incremental><disks><disk name='vda' type='file'>
        <driver type='qcow2'/><target file='${file(`${to}.inc`)}'/></disk></disks></domainbackup>`
      await virsh('to', 'backup-begin', NAME, written('backup.xml', backup))
      while (!/Job type: +None/.test(await virsh('to', 'domjobinfo', NAME))) await sleep(50)
      disk.check(t, file(`${to}.inc`))
      await virsh('to', 'destroy', NAME)
      qemuImg('convert', '-O', 'raw', file(to), file('whole'))
      t.ok(readFileSync(file('whole')).equals(disk.model), 'the disk is as it was written')
      await virsh('to', 'undefine', NAME, '--checkpoints-metadata')
      for (const name of [from, to]) rmSync(file(name), { force: true })
    })
  }
})
