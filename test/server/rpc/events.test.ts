// What happens to a guest, as the real libvirt-python hears it: from libvirtd and from a shim, the same in the same order.
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { virDomainEventType } from '../../../src/conf/enums.ts'
import { makeGuestFiles } from '../../helper/booted-guest.ts'
import { Daemons } from '../../helper/libvirtd.ts'
import { deeds, makeDisks } from '../../helper/serial-guest.ts'
import { Shim } from '../../helper/shim.ts'

t.setTimeout(600_000)

const PAUSED = 3
const {
  VIR_DOMAIN_EVENT_CRASHED: CRASHED,
  VIR_DOMAIN_EVENT_SHUTDOWN: SHUTDOWN,
  VIR_DOMAIN_EVENT_STOPPED: STOPPED,
  VIR_DOMAIN_EVENT_SUSPENDED: SUSPENDED
} = virDomainEventType
// libvirtd is shared with whoever else is on the host
const NAME = `t-events-${process.pid}`
const dir = mkdtempSync(join(tmpdir(), 'virshim-events-'))
// libvirtd's QEMU is another user
chmodSync(dir, 0o755)

/** A call of events.py, its arguments, and how many events to wait for. */
type Step = [what: string, ...unknown[]]

interface Run {
  title: string
  /** elements in place of the ordinary ones */
  on?: { crash?: string; poweroff?: string; reboot?: string }
  watchdog?: string
  disk?: 'sound' | 'broken'
  /** the quickstart's guest in place of the boot sector */
  linux?: true
  steps: Step[]
}

const clock = `<clock offset='variable' adjustment='0' basis='utc'/>`

/** The guest of a run, with disks nobody has written to. */
function guestXml({ on = {}, watchdog = 'none', disk = 'sound', linux }: Run, owner: string): string {
  if (linux) return readFileSync('examples/tiny.xml', 'utf8').replace('<name>tiny</name>', `<name>${NAME}</name>`)
  const own = join(dir, owner)
  mkdirSync(own, { recursive: true })
  const disks = makeDisks(own)
  for (const image of Object.values(disks)) chmodSync(image, 0o666)
  return `<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>${clock}
  <on_poweroff>${on.poweroff ?? 'destroy'}</on_poweroff><on_reboot>${on.reboot ?? 'restart'}</on_reboot>
  <on_crash>${on.crash ?? 'preserve'}</on_crash>
  <pm><suspend-to-mem enabled='yes'/><suspend-to-disk enabled='yes'/></pm>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${disks.boot}'/>
      <target dev='hda' bus='ide'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' error_policy='stop'/><source file='${disks[disk]}'/>
      <target dev='hdb' bus='ide'/></disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
    <serial type='pty'/>
    <input type='tablet' bus='usb'/>
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
    <video><model type='vga'/></video>
    <watchdog model='ib700' action='${watchdog}'/>
    <panic model='isa'/>
  </devices></domain>`
}

const poke = (deed: keyof typeof deeds, events: number): Step => ['poke', ...deeds[deed], events]
/** Each event comes to two callbacks, life-cycle events to three. */
const LIFECYCLE = 3
const OTHER = 2
/** What the Linux guest is to have in the end. */
const BALLOON_KIB = 200 * 1024
const boot: Step[] = [
  ['api', 'resume', LIFECYCLE],
  ['boot', 0]
]
const destroy: Step = ['api', 'destroy', 2 * LIFECYCLE]

