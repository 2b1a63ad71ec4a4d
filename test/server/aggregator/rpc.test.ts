// The real virsh on the aggregator and on libvirtd, side by side: the same commands on equal guests, through their whole
// life, with the same output and exit status.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { echoDisk } from '../../helper/echo-disk.ts'
import { untilIdle } from '../../helper/idle.ts'
import { Daemons } from '../../helper/libvirtd.ts'
import { masks, only, type Ran, runner, type Step, words } from '../../helper/virsh.ts'

// two programs a step on a busy machine
t.setTimeout(280_000)

const SIDES = ['libvirtd', 'aggregator'] as const
type Side = (typeof SIDES)[number]

const A = 't-agg-a'
const B = 't-agg-b'
const C = 't-agg-c'
const NAMES = [A, B, C]
const UUID = {
  [A]: '1c8f3a52-2f0b-4a53-9d59-0d5b8c1e0a01',
  [B]: '1c8f3a52-2f0b-4a53-9d59-0d5b8c1e0a02',
  [C]: '1c8f3a52-2f0b-4a53-9d59-0d5b8c1e0a03'
}
const MAC = '52:54:00:7a:44:01'
const OWN = /t-agg-|Name/

const dir = mkdtempSync(join(tmpdir(), 'virshim-agg-virsh-'))
// libvirtd's QEMU is another user
chmodSync(dir, 0o755)

/** A file of one side, whose name a step gives in braces. */
const fileOf = (side: Side, name: string) => join(dir, `${side}-${name}`)

function guest(name: keyof typeof UUID, devices: string, more = ''): string {
  return `<domain type='qemu'><name>${name}</name><uuid>${UUID[name]}</uuid>${more}
  <memory unit='MiB'>64</memory><vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices>${devices}</devices></domain>`
}

