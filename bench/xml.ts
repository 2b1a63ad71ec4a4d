// What completing domain XML and building command lines costs, beside virsh on libvirtd; everything in one run.
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Daemons, NO_NATIVE } from '../test/helper/libvirtd.ts'
import { median, mib, ms, printTable, ratio } from './figures.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 7)
const SOURCES = 'test/data/domain'
const ATTEMPTS = 20
/** Another PCI device this host does not have: libvirtd 11.3 on QEMU 7.2 ends at it each time. */
const ENDS_LIBVIRTD = new Set(['interface-hostdev-driver-alone.xml'])
const BIG_BYTES = 2 * 1024 * 1024

const dir = mkdtempSync(join(tmpdir(), 'virshim-bench-'))
const examples = readdirSync(SOURCES)
  .filter(name => name.endsWith('.xml') && !NO_NATIVE.test(name) && !ENDS_LIBVIRTD.has(name))
  .map(name => join(SOURCES, name))

interface Run {
  tookMs: number
  /** highest resident memory, bytes */
  peakBytes: number
  /** what it said is wrong */
  errors: string
}

/** Runs a program to its end, whatever its status: some examples are refused. */
function run(words: string[], input = ''): Promise<Run> {
  const begun = performance.now()
  const child = spawn('/usr/bin/env', ['time', '-f', '%M', '-q', ...words], { stdio: ['pipe', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  child.stdin.end(input)
  return new Promise((done, refuse) => {
    child.once('error', refuse)
    child.once('close', () => {
      const kib = Number(stderr.trim().split('\n').at(-1))
      done({ tookMs: performance.now() - begun, peakBytes: kib * 1024, errors: stderr })
    })
  })
}

/** The files in one process of each program. */
const PROGRAMS: Record<string, (files: string[]) => Promise<Run>> = {
  'virshim domxml-to-native': files => run(['bin/virshim', 'domxml-to-native', 'qemu-argv', '--json', ...files]),
  'virshim domxml-normalize': files => run(['bin/virshim', 'domxml-normalize', '--json', ...files]),
  'virsh domxml-to-native': virsh
}

/** libvirtd does not always survive the others either; then all are asked again. */
async function virsh(files: string[]): Promise<Run> {
  const commands = files.map(file => `domxml-to-native qemu-argv ${file}\n`).join('')
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await daemons.ensure()
    const done = await run(['virsh', '-q', '-c', 'qemu:///system'], commands)
    if (!/End of file while reading data|Failed to connect socket/.test(done.errors)) return done
  }
  throw new Error(`libvirtd has ended ${ATTEMPTS} times`)
}

/** A guest whose description alone fills two mebibytes, with as many disks as fit. */
function bigGuest(): string {
  const disks: string[] = []
  let length = 0
  for (let i = 0; length < BIG_BYTES; i++) {
    const letters = i.toString(26).replace(/./g, digit => String.fromCharCode(97 + Number.parseInt(digit, 26)))
    const disk = `
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap'/>
      <source file='/var/lib/images/pool/${i}/disk.qcow2'/>
      <target dev='sd${letters}' bus='scsi'/>
      <serial>serial-number-${i}</serial>
      <iotune><total_bytes_sec>10485760</total_bytes_sec></iotune>
      <address type='drive' controller='${Math.floor(i / 16384)}' bus='0' target='${Math.floor(i / 64) % 256}' unit='${i % 64}'/>
    </disk>`
    disks.push(disk)
    length += disk.length
  }
  const text = `<domain type='qemu'>
  <name>bench-big</name>
  <memory unit='MiB'>128</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <controller type='scsi' index='0' model='virtio-scsi'/>${disks.join('')}
  </devices>
</domain>
`
  const file = join(dir, 'big.xml')
  writeFileSync(file, text)
  return file
}

type Figures = Pick<Run, 'tookMs' | 'peakBytes'>

async function timed(files: string[]): Promise<Map<string, Figures>> {
  const runs = new Map<string, Run[]>(Object.keys(PROGRAMS).map(name => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, program] of Object.entries(PROGRAMS)) runs.get(name)!.push(await program(files))
  }
  return new Map(
    [...runs].map(([name, list]) => [
      name,
      { tookMs: median(list.map(({ tookMs }) => tookMs)), peakBytes: median(list.map(({ peakBytes }) => peakBytes)) }
    ])
  )
}

const daemons = new Daemons(dir)
try {
  await daemons.ensure()
  const idle = await timed([examples[0]!])
  const all = await timed(examples)
  const big = await timed([bigGuest()])
  console.log(
    `${examples.length} examples, ${ROUNDS} rounds, median, ${cpus().length} CPUs (${cpus()[0]?.model}), Node ${process.version}\n`
  )
  const peer = all.get('virsh domxml-to-native')!
  printTable(
    [
      'one process for all examples',
      'whole',
      'per file',
      'beside virsh',
      'one file',
      '2 MiB guest',
      'peak memory, 2 MiB guest'
    ],
    [...all].map(([name, { tookMs }]) => [
      name,
      ms(tookMs),
      `${(tookMs / examples.length).toFixed(2)} ms`,
      ratio(tookMs, peer.tookMs),
      ms(idle.get(name)!.tookMs),
      ms(big.get(name)!.tookMs),
      mib(big.get(name)!.peakBytes)
    ])
  )
} finally {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
}