const runs: Run[] = [
  {
    title: 'pausing, resetting, trays, clock, displays, unplugging, thresholds, metadata',
    steps: [
      ...boot,
      ['api', 'suspend', LIFECYCLE],
      ['api', 'suspend', 0],
      ['qmp', 'cont', LIFECYCLE],
      ['state', 1],
      ['qmp', 'stop', LIFECYCLE],
      ['state', 1],
      ['api', 'resume', LIFECYCLE],
      ['state', 1],
      ['hmp', 'eject -f hdc', 0],
      ['qmp', 'blockdev-open-tray', { id: 'ide0-1-0', force: true }, OTHER],
      ['xml', "tray='\\w+'", 1],
      ['qmp', 'blockdev-close-tray', { id: 'ide0-1-0' }, OTHER],
      ['xml', "tray='\\w+'", 1],
      poke('setClock', OTHER),
      ['vnc', 3 * OTHER],
      ['qmp', 'device_del', { id: 'input0' }, OTHER],
      ['xml', "<input type='tablet'", 1],
      ['qmp', 'block-set-write-threshold', { 'node-name': 'libvirt-2-format', 'write-threshold': 1 }, 0],
      poke('writeDisk', 2 * OTHER),
      ['api', 'setMetadata', 1, 'A title', null, null, 0, OTHER],
      poke('crashload', LIFECYCLE),
      ['state', 1],
      ['api', 'reset', OTHER],
      ['boot', 0],
      poke('reboot', OTHER),
      ['boot', 0],
      ['state', 1],
      destroy
    ]
  },
  {
    title: 'a watchdog with each action',
    steps: [
      ...boot,
      poke('watchdog', OTHER),
      ['hmp', 'watchdog_action inject-nmi', 0],
      poke('watchdog', OTHER),
      ['hmp', 'watchdog_action debug', 0],
      poke('watchdog', OTHER),
      ['hmp', 'watchdog_action pause', 0],
      poke('watchdog', OTHER + LIFECYCLE),
      ['state', 1],
      ['api', 'resume', LIFECYCLE],
      ['hmp', 'watchdog_action reset', 0],
      poke('watchdog', 2 * OTHER),
      ['boot', 0],
      ['hmp', 'watchdog_action poweroff', 0],
      poke('watchdog', OTHER + LIFECYCLE)
    ]
  },
  {
    title: 'a watchdog that dumps, then a panic that is preserved',
    watchdog: 'dump',
    steps: [
      ...boot,
      poke('watchdog', OTHER + 2 * LIFECYCLE),
      ['state', 1],
      poke('panic', 2 * LIFECYCLE),
      ['state', 1],
      ['api', 'reset', OTHER],
      ['state', 1],
      destroy
    ]
  },
  {
    title: 'panics that restart',
    on: { crash: 'restart' },
    steps: [...boot, poke('panic', 3 * LIFECYCLE + OTHER), ['boot', 0], ['state', 1], destroy]
  },
  {
    title: 'a panic that dumps and restarts',
    on: { crash: 'coredump-restart' },
    steps: [...boot, poke('panic', 3 * LIFECYCLE + OTHER), ['boot', 0], ['state', 1], destroy]
  },
  {
    title: 'a panic that dumps and ends',
    on: { crash: 'coredump-destroy' },
    steps: [...boot, poke('panic', 3 * LIFECYCLE)]
  },
  { title: 'a panic that ends', on: { crash: 'destroy' }, steps: [...boot, poke('panic', 3 * LIFECYCLE)] },
  {
    title: 'sleep, waking up, hibernation',
    steps: [
      ...boot,
      poke('sleep', OTHER + LIFECYCLE),
      ['state', 1],
      ['api', 'suspend', 0],
      ['api', 'resume', 0],
      ['qmp', 'system_wakeup', OTHER + LIFECYCLE],
      ['state', 1],
      ['api', 'reset', OTHER],
      ['boot', 0],
      poke('hibernate', OTHER + 3 * LIFECYCLE)
    ]
  },
  { title: 'power off', steps: [...boot, poke('powerOff', 2 * LIFECYCLE)] },
  {
    title: 'a reboot by powering off',
    steps: [
      ...boot,
      ['api', 'reboot', 0, 0],
      ['state', 1],
      poke('powerOff', OTHER),
      ['state', 1],
      ['boot', 0],
      poke('powerOff', 2 * LIFECYCLE)
    ]
  },
  {
    title: 'powering off that means starting again',
    on: { poweroff: 'restart' },
    // its shutdown has been told of
    steps: [...boot, poke('powerOff', OTHER), ['boot', 0], ['state', 1], ['api', 'destroy', LIFECYCLE]]
  },
  { title: 'a reset that ends', on: { reboot: 'destroy' }, steps: [...boot, poke('reboot', 2 * LIFECYCLE)] },
  {
    title: 'the agent and the balloon of a Linux guest',
    linux: true,
    steps: [
      ['patience', 90, 0],
      // its kernel and its agent start
      ['api_until', 'AGENT_LIFECYCLE', 1, 'resume', 0],
      ['xml', "name='org.qemu.guest_agent.0' state='\\w+'", 1],
      ['balloon', BALLOON_KIB, OTHER],
      ['xml', '<currentMemory.*', 1],
      ['api_until', 'AGENT_LIFECYCLE', 2, 'reboot', 2, 0],
      destroy
    ]
  },
  {
    title: 'a disk that fails',
    disk: 'broken',
    steps: [...boot, poke('readDisk', 2 * OTHER + LIFECYCLE), ['state', 1], destroy]
  }
]