function makeFiles(side: Side): void {
  const image = fileOf(side, 'a.qcow2')
  spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, '16M'])
  const echo = fileOf(side, 'c.img')
  writeFileSync(echo, echoDisk())
  const a = guest(
    A,
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
    <interface type='user'><mac address='${MAC}'/><model type='virtio'/></interface>
    <serial type='pty'/><console type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <video><model type='vga'/></video>`,
    `<title>A guest to compare</title>
     <metadata><app:note xmlns:app='http://example.org/app'>kept</app:note></metadata>`
  )
  const b = guest(B, `<serial type='pty'/>`)
  const c = guest(
    C,
    `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${echo}'/>
      <target dev='hda' bus='ide'/></disk><serial type='pty'/><console type='pty'/>`
  )
  const files = {
    a,
    b,
    c,
    changed: a.replace('A guest to compare', 'Changed'),
    stranger: a.replace(UUID[A], '1c8f3a52-2f0b-4a53-9d59-0d5b8c1e0a09'),
    renamed: a.replace(`<name>${A}<`, `<name>${A}-other<`),
    broken: a.slice(0, -9),
    nameless: a.replace(/<name>.*<\/name>/, '')
  }
  for (const [name, xml] of Object.entries(files)) {
    writeFileSync(fileOf(side, `${name}.xml`), xml)
    chmodSync(fileOf(side, `${name}.xml`), 0o644)
  }
  for (const path of [image, echo]) chmodSync(path, 0o666)
}

const daemons = new Daemons(dir)
const aggregator = new AggregatorRun()
const uris: Record<Side, string> = {
  libvirtd: 'qemu:///system',
  aggregator: `qemu+unix:///system?socket=${join(aggregator.root, 'libvirt-sock')}`
}
const listeners: Partial<Record<Side, ChildProcess>> = {}
t.teardown(async () => {
  for (const child of Object.values(listeners)) child.kill()
  for (const name of NAMES) {
    spawnSync('virsh', ['-q', '-c', uris.libvirtd, 'destroy', name])
    spawnSync('virsh', ['-q', '-c', uris.libvirtd, 'undefine', name])
  }
  await aggregator.end()
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)
await aggregator.start()
for (const side of SIDES) makeFiles(side)

const run = runner([
  ...masks('t-agg-[abc]', '(?:libvirtd|aggregator)-a\\.qcow2'),
  [/\/[^\s'"<]*\/(?:libvirtd|aggregator)-/g, 'DIR/']
])

/** A program of its own for what virsh does only on a terminal, or not at all. */
const PYTHON = `
import libvirt, sys, time
conn = libvirt.open(sys.argv[1])
def console(name):
    dom = conn.lookupByName(name)
    stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
    dom.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    heard, until = b'', time.time() + 20
    # the guest answers once it has booted
    while b'hello' not in heard and time.time() < until:
        stream.send(b'hello\\n')
        time.sleep(0.2)
        data = stream.recv(4096)
        if not isinstance(data, int): heard += data
    stream.abort()
    print('the console answers' if b'hello' in heard else 'the console says %r' % heard)
def lookups(name):
    dom = conn.lookupByName(name)
    for other in (conn.lookupByUUIDString(dom.UUIDString()), conn.lookupByUUID(dom.UUID())):
        print(other.name(), other.isActive(), other.isPersistent(), other.ID() == dom.ID())
    if dom.ID() > 0: print(dom.ID() in conn.listDomainsID())
    print(name in conn.listDefinedDomains(), conn.numOfDomains() >= 0, conn.numOfDefinedDomains() >= 0)
def several(*names):
    doms = [conn.lookupByName(name) for name in names]
    for dom, stats in conn.domainListGetStats(doms, libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_VCPU):
        print(dom.name(), stats['state.state'], stats.get('vcpu.maximum'))
def pipelined(name):
    import threading
    dom, out = conn.lookupByName(name), []
    threads = [threading.Thread(target=lambda: out.append(dom.info()[0])) for _ in range(20)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(out)
def unknown():
    for call in (lambda: conn.lookupByName('nobody'), lambda: conn.lookupByID(999999), lambda: conn.lookupByUUIDString('x'),
                 lambda: conn.lookupByUUIDString('00000000-0000-0000-0000-000000000001')):
        try: call()
        except libvirt.libvirtError as e: print(e.get_error_code(), e.get_error_domain(), e)
globals()[sys.argv[2]](*sys.argv[3:])
`

/** Runs a step on one side. */
function on(side: Side, line: string): Ran {
  const [first, ...rest] = words(line.replace(/\{([\w.]+)\}/g, (_all, name) => fileOf(side, name)))
  if (first === 'python') return run('/usr/bin/python3', '-c', PYTHON, uris[side], ...rest)
  return run('virsh', '-c', uris[side], first!, ...rest)
}

const steps: Step[] = [
  // definitions
  'define {a.xml}',
  'define {changed.xml}',
  `desc ${A} --title`,
  'define {a.xml}',
  'define {stranger.xml}',
  'define {renamed.xml}',
  'define {broken.xml}',
  'define {nameless.xml}',
  'define {none.xml}',
  ['list', only(OWN)],
  ['list --all', only(OWN)],
  ['list --inactive', only(OWN)],
  ['list --all --name', only(/t-agg/)],
  ['list --all --uuid', only(/1c8f3a52/)],
  ['list --all --title', only(OWN)],
  ['list --inactive --persistent', only(OWN)],
  `dominfo ${A}`,
  `domstate ${A}`,
  `domstate ${A} --reason`,
  `domid ${A}`,
  `domuuid ${A}`,
  `domname ${UUID[A]}`,
  `dominfo ${UUID[A]}`,
  'dominfo nobody',
  `domblklist ${A}`,
  `domblklist ${A} --details`,
  `domiflist ${A}`,
  `vcpucount ${A}`,
  `vcpucount ${A} --current --config`,
  `dumpxml ${A} --xpath //disk`,
  `dumpxml ${A} --xpath //interface`,
  `metadata ${A} http://example.org/app`,
  `desc ${A} --title --new-desc "Another title"`,
  `desc ${A} --title`,
  'python unknown',
  `python lookups ${A}`,
  `python several ${A}`,
  // what a guest that is shut off refuses
  `suspend ${A}`,
  `resume ${A}`,
  `reset ${A}`,
  `reboot ${A}`,
  `shutdown ${A}`,
  `destroy ${A}`,
  `domblkstat ${A} vda`,
  `screenshot ${A} {shot.png}`,
  `qemu-monitor-command ${A} {"execute":"query-name"}`,
  // autostart
  `autostart ${A}`,
  `dominfo ${A}`,
  ['list --all --autostart', only(OWN)],
  `autostart ${A} --disable`,
  ['list --all --no-autostart', only(OWN)],
  // runs
  `start ${A}`,
  `start ${A}`,
  `domstate ${A} --reason`,
  ['list', only(OWN)],
  ['list --persistent', only(OWN)],
  'create {b.xml}',
  'create {b.xml}',
  // a transient guest is kept, and is not again
  'define {b.xml}',
  'define {b.xml}',
  `undefine ${B}`,
  'define {b.xml}',
  `undefine ${B}`,
  'create {broken.xml}',
  'define {c.xml}',
  ['list', only(OWN)],
  ['list --all', only(OWN)],
  ['list --transient', only(OWN)],
  ['list --persistent --all', only(OWN)],
  ['list --state-running', only(OWN)],
  ['list --state-shutoff', only(OWN)],
  ['list --all --name', only(/t-agg/)],
  ['list --id', text => (/\d/.test(text) ? 'ids' : text)],
  `dominfo ${B}`,
  `autostart ${B}`,
  `python lookups ${A}`,
  `python lookups ${B}`,
  `python lookups ${C}`,
  `python several ${C} ${A} ${B}`,
  `python pipelined ${A}`,
  // statistics
  `domstats ${A} --state`,
  `domstats ${A} --balloon`,
  `domstats ${B} --state --vcpu-none`,
  [`domstats ${A} --vcpu`, only(/Domain|current|maximum|state/)],
  `domstats ${A} --interface`,
  `domstats ${A} --block`,
  [`domstats ${A} ${B} --state`, only(/Domain|state/)],
  `domstats ${A} nobody --state`,
  `domblkstat ${A} vda`,
  `domblkinfo ${A} vda`,
  `domblkinfo ${A} hdc`,
  `domblkerror ${A}`,
  `domif-getlink ${A} ${MAC}`,
  [`dommemstat ${A}`, only(/actual|rss/)],
  `domcontrol ${A}`,
  `vcpuinfo ${A}`,
  [`cpu-stats ${A} --total`, only(/Total|time/)],
  `ttyconsole ${A}`,
  `domdisplay ${A}`,
  `domjobinfo ${A}`,
  `dumpxml ${A} --inactive --xpath //uuid`,
  `dumpxml ${B} --xpath //serial`,
  // in the guest
  `screenshot ${A} {shot.png}`,
  `screenshot ${B} {shot.png}`,
  `send-key ${A} KEY_A`,
  `inject-nmi ${A}`,
  `qemu-monitor-command ${A} {"execute":"query-name"}`,
  `qemu-monitor-command ${B} --hmp info name`,
  `qemu-agent-command ${A} {"execute":"guest-ping"} --timeout 1`,
  `suspend ${A}`,
  `suspend ${A}`,
  `domstate ${A} --reason`,
  ['list', only(OWN)],
  ['list --state-paused', only(OWN)],
  `resume ${A}`,
  `resume ${A}`,
  `domstate ${A} --reason`,
  `reset ${A}`,
  `reboot ${A} --mode acpi`,
  `shutdown ${A} --mode acpi`,
  `domstate ${A}`,
  // a console
  `start ${C} --paused`,
  `domstate ${C} --reason`,
  `resume ${C}`,
  `python console ${C}`,
  `python console ${C}`,
  // a guest that runs loses its definition, and gets one
  `undefine ${C}`,
  `dominfo ${C}`,
  ['list --transient', only(OWN)],
  'define {c.xml}',
  `dominfo ${C}`,
  `destroy ${C}`,
  `domstate ${C} --reason`,
  `undefine ${C}`,
  `undefine ${C}`,
  `dominfo ${C}`,
  `destroy ${B}`,
  `domstate ${B}`,
  ['list --all', only(OWN)],
  // and again
  `destroy ${A}`,
  `domstate ${A} --reason`,
  `destroy ${A}`,
  `start ${A}`,
  `destroy ${A} --graceful`,
  `undefine ${A}`,
  `start ${A}`,
  ['list --all', only(OWN)],
  // the host
  'hostname',
  'nodeinfo',
  'maxvcpus --type kvm',
  'nodecpumap',
  ['version', text => text.replace(/[\d.]+/g, 'N')],
  'sysinfo'
]

/** What `virsh event` says of our guests, in order, by guest. */
async function heard(side: Side): Promise<Record<string, string[]>> {
  const child = listeners[side]!
  let text = ''
  child.stdout?.on('data', chunk => {
    text += chunk
  })
  const gone = new Promise(resolve => child.once('close', resolve))
  await untilIdle(child.pid)
  child.kill('SIGINT')
  await gone
  const events = [...text.matchAll(/domain '([^']+)': (.*)/g)]
  return Object.fromEntries(
    NAMES.map(name => [name, events.filter(([, of]) => of === name).map(([, , what = '']) => what)])
  )
}

for (const side of SIDES) {
  listeners[side] = spawn('virsh', ['-c', uris[side], 'event', '--event', 'lifecycle', '--loop'], {
    stdio: ['ignore', 'pipe', 'ignore']
  })
}
await Promise.all(SIDES.map(side => untilIdle(listeners[side]!.pid)))

let compared = 0
for (const step of steps) {
  const [line, shown] = typeof step === 'string' ? [step, (text: string) => text] : step
  const view = ({ status, out, err }: Ran) => ({ status, out: shown(out), err: err.trim() })
  await t.test(line, async t => {
    t.same(view(on('aggregator', line)), view(on('libvirtd', line)))
    compared++
  })
}

t.test('at least 120 commands were compared', async t => {
  t.ok(compared >= 120, `${compared}`)
})

t.test('the events of all guests came in one stream, those of each in order', async t => {
  t.same(await heard('aggregator'), await heard('libvirtd'))
})
