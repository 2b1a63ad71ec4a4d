// What waits and what talks: events, QEMU's events and the console, with virsh on libvirtd, virsh on a shim and our
// client, in terminals.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { untilIdle } from '../helper/idle.ts'
import { Daemons } from '../helper/libvirtd.ts'
import { makeDisks } from '../helper/serial-guest.ts'
import { Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const NAME = 't-interactive'
const LIMIT_MS = 20_000

const dir = mkdtempSync(join(tmpdir(), 'virshim-interactive-'))
// libvirtd's QEMU is another user
chmodSync(dir, 0o755)

function guestXml(owner: string): string {
  const own = join(dir, owner)
  mkdirSync(own)
  const { boot } = makeDisks(own)
  chmodSync(boot, 0o666)
  return `<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${boot}'/>
      <target dev='hda' bus='ide'/></disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
    <serial type='pty'/><input type='tablet' bus='usb'/>
  </devices></domain>`
}

const daemons = new Daemons(dir)
t.teardown(() => {
  spawnSync('virsh', ['-q', '-c', 'qemu:///system', 'destroy', NAME])
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)
writeFileSync(join(dir, 'guest.xml'), guestXml('libvirtd'))
const made = spawnSync('virsh', ['-c', 'qemu:///system', 'create', join(dir, 'guest.xml')], { encoding: 'utf8' })
if (made.status !== 0) throw new Error(`virsh create: ${made.stderr}`)
const shim = new Shim(guestXml('shim'))
t.teardown(() => shim.end())
void shim.start()
await shim.untilState(RUNNING)

/** A command line's front. */
const LIBVIRTD = ['virsh', '-c', 'qemu:///system']
const ON_SHIM = ['virsh', '-c', `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`]
const OURS = ['bin/virshim', '-c', join(shim.root, 'api.sock')]

function start([program, ...args]: string[]): { child: ChildProcess; said(): string; ended: Promise<number | null> } {
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream!.on('data', chunk => {
      said += chunk
    })
  }
  return { child, said: () => said, ended: new Promise(resolve => child.once('close', resolve)) }
}

async function run(line: string[]): Promise<{ status: number | null; out: string }> {
  const { said, ended } = start(line)
  const status = await ended
  return { status, out: said() }
}

/** Things that happen to a guest, as virsh does them. */
const HAPPENINGS: [words: string[], lines: number][] = [
  [['suspend', NAME], 1],
  [['resume', NAME], 1],
  [['desc', NAME, '--title', '--new-desc', 'Another title'], 1],
  [['qemu-monitor-command', NAME, '{"execute":"blockdev-open-tray","arguments":{"id":"ide0-1-0","force":true}}'], 1],
  [['qemu-monitor-command', NAME, '{"execute":"blockdev-close-tray","arguments":{"id":"ide0-1-0"}}'], 1]
]

/** The events of our guest: libvirtd tells of others' as well. */
const lines = (text: string) => text.split('\n').filter(line => /(^|: )event /.test(line) && line.includes(NAME))

/** Listens, has things happen, interrupts; gives what was printed. */
async function listen(listener: string[], doer: string[]): Promise<{ status: number | null; out: string }> {
  const listening = start(listener)
  await untilIdle(listening.child.pid)
  let expected = 0
  for (const [words, count] of HAPPENINGS) {
    const done = await run([...doer, ...words])
    if (done.status !== 0) throw new Error(done.out)
    expected += count
    for (const deadline = Date.now() + LIMIT_MS; lines(listening.said()).length < expected && Date.now() < deadline; )
      await sleep(50)
  }
  listening.child.kill('SIGINT')
  const status = await listening.ended
  const out = listening
    .said()
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000/g, 'TIME')
    .replaceAll(/at \d+\.\d{6}/g, 'at TIME')
    .trimEnd()
  return { status, out }
}

for (const words of [
  ['event', '--all', '--loop'],
  ['event', '--all', '--loop', '--timestamp', NAME]
]) {
  await t.test(words.join(' '), async t => {
    const [expected, onShim] = await Promise.all([
      listen([...LIBVIRTD, ...words], LIBVIRTD),
      listen([...ON_SHIM, ...words], ON_SHIM)
    ])
    // others' guests on this host are heard of, too
    const mine = ({ status, out }: { status: number | null; out: string }) => ({
      status,
      out: out
        .split('\n')
        .filter(line => !line.includes("event '") || line.includes(NAME))
        .filter(line => !line.startsWith('events received'))
    })
    t.ok(expected.out.includes('tray-change'), 'events were heard')
    t.same(mine(onShim), mine(expected), 'virsh on the shim')
    const ours = await listen([...OURS, ...words], ON_SHIM)
    t.same(mine(ours), mine(expected), 'virshim')
  })
}