const AUTO_DUMP = '/var/lib/libvirt/qemu/dump'
makeGuestFiles()
const daemons = new Daemons(dir)
t.teardown(() => {
  spawnSync('virsh', ['-q', '-c', 'qemu:///system', 'destroy', NAME])
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)

/** Files libvirtd and QEMU have made where libvirtd puts its dumps. */
function takeDumps(directory: string): number {
  const files = readdirSync(directory).filter(name => new RegExp(`^\\d+-${NAME}-`).test(name))
  for (const file of files) rmSync(join(directory, file))
  return files.length
}

interface Heard {
  events: unknown[][][]
  monitor: string[]
  errors: string[][]
}

/** Runs the steps on a guest. Not spawnSync: a shim of this process must go on. */
async function hear(uri: string, steps: Step[]): Promise<Heard> {
  const child = spawn('/usr/bin/python3', ['test/helper/events.py', uri, NAME], {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 240_000
  })
  let out = ''
  let err = ''
  child.stdout.on('data', chunk => {
    out += chunk
  })
  child.stderr.on('data', chunk => {
    err += chunk
  })
  child.stdin.end(JSON.stringify(steps))
  await new Promise(resolve => child.once('close', resolve))
  if (out === '') throw new Error(err)
  return normal(JSON.parse(out), steps)
}

/** Steps that do nothing to the guest. */
const LOOKS = new Set(['boot', 'state', 'xml'])

/** Ports of sockets are as they come, the clock goes on, and how often a BIOS resets is its own affair. */
function normal({ events, monitor, errors }: Heard, steps: Step[]): Heard {
  const mask = (text: string) =>
    text
      .replaceAll(/(libvirtd|shim)(?=\/\w+\.qcow2)/g, 'OWNER')
      .replaceAll(/"service": ?"\d+"/g, '"service":"PORT"')
      .replaceAll(/("RTC_CHANGE[^\]]*,\d+)\d{4}\]/g, '$1]')
  let rebooted = false
  const ballooned = new Set<string>()
  let resets = new Set<string>()
  const seen = (heard: unknown[][], at: number) => {
    // a look at the guest, or the wait for its boot, belongs to what made it boot
    if (!LOOKS.has(steps[at]![0])) resets = new Set()
    const panicked = heard.some(([, , event, detail]) => event === CRASHED && detail === 0)
    const ends = panicked && heard.some(([, , event]) => event === STOPPED)
    const told = heard.filter(event => {
      // libvirtd has a thread for panics: the guest may be stopped before it or after it
      if (panicked && event[2] === SUSPENDED && event[3] === 0) return false
      // which may stop to listen before QEMU says that it was killed
      if (ends && event[2] === SHUTDOWN) return false
      const text = JSON.stringify(event)
      rebooted ||= text.startsWith('["REBOOT')
      // QEMU holds these back for up to a second, and a slow guest comes to what was asked in several steps
      if (text.startsWith('["BALLOON')) {
        if (rebooted || event[2] !== BALLOON_KIB || ballooned.has(text)) return false
        ballooned.add(text)
      }
      const isAgain = resets.has(text)
      if (text.startsWith('["REBOOT')) resets.add(text)
      return !isAgain
    })
    // an agent that reboots its guest may have closed its port before the reset does
    const isReboot = (event: unknown[]) => String(event[0]).startsWith('REBOOT')
    return steps[at]![0] === 'api_until' ? [...told.filter(isReboot), ...told.filter(event => !isReboot(event))] : told
  }
  // nor how much of QEMU's end libvirtd listens to
  const end = monitor.findLastIndex(event => event !== 'STOP' && event !== 'SHUTDOWN') + 1
  return {
    events: JSON.parse(mask(JSON.stringify(events.map(seen)))),
    monitor: monitor
      .slice(0, end)
      .filter((event, at) => event !== 'RESET' && (event !== 'BALLOON_CHANGE' || monitor.indexOf(event) === at)),
    errors
  }
}

/** libvirtd does not hold the VNC port it chose: another guest of these tests may be there first. */
function createOnLibvirtd(file: string): void {
  for (let attempt = 1; ; attempt++) {
    const made = spawnSync('virsh', ['-c', 'qemu:///system', 'create', '--paused', file], { encoding: 'utf8' })
    if (made.status === 0) return
    if (attempt === 5 || !made.stderr.includes('Address already in use')) throw new Error(made.stderr)
  }
}

async function onLibvirtd(xml: string, steps: Step[]): Promise<Heard> {
  const file = join(dir, 'guest.xml')
  writeFileSync(file, xml)
  createOnLibvirtd(file)
  try {
    return await hear('qemu:///system', steps)
  } finally {
    spawnSync('virsh', ['-q', '-c', 'qemu:///system', 'destroy', NAME])
  }
}

async function onShim(shim: Shim, steps: Step[]): Promise<Heard> {
  void shim.start('--paused')
  await shim.untilState(PAUSED)
  return hear(`qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`, steps)
}

for (const run of runs) {
  await t.test(run.title, async t => {
    const shim = new Shim(guestXml(run, 'shim'))
    t.teardown(() => shim.end())
    const [expected, heard] = await Promise.all([
      onLibvirtd(guestXml(run, 'libvirtd'), run.steps),
      onShim(shim, run.steps)
    ])
    const dumps = takeDumps(AUTO_DUMP)
    run.steps.forEach((step, at) => {
      t.same(heard.events[at], expected.events[at], `${at}: ${step[0]} ${step[0] === 'poke' ? '' : (step[1] ?? '')}`)
    })
    t.same(heard.errors, expected.errors, 'errors')
    t.same(heard.monitor, expected.monitor, "QEMU's events")
    const made = dumps === 0 ? 0 : takeDumps(join(shim.root, 'dump'))
    t.equal(made, dumps, 'memory was dumped')
  })
}
