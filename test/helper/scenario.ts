// The same virsh commands in turn on a libvirtd, on an aggregator and on a shim's own socket, each with equal guests: output,
// errors and exit status are to agree. The commands of a group are in test/data/scenario/GROUP.virsh, one a line:
//
//     (a|b|)      one line for each of the choices
//     $G, $U      the guest's name, its UUID but for the last two digits
//     $D, $P      the lane's directory, the port of its VNC server
//     !shim       not on the shim's socket, which has one guest only
//     ro          on the read-only socket, as `virsh -r`
//     listen      goes on while what follows is done; the next line is repeated until the listener has said something
//     hears TEXT  waits for that in what the listener says
//     heard TEXT  the same, then ends it and compares what it said
//     until LINE  repeats that until it succeeds
//     until LINE has TEXT
//                 the same, until it says that too; what it says is not compared
//     say TEXT    is for what the test has put behind the lane's guest
//     begin LINE  goes on while what follows is done
//     end         waits for that and compares what it said
//     there LINE  is for the other host, where there are two; $A and $B are the URIs of both
import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { apiCoverage } from '../../src/drivers/qemu/coverage.ts'
import { AggregatorRun } from './aggregator.ts'
import { Daemons } from './libvirtd.ts'
import { EXCEPTIONS } from './scenario-exceptions.ts'
import { Shim } from './shim.ts'
import { type Ran, UNNAMED_FEATURES, words } from './virsh.ts'

const COMMAND_LIMIT_MS = 60_000
const HEARD_LIMIT_MS = 60_000
/** A guest's boot under TCG, two others beside it. */
const UNTIL_LIMIT_MS = 240_000
const SHUTOFF = 5

/** What the guests of this run are called: libvirtd has others' guests as well. */
export const NAME = `t-scene-${process.pid}`

/** Their UUIDs but for the last two digits. */
export const UUID = `6dfc3c2b-7a4e-4f6e-9f0b-${process.pid.toString(16).padStart(10, '0')}`

/** A daemon that is asked, and where its guests' files are. */
export interface Lane {
  name: 'libvirtd' | 'aggregator' | 'shim'
  uri: string
  readOnlyUri: string
  /** the URI of another host, for guests that move */
  there?: string
  dir: string
  /** of its guest's VNC server */
  port: number
}

export interface Step {
  line: string
  readOnly: boolean
  notOnShim: boolean
  there: boolean
}

export interface Scenario {
  group: string
  /** commands ahead of those in the file */
  lines?: string[]
  /** file name to contents, written to each lane's directory */
  files: Record<string, string>
  /** images of qcow2 that stand on another: names of both */
  overlays?: [image: string, backing: string][]
  /** the file whose guest a shim has, shut off, before the first command; without it there is no shim */
  shim?: string
  /** puts something behind the lane's guest, before the first command */
  prepare?(lane: Lane): Promise<void>
  /** tells it that it is to do otherwise */
  say?(lane: Lane, text: string): void
  /** images beside disk.qcow2 and other.qcow2, by their names without the ending */
  images?: string[]
  /** what of a command's output matters, by what the command is */
  shown?: [command: RegExp, shown: (text: string) => string][]
}

const DISK = (file: string) => `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
  <source file='$D/${file}'/><target dev='vda' bus='virtio'/></disk>`

interface GuestParts {
  /** behind $G in the name */
  suffix?: string
  /** last two digits of the UUID and the MAC address */
  number?: string
  disk?: string
  graphics?: string
  consoles?: string
  devices?: string
}

/** A guest with one of most devices, without an operating system. */
export const guest = ({ suffix = '', number = '33', disk, graphics, consoles, devices = '' }: GuestParts = {}) =>
  `<domain type='qemu'><name>$G${suffix}</name><uuid>$U${number}</uuid>
<title>A title</title><description>Some words</description>
<metadata><app:note xmlns:app='http://example.org/app'>kept <app:b/></app:note></metadata>
<memory unit='MiB'>64</memory><vcpu current='1'>2</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<pm><suspend-to-mem enabled='yes'/><suspend-to-disk enabled='yes'/></pm>
<devices>${disk ?? DISK('disk.qcow2')}
  <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
  <interface type='user'><mac address='52:54:00:7a:11:${number}'/><model type='virtio'/></interface>
  ${consoles ?? "<serial type='pty'/><console type='pty'/>"}
  <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
  ${graphics ?? "<graphics type='vnc' port='$P' listen='127.0.0.1' passwd='geheim'/><video><model type='vga'/></video>"}
  <watchdog model='i6300esb' action='reset'/><memballoon model='virtio'/>
  <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>${devices}</devices></domain>`