t.test('one event, and none in time', async t => {
  for (const front of [ON_SHIM, OURS]) {
    const once = start([...front, 'event', NAME, '--event', 'lifecycle', '--timeout', '20'])
    await untilIdle(once.child.pid)
    await run([...ON_SHIM, 'suspend', NAME])
    t.equal(await once.ended, 0, once.said())
    t.match(once.said(), /^event 'lifecycle' for domain 't-interactive': Suspended Paused\nevents received: 1\n/)
    await run([...ON_SHIM, 'resume', NAME])
    const none = await run([...front, 'event', NAME, '--event', 'reboot', '--timeout', '1'])
    t.equal(none.status, 1)
    t.match(none.out, /^event loop timed out\nevents received: 0\n/)
  }
})

t.test('qemu-monitor-event', async t => {
  const words = ['qemu-monitor-event', NAME, '--loop', '--event', 'res|st', '--regex', '--no-case']
  const [expected, onShim] = await Promise.all([listenMonitor(LIBVIRTD, words), listenMonitor(ON_SHIM, words)])
  t.match(expected.out, /event STOP at TIME for domain 't-interactive': <null>/)
  t.same(onShim, expected)
})

async function listenMonitor(front: string[], words: string[]): Promise<{ status: number | null; out: string }> {
  const listening = start([...front, ...words])
  await untilIdle(listening.child.pid)
  for (const what of ['suspend', 'resume']) await run([...front, what, NAME])
  for (const deadline = Date.now() + LIMIT_MS; lines(listening.said()).length < 2 && Date.now() < deadline; )
    await sleep(50)
  listening.child.kill('SIGINT')
  const status = await listening.ended
  return { status, out: listening.said().replaceAll(/at \d+\.\d{6}/g, 'at TIME') }
}

t.test('console', async t => {
  const ESCAPE = '\x1d'
  let runs = 0
  const steps = () => [
    ['expect', 'Escape character'],
    // the guest's boot sector gives back what it hears; a shim keeps what was said to those before
    ['echo', `hello${++runs}`],
    ['send', ESCAPE]
  ]
  const inTerminal = (front: string[], ...words: string[]) =>
    run([
      '/usr/bin/python3',
      'test/helper/in-terminal.py',
      JSON.stringify(steps()),
      ...front,
      'console',
      NAME,
      ...words
    ])
  const normal = ({ status, out }: { status: number | null; out: string }) => ({
    status,
    out: out
      .replaceAll('\r', '')
      // of virsh in a terminal where there is no polkit
      .replace(/^Authorization not available.*\n/, '')
      // of what is typed before the terminal is ready a part may be lost
      .replace(/[helo\d]*hello\d.*/s, 'hello')
      .trimEnd()
  })
  const expected = normal(await inTerminal(LIBVIRTD))
  t.match(expected, {
    status: 0,
    out: /Connected to domain 't-interactive'\nEscape character is \^\] \(Ctrl \+ \]\)\n/
  })
  t.same(normal(await inTerminal(ON_SHIM)), expected, 'virsh on the shim')
  t.same(normal(await inTerminal(ON_SHIM, '--force')), expected, 'virsh on the shim, by force')
  t.same(normal(await inTerminal(ON_SHIM, '--devname', 'serial0')), expected, 'virsh on the shim, by name')
  t.match(normal(await inTerminal(OURS)), expected, 'virshim')
  for (const front of [LIBVIRTD, ON_SHIM, OURS]) {
    await run([...front, 'suspend', NAME])
    t.same(normal(await inTerminal(front, '--resume')), expected, 'a paused guest answers once it is resumed')
  }
  const nobody = await run([...ON_SHIM, 'console', NAME, '--devname', 'nosuch'])
  t.match(nobody, { status: 1 })
})

t.test('a reader who goes away ends the client quietly', async t => {
  const { stdout, stderr } = spawnSync('bash', ['-c', 'bin/virshim help | head -n 1'], { encoding: 'utf8' })
  t.equal(stdout.split('\n').length, 2)
  t.equal(stderr, '')
})
