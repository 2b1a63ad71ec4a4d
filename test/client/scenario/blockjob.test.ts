// Jobs on the disks of a running guest: pull, commit, copy and rebase, their progress, their ends, and what definitions
// and files are afterwards.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const disk = (target: string, file = `${target}.qcow2`, more = '', format = 'qcow2') =>
  `<disk type='file' device='disk'><driver name='qemu' type='${format}'/><source file='$D/${file}'/>${more}
    <target dev='${target}' bus='virtio'/></disk>`

/** Images of a disk, the lowest first; each stands on the one before, by a relative name where it is told so. */
const CHAINS: { images: string[]; isRelative?: boolean; format?: string; isBig?: boolean }[] = [
  { images: ['vdb-0', 'vdb-1', 'vdb-2', 'vdb'] },
  { images: ['vdc-0', 'vdc-1', 'vdc-2', 'vdc'], isBig: true },
  { images: ['vdd-0', 'vdd-1', 'vdd-2', 'vdd'], isRelative: true },
  { images: ['vde'], format: 'raw' },
  { images: ['vdf-0', 'vdf-1', 'vdf'], isBig: true },
  { images: ['reused-0', 'reused'] }
]
const MIB_EACH = 12
/** With a bandwidth of 1 MiB/s a job on it goes on longer than the steps take that look at it, on a busy machine too. */
const BIG_MIB_EACH = 60

const run = (command: string, ...args: string[]) => spawnSync(command, args, { encoding: 'utf8' })

function makeChain(dir: string, { images, isRelative, format = 'qcow2', isBig }: (typeof CHAINS)[number]): void {
  const mib = isBig ? BIG_MIB_EACH : MIB_EACH
  for (const [depth, image] of images.entries()) {
    const below = images[depth - 1]
    const backing = below && (isRelative ? `${below}.qcow2` : join(dir, `${below}.qcow2`))
    const path = join(dir, `${image}.qcow2`)
    const on = backing ? ['-F', format, '-b', backing] : []
    run('qemu-img', 'create', '-q', '-f', format, ...on, path, `${mib + 4}M`)
    // a layer has something of its own
    run('qemu-io', '-f', format, '-c', `write -q -P ${depth + 1} ${depth}M ${mib}M`, path)
  }
}

const COPIES: [name: string, xml: string][] = [
  ['qcow2', "<driver type='qcow2'/><source file='$D/copy-xml.qcow2'/>"],
  ['raw', "<driver type='raw'/><source file='$D/copy-xml.raw'/>"],
  ['nosource', "<driver type='raw'/>"],
  ['relative', "<driver type='raw'/><source file='copy.raw'/>"],
  ['format', "<driver type='iso'/><source file='$D/copy.iso'/>"],
  [
    'chain',
    "<driver type='qcow2'/><source file='$D/copy-chain.qcow2'/><backingStore type='file'><format type='qcow2'/><source file='$D/vdf-0.qcow2'/><backingStore/></backingStore>"
  ]
]

await scenario({
  group: 'blockjob',
  files: {
    'g.xml': guest({
      devices: [disk('vdb'), disk('vdc'), disk('vdd'), disk('vde', 'vde.qcow2', '', 'raw'), disk('vdf')].join('')
    }),
    ...Object.fromEntries(COPIES.map(([name, xml]) => [`copy-${name}.xml`, `<disk type='file'>${xml}</disk>`])),
    'detach-vdb.xml': disk('vdb')
  },
  async prepare({ dir }) {
    for (const chain of CHAINS) makeChain(dir, chain)
  },
  shim: 'g.xml',
  shown: [[/^blockjob \S+ \S+( --(info|raw|bytes))*$/, text => text.replace(/\d+/g, 'N')]]
})