/** What differs between equal guests of two daemons. */
const VARYING: [pattern: RegExp, mask: string][] = [
  ...UNNAMED_FEATURES,
  [/\/dev\/pts\/\d+/g, '/dev/pts/N'],
  [/( id=')\d+'/g, "$1ID'"],
  [/\bdev vnet\d+/g, 'dev vnetN'],
  [/^(Id: +)\d+/gm, '$1ID'],
  [/(domain-)\d+(-t-scene)/g, '$1ID$2'],
  [/"id": ?"libvirt-\d+"/g, '"id":"N"'],
  // virsh leaves out one of less than a tick, as vCPUs but the first may have
  [/^(VCPU: +[1-9]\d*\nCPU: .*\nState: .*\n)CPU time: .*\n/gm, '$1'],
  [/(CPU time:? +)[\d.]+s/g, '$1TIME'],
  [/(CPU: +)\d+/g, '$1N'],
  [/( on process )\d+/g, '$1PID'],
  [/^\d{4}-\d\d-\d\d [\d:.+]+: /gm, 'TIME: '],
  [/ at \d+\.\d+ for domain/g, ' at TIME for domain'],
  [/ PATH=\S*/g, ' PATH=P'],
  // how often a progress was asked for
  [/\r[\w ]+: \[ *[\d.]+ %\](?=\r)/g, ''],
  // how far a job is that is not over
  [/(\r[\w ]+: \[) *(?!100)[\d.]+ %\]/g, '$1 N %]'],
  // the tap's descriptor: others have others open
  [/"fd":"\d+"/g, '"fd":"N"'],
  // QEMU's user, and what is kept of the former owner of an image
  [/\+\d+:\+\d+/g, 'OWNER'],
  [/ \(as uid:\d+, gid:\d+\)/g, ''],
  [/((?:Allocation:|vda) .*)\b20[04]\d{3}\b/g, '$1ALLOCATION'],
  // what is a directory of the daemon's own
  [/\/[^\s'"<]*\/org\.qemu\.guest_agent\.0/g, 'AGENT'],
  [/\/[^\s'"<]*\/(?=nvram\/|vnc\.sock)/g, 'OWN/'],
  // moments of their own
  [/<creationTime>\d+/g, '<creationTime>TIME'],
  [/\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\b/g, 'TIME'],
  // seconds since 1970, but no nanoseconds of a CPU
  [/(?<!\.(?:time|user|system|wait|delay)=)\b1[789]\d{8}\b/g, 'TIME'],
  [/<uuid>[\da-f-]{36}<\/uuid>(?=\s*<cpu>)/g, '<uuid>HOST</uuid>']
]

function normal(lane: Lane, said: string): string {
  const own = said
    .replaceAll(lane.uri, 'URI')
    .replaceAll(lane.there ?? lane.uri, 'URI THERE')
    .replaceAll(lane.dir, 'DIR')
    // the number of this process, which is in these, may have that of a port in it
    .replaceAll(UUID, 'UUID-')
    .replaceAll(NAME, 't-scene-NAME')
    .replace(new RegExp(`\\b${lane.port}\\b`, 'g'), 'PORT')
    .replace(new RegExp(`:${lane.port - 5900}\\b`, 'g'), ':DISPLAY')
  return VARYING.reduce((all, [pattern, mask]) => all.replace(pattern, mask), own)
    .split('\n')
    .map(line => line.replace(/\s+$/, '').replace(/-{5,}/g, '---').replace(/ {2,}/g, '  '))
    .join('\n')
}

/** The lines of a group, choices made. */
function stepsOf({ group, lines = [] }: Scenario): Step[] {
  return [...lines, ...readFileSync(`test/data/scenario/${group}.virsh`, 'utf8').split('\n')]
    .filter(line => line !== '' && !line.startsWith('#'))
    .flatMap(choices)
    .map(line => {
      const [, shim, ro, there, rest] = /^(!shim )?(ro )?(there )?(.*)$/.exec(line)!
      return {
        line: rest!.trim(),
        readOnly: ro !== undefined,
        notOnShim: shim !== undefined,
        there: there !== undefined
      }
    })
}

function choices(line: string): string[] {
  const [found, inside] = /\(([^()]*\|[^()]*)\)/.exec(line) ?? []
  if (found === undefined) return [line]
  return inside!.split('|').flatMap(choice => choices(line.replace(found, () => choice)))
}

const inLane = (lane: Lane, text: string) =>
  text
    .replaceAll('$D', lane.dir)
    .replaceAll('$G', NAME)
    .replaceAll('$U', UUID)
    .replaceAll('$P', `${lane.port}`)
    .replaceAll('$A', lane.uri)
    .replaceAll('$B', lane.there ?? '')

const argumentsOf = (lane: Lane, { line, readOnly, there }: Step) => [
  ...(readOnly ? ['-r', '-c', lane.readOnlyUri] : ['-c', there ? lane.there! : lane.uri]),
  ...words(inLane(lane, line))
]

/** Runs a command; once more if virsh dies of the race in its threads that a save or dump which fails at once may be. */
async function virsh(lane: Lane, step: Step): Promise<Ran> {
  const ran = await runVirsh(lane, step)
  return ran.status === null && /^(save|dump) /.test(step.line) ? runVirsh(lane, step) : ran
}

function runVirsh(lane: Lane, step: Step): Promise<Ran> {
  return new Promise(done => {
    const limits = { timeout: COMMAND_LIMIT_MS, maxBuffer: 64 << 20 }
    const child = execFile('virsh', argumentsOf(lane, step), limits, (_, out, err) =>
      done({ status: child.exitCode, out, err })
    )
    child.stdin?.end()
  })
}

/** A virsh that tells of events until it is ended. */
class Listener {
  out = ''
  readonly #child
  readonly #gone

  constructor(lane: Lane, step: Step) {
    const listening = { ...step, line: step.line.replace(/^listen /, '') }
    this.#child = spawn('virsh', argumentsOf(lane, listening), { stdio: ['ignore', 'pipe', 'ignore'] })
    this.#gone = once(this.#child, 'exit')
    this.#child.stdout.on('data', chunk => {
      this.out += chunk
    })
  }

  async until(isSo: (out: string) => boolean): Promise<void> {
    for (const limit = Date.now() + HEARD_LIMIT_MS; !isSo(this.out) && Date.now() < limit; ) await sleep(20)
  }

  async end(): Promise<Ran> {
    this.#child.kill('SIGINT')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), HEARD_LIMIT_MS)
    const [status] = await this.#gone
    clearTimeout(late)
    return { status, out: this.out, err: '' }
  }
}

/** What a lane says to each command of a group; nothing where it is not asked. */
export async function askLane(lane: Lane, wanted: Scenario): Promise<{ step: Step; ran: Ran | undefined }[]> {
  const steps = stepsOf(wanted)
  const ran = await runLane(lane, steps, wanted.say)
  return steps.map((step, index) => ({ step, ran: ran[index] }))
}

async function runLane(lane: Lane, steps: Step[], say: Scenario['say']): Promise<(Ran | undefined)[]> {
  const ran: (Ran | undefined)[] = []
  let listener: Listener | undefined
  let isHeard = true
  let begun: Promise<Ran> | undefined
  for (const step of steps) {
    let result: Ran | undefined
    if (step.notOnShim && lane.name === 'shim') result = undefined
    else if (step.line.startsWith('listen ')) {
      listener = new Listener(lane, step)
      isHeard = false
    } else if (step.line.startsWith('begin ')) {
      begun = virsh(lane, { ...step, line: step.line.slice('begin '.length) })
    } else if (step.line === 'end') {
      result = await begun
    } else if (step.line.startsWith('say ')) {
      say?.(lane, step.line.slice('say '.length))
    } else if (step.line.startsWith('until ')) {
      const [line = '', text = ''] = step.line.slice('until '.length).split(' has ')
      const limit = Date.now() + UNTIL_LIMIT_MS
      const isSo = ({ status, out }: Ran) => status === 0 && out.includes(text)
      do {
        result = await virsh(lane, { ...step, line })
        if (!isSo(result)) await sleep(100)
      } while (!isSo(result) && Date.now() < limit)
      if (text !== '') result = undefined
    } else if (step.line.startsWith('hears ')) {
      await listener!.until(out => out.includes(step.line.slice('hears '.length)))
    } else if (step.line.startsWith('heard ')) {
      await listener!.until(out => out.includes(step.line.slice('heard '.length)))
      result = await listener!.end()
      // how often it took to be heard
      const [first, ...lines] = normal(lane, result.out).split('\n')
      result.out = lines.filter(line => line !== first && !line.startsWith('events received')).join('\n')
    } else {
      result = await virsh(lane, step)
      for (const limit = Date.now() + HEARD_LIMIT_MS; !isHeard && listener!.out === '' && Date.now() < limit; ) {
        await sleep(50)
        if (listener!.out === '') await virsh(lane, step)
      }
      isHeard = true
    }
    ran.push(result && { ...result, out: normal(lane, result.out), err: normal(lane, result.err) })
  }
  return ran
}

const MISSING = new Set(
  apiCoverage()
    .filter(({ coverage }) => coverage === 'missing')
    .map(({ api }) => api)
)

/** Whether that is the answer of an API that is not there yet. */
const isMissing = ({ err }: Ran) => MISSING.has(/not supported by the connection driver: (\w+)/.exec(err)?.[1] ?? '')

/** Runs a group's commands everywhere at once and compares what they said. */
export async function scenario(wanted: Scenario): Promise<void> {
  const { group, files, shim: shimFile } = wanted
  const dir = mkdtempSync(join(tmpdir(), `virshim-${group}-`))
  const daemons = new Daemons(dir)
  const aggregator = new AggregatorRun()
  let shim: Shim | undefined
  t.teardown(async () => {
    forgetGuests()
    await shim?.end()
    await aggregator.end()
    daemons.end()
    rmSync(dir, { recursive: true, force: true })
  })
  await daemons.ensure(2000)
  await aggregator.start()
  const uris = (root: string) => {
    const socket = `qemu+unix:///system?socket=${join(root, 'libvirt-sock')}`
    return { uri: socket, readOnlyUri: `${socket}-ro` }
  }
  const system = { uri: 'qemu:///system', readOnlyUri: 'qemu:///system' }
  const port = 20_000 + (process.pid % 10_000) * 3
  const lanes: Lane[] = [
    { name: 'libvirtd', ...system, dir: join(dir, 'l'), port },
    { name: 'aggregator', ...uris(aggregator.root), dir: join(dir, 'a'), port: port + 1 }
  ]
  if (shimFile !== undefined) {
    const lane = { name: 'shim', ...system, dir: join(dir, 's'), port: port + 2 } as const
    shim = new Shim(inLane(lane, files[shimFile]!))
    lanes.push({ ...lane, ...uris(shim.root) })
  }
  // libvirtd's QEMU is another user
  chmodSync(dir, 0o755)
  for (const lane of lanes) await furnish(lane, wanted)
  if (shim) {
    void shim.start('--define', '--inactive')
    await shim.untilState(SHUTOFF)
  }
  await compareLanes(lanes, wanted)
}

/** Writes a lane's files and images. */
export async function furnish(lane: Lane, { files, images = [], overlays = [], prepare }: Scenario): Promise<void> {
  mkdirSync(lane.dir, { recursive: true })
  chmodSync(lane.dir, 0o777)
  for (const [name, contents] of Object.entries(files)) writeFileSync(join(lane.dir, name), inLane(lane, contents))
  await prepare?.(lane)
  const create = (...words: string[]) => spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...words])
  for (const image of ['disk', 'other', ...images]) create(join(lane.dir, `${image}.qcow2`), '16M')
  for (const [image, backing] of overlays) create('-F', 'qcow2', '-b', join(lane.dir, backing), join(lane.dir, image))
}

/** Runs a group's commands in all lanes at once; what the first one says is expected of the others. */
export async function compareLanes(lanes: Lane[], wanted: Scenario): Promise<void> {
  const { shown = [] } = wanted
  const [expected, ...others] = await Promise.all(lanes.map(lane => askLane(lane, wanted)))
  for (const [index, { step, ran: said }] of expected!.entries()) {
    const { line, readOnly, there } = step
    if (said === undefined || EXCEPTIONS.some(({ lines }) => lines.test(line))) continue
    const view = shown.find(([command]) => command.test(line))?.[1] ?? (text => text)
    const seen = (ran: Ran) => ({ ...ran, out: view(ran.out) })
    await t.test(`${readOnly ? 'read-only: ' : ''}${there ? 'there: ' : ''}${line}`, async t => {
      for (const [at, lane] of others.entries()) {
        const got = lane[index]!.ran
        if (got && !isMissing(got)) t.same(seen(got), seen(said), lanes[at + 1]!.name)
      }
    })
  }
}

/** Ends and undefines what this run has left on libvirtd. */
function forgetGuests(): void {
  const virsh = (...args: string[]) => spawnSync('virsh', ['-q', '-c', 'qemu:///system', ...args], { encoding: 'utf8' })
  const names = virsh('list', '--all', '--name').stdout.split('\n')
  for (const name of names.filter(name => name.startsWith(NAME))) {
    virsh('destroy', name)
    virsh('undefine', name, '--nvram', '--snapshots-metadata')
  }
}
