// Latency of changes to a running guest, by one libvirt-python client alternating between libvirtd and a shim whose
// guests have booted the same Linux, which takes the devices and gives them up.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DIRECT_BOOT, makeGuestFiles } from '../test/helper/booted-guest.ts'
import { Daemons } from '../test/helper/libvirtd.ts'
import { printTable, ratio } from './figures.ts'
import { startByLibvirtd, startVirshimd } from './peers.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 7)
const NAME = 'bench-hotplug'
const BOOT_LIMIT_MS = 120_000
const LIBVIRTD = 'libvirtd'
const SHIM = 'virshimd'

const dir = mkdtempSync(join(tmpdir(), 'virshim-bench-'))
// libvirtd's QEMU runs as a user of its own and must reach the images
chmodSync(dir, 0o755)

function makeGuest(name: string): { xml: string; image: string } {
  const image = join(dir, `${name}.img`)
  writeFileSync(image, Buffer.alloc(1024 * 1024))
  const xml = join(dir, `${name}.xml`)
  writeFileSync(
    xml,
    `<domain type='qemu'><name>${name}</name><memory unit='MiB'>256</memory><vcpu current='1'>${ROUNDS + 2}</vcpu>
      <os><type arch='x86_64' machine='pc'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
      <devices><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <memballoon model='virtio'/></devices></domain>`
  )
  return { xml, image }
}

/** Waits until the guest's agent answers: its Linux has booted then. */
async function untilBooted(uri: string, name: string): Promise<void> {
  const ping = ['-c', uri, 'qemu-agent-command', name, '{"execute":"guest-ping"}']
  for (const deadline = Date.now() + BOOT_LIMIT_MS; spawnSync('virsh', ping).status !== 0; await sleep(200)) {
    if (Date.now() > deadline) throw new Error(`${name} of ${uri} does not boot`)
  }
}

const daemons = new Daemons(dir)
makeGuestFiles()
await daemons.ensure()
try {
  console.log(`${ROUNDS} rounds, medians; ${cpus().length} CPUs, Node.js ${process.version}\n`)
  const [theirName, ourName] = [`${NAME}-1`, `${NAME}-2`]
  const [their, our] = [makeGuest(theirName), makeGuest(ourName)]
  const uris = {
    [LIBVIRTD]: 'qemu:///system',
    [SHIM]: `qemu+unix:///system?socket=${join(dir, `${ourName}-root`, 'libvirt-sock')}`
  }
  const guests = [await startByLibvirtd(their.xml, theirName), await startVirshimd(dir, our.xml, ourName)]
  try {
    await untilBooted(uris[LIBVIRTD], theirName)
    await untilBooted(uris[SHIM], ourName)
    const words = [
      `${LIBVIRTD}=${uris[LIBVIRTD]}=${theirName}=${their.image}`,
      `${SHIM}=${uris[SHIM]}=${ourName}=${our.image}`
    ]
    const run = spawnSync('/usr/bin/python3', ['bench/hotplug-client.py', `${ROUNDS}`, ...words], { encoding: 'utf8' })
    if (run.status !== 0) throw new Error(`hotplug-client.py: ${run.stderr}`)
    const medians = JSON.parse(run.stdout) as Record<string, Record<string, number>>
    printTable(
      ['call, median latency', LIBVIRTD, SHIM, 'beside libvirtd'],
      Object.entries(medians).map(([call, { [LIBVIRTD]: theirs = Number.NaN, [SHIM]: ours = Number.NaN }]) => [
        call,
        `${(theirs / 1000).toFixed(1)} ms`,
        `${(ours / 1000).toFixed(1)} ms`,
        ratio(ours, theirs)
      ])
    )
  } finally {
    await Promise.all(guests.map(guest => guest.stop()))
  }
} finally {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
}
