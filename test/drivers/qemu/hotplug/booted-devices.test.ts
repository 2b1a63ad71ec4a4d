// Devices plugged into a Linux that runs, as it sees them: cards and their cables, a port, a mount, and what is left of
// them when it has given them up.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { BootedGuest, DIRECT_BOOT, makeGuestFiles } from '../../../helper/booted-guest.ts'

t.setTimeout(290_000)

/** It only keeps the test from hanging. */
const LIMIT_MS = 120_000
const LIVE = 1

makeGuestFiles()
const dir = mkdtempSync(join(tmpdir(), 'booted-devices-'))
t.teardown(() => rmSync(dir, { recursive: true }))
writeFileSync(join(dir, 'greeting'), 'hello from the host')

const guest = await BootedGuest.boot(
  `<domain type='qemu'><name>t-booted-${process.pid}</name><memory unit='MiB'>256</memory>
    <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
    <os><type arch='x86_64' machine='pc'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
    <devices><serial type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`
)
t.teardown(() => guest.end())

/** Waits until a shell command in the guest prints that. */
async function sees(command: string, wanted: string): Promise<void> {
  const deadline = Date.now() + LIMIT_MS
  for (;;) {
    const printed = await guest.run(`${command} 2>/dev/null || true`)
    if (printed === wanted) return
    if (Date.now() > deadline) throw new Error(`${command}: '${printed}', not '${wanted}'`)
    await sleep(100)
  }
}

async function change(api: string, xml: string): Promise<void> {
  const { status, body } = await guest.shim.call(`virDomain${api}DeviceFlags`, { xml, flags: LIVE })
  if (status !== 200) throw new Error(body.message)
}

const live = async (): Promise<string> => (await guest.shim.call('virDomainGetXMLDesc')).body.xml

/** Detaches a device and waits until it is gone: a guest may take longer than its caller waits. */
async function detach(xml: string, gone: RegExp): Promise<void> {
  await change('Detach', xml)
  const deadline = Date.now() + LIMIT_MS
  while (gone.test(await live())) {
    if (Date.now() > deadline) throw new Error(`still there: ${xml}`)
    await sleep(100)
  }
}

t.test('a card and its cable', async t => {
  const card = (link: string) => `<interface type='user'><mac address='52:54:00:00:00:77'/><model type='virtio'/>
    <link state='${link}'/></interface>`
  await change('Attach', card('down'))
  await sees('grep -l 52:54:00:00:00:77 /sys/class/net/*/address | cut -d/ -f5', 'eth0')
  await guest.run('ip link set eth0 up')
  for (const [state, carrier] of [
    ['down', '0'],
    ['up', '1'],
    ['down', '0']
  ] as const) {
    await change('Update', card(state))
    await sees('cat /sys/class/net/eth0/carrier', carrier)
    t.match(await live(), new RegExp(`<link state='${state}'/>`))
  }
  await detach(card('down'), /52:54:00:00:00:77/)
  await sees('ls /sys/class/net | grep -c eth', '0')
})

t.test('a port', async t => {
  const port = "<channel type='null'><target type='virtio' name='t.port'/></channel>"
  await change('Attach', port)
  await sees('cat /sys/class/virtio-ports/*/name | grep -c t.port', '1')
  t.match(await live(), /name='t.port'/)
  await detach(
    "<channel type='null'><target type='virtio' name='t.port'/><address type='virtio-serial' controller='0' bus='0' port='2'/></channel>",
    /t\.port/
  )
  await sees('ls /sys/class/virtio-ports | wc -l', '1')
})

const hasVirtiofsd = process.getuid?.() === 0 && existsSync('/usr/lib/qemu/virtiofsd')

t.test('a mount', { skip: !hasVirtiofsd && 'needs virtiofsd' }, async t => {
  const mount = `<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/>
    <source dir='${dir}'/><target dir='t-mount'/></filesystem>`
  await change('Attach', mount)
  await sees('mkdir -p /mnt && mount -t virtiofs t-mount /mnt && cat /mnt/greeting', 'hello from the host')
  await guest.run('umount /mnt')
  await detach(mount, /t-mount/)
  t.notOk(existsSync(join(guest.shim.root, 'fs0-fs.sock')), 'its daemon is gone')
})
