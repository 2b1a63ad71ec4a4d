// Two hosts on this machine for guests that move: each has namespaces of its own for processes, mounts, network and host
// name, with a libvirtd or an aggregator in it; a cable is between them.
//
//     DIR/a, DIR/b      a host's own: sockets, state, logs; seen under the same path from everywhere
//     DIR/shared        images that both hosts have
//     DIR/local         images that each has its own of: DIR/a/local, DIR/b/local from outside
//
// What a migration between two libvirtd 11.3 needs here, as tried:
//
//     managed        `virsh -c URI-of-a migrate G URI-of-b`: URIs with ?socket= are enough; a's QEMU finds b by its host
//                    name, which both know by /etc/hosts, and which must not begin with `localhost`
//     peer to peer   a's libvirtd opens URI-of-b itself: qemu+unix with ?socket= (libvirt takes it for another host, while
//                    qemu:///system is refused), or qemu+tcp where b listens (`--listen`, auth_tcp none)
//     two UUIDs      host_uuid in libvirtd.conf; an aggregator's is made from /etc/machine-id where there is no firmware
//     shared images  `--unsafe`, as the directory is on no network's file system, or shared_filesystems in qemu.conf
//     one name       no control groups: both hosts would give their guests the same ones
//     an end         a first process that reaps, or libvirtd waits for QEMU for ever
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { uuidOfMachine } from '../../src/host/identity.ts'
import { processesNaming } from './processes.ts'
import { allowPostcopy } from './userfaults.ts'
import type { Ran } from './virsh.ts'

const START_LIMIT_MS = 60_000
const COMMAND_LIMIT_MS = 120_000
const FIRMWARE_UUID = '/sys/devices/virtual/dmi/id/product_uuid'

/** What a host's guests are run by. */
export type Daemon = 'libvirtd' | 'virshim'

export interface HostOptions {
  daemon: Daemon
  /** lines for libvirtd.conf, such as log_filters */
  libvirtdConf?: string[]
  /** lines for qemu.conf */
  qemuConf?: string[]
  /** options of the aggregator */
  options?: string[]
  /** directory for the aggregators' roots; absent: each host's own */
  roots?: string
  /** directory of an aggregator and shims that take the place of this build's */
  programs?: string
  /** what is in the aggregator's environment beside ours */
  env?: Record<string, string>
  /** certificates for migration, of one authority for both hosts, in /etc/pki/qemu */
  tls?: boolean
  /** the cable ends in a bridge of that name on either host, for guests' taps */
  bridge?: string
}

/** Lines of libvirtd.conf that have everything QEMU is told and answers written to `DIR/a/libvirtd.log`. */
export const MONITOR_LOG = ['log_filters="1:qemu.qemu_monitor 3:*"']

/** Where guests can be: a daemon, and the host that it runs on. */
export interface MigrationPlace {
  readonly name: string
  readonly daemon: Daemon
  readonly hostName: string
  /** the aggregator's */
  readonly root: string
  /** where its daemon is asked by libvirt's clients, from either host and from outside */
  readonly uri: string
  /** The path from outside of a file that it has below DIR/local. */
  ownPath(name: string): string
  /** Asks its daemon by the real virsh. */
  virsh(...words: string[]): Promise<Ran>
  /** Runs a program on its host. */
  run(program: string, ...words: string[]): Promise<Ran>
  /** Processes on its host that name a text, as seen from outside. */
  processes(text: string): number[]
}

export const uriOf = (socket: string): string => `qemu+unix:///system?socket=${socket}`

const aggregatorWords = (root: string, programs = join(process.cwd(), 'bin')): string[] => [
  join(programs, 'virshim-aggregatord'),
  ...['--root', root, '--secondary', 'none']
]

/** One of the two hosts. */
export class MigrationHost implements MigrationPlace {
  readonly name: 'a' | 'b'
  readonly daemon: Daemon
  /** its own files */
  readonly dir: string
  readonly hostName: string
  readonly address: string
  readonly uuid: string
  readonly #options: HostOptions
  #holder: ChildProcess | undefined
  #daemon: ChildProcess | undefined
  #pid = 0

  constructor(name: 'a' | 'b', options: HostOptions, world: string) {
    const number = name === 'a' ? 1 : 2
    this.name = name
    this.daemon = options.daemon
    this.dir = join(world, name)
    this.hostName = `host-${name}`
    this.address = `10.77.0.${number}`
    this.uuid = `5c1f6b1e-6d0e-4f3a-8a6b-00000000000${number}`
    this.#options = options
  }

  get uri(): string {
    return uriOf(this.libvirtSocket)
  }

  /** The same by way of the network, from the other host; libvirtd only. */
  get tcpUri(): string {
    return `qemu+tcp://${this.hostName}/system`
  }

  get libvirtSocket(): string {
    return join(this.daemon === 'libvirtd' ? this.dir : this.root, 'libvirt-sock')
  }

  get root(): string {
    const { roots } = this.#options
    return roots === undefined ? join(this.dir, 'r') : join(roots, this.name)
  }

  /** What its libvirtd has logged. */
  get log(): string {
    return readFileSync(join(this.dir, 'libvirtd.log'), 'utf8')
  }

  /** The process its namespaces are those of, as seen from outside. */
  get pid(): number {
    return this.#pid
  }

  /** Makes its namespaces: it is without a daemon and without a network then. */
  async boot(): Promise<void> {
    const { dir } = this
    for (const name of ['lib', 'log', 'local', 'r']) mkdirSync(join(dir, name), { recursive: true })
    const etc = join(dir, 'etc')
    cpSync('/etc', etc, { recursive: true, verbatimSymlinks: true, filter: path => path !== '/etc/libvirt' })
    mkdirSync(join(etc, 'libvirt'))
    const files: Record<string, string[]> = {
      'etc/hosts': ['127.0.0.1 localhost', '10.77.0.1 host-a', '10.77.0.2 host-b'],
      'etc/libvirt/libvirtd.conf': this.#libvirtdConf(),
      'etc/libvirt/qemu.conf': this.#qemuConf(),
      'etc/machine-id': [this.uuid.replaceAll('-', '')],
      'product-uuid': [this.uuid]
    }
    for (const [name, lines] of Object.entries(files)) {
      rmSync(join(dir, name), { force: true })
      writeFileSync(join(dir, name), `${lines.join('\n')}\n`)
    }
    if (this.#options.tls) makeCertificates(join(dirname(dir), 'ca'), join(etc, 'pki/qemu'), this)
    const steps = [
      'umount --recursive --lazy /sys',
      'mount -t sysfs sysfs /sys',
      'mount -t tmpfs tmpfs /run',
      `mount --bind ${dir}/etc /etc`,
      `mount --bind ${dir}/lib /var/lib/libvirt`,
      `mount --bind ${dir}/log /var/log/libvirt`,
      `mount --bind ${dir}/local ${dirname(dir)}/local`,
      ...(existsSync(FIRMWARE_UUID) ? [`mount --bind ${dir}/product-uuid ${FIRMWARE_UUID}`] : []),
      `hostname ${this.hostName}`,
      'ip link set lo up',
      'echo up',
      // the kernel reaps whoever loses its parent; all ends with what runs here, which ends with this test
      'exec env --ignore-signal=CHLD cat'
    ]
    const spaces = ['--mount', '--net', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--mount-proc']
    const holder = spawn('unshare', [...spaces, '--', 'sh', '-ec', steps.join('\n')], {
      stdio: ['pipe', 'pipe', 'pipe']
    })
    this.#holder = holder
    let said = ''
    holder.stderr.on('data', chunk => {
      said += chunk
    })
    const failed = once(holder, 'exit').then(() => {
      throw new Error(`host ${this.name}: ${said}`)
    })
    failed.catch(() => undefined)
    await Promise.race([once(holder.stdout, 'data'), failed])
    this.#pid = Number(readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8'))
  }

  #libvirtdConf(): string[] {
    return [
      `unix_sock_dir="${this.dir}"`,
      'auth_unix_rw="none"',
      'auth_unix_ro="none"',
      'listen_tls=0',
      'listen_tcp=1',
      'auth_tcp="none"',
      `host_uuid="${this.hostUuid}"`,
      `log_outputs="1:file:${this.dir}/libvirtd.log"`,
      ...(this.#options.libvirtdConf ?? ['log_filters="3:*"'])
    ]
  }

  #qemuConf(): string[] {
    return [
      'user="root"',
      'group="root"',
      'security_driver="none"',
      'stdio_handler="file"',
      ...(this.#options.qemuConf ?? [])
    ]
  }

  /** Lays the cable to the other host, once both are there. */
  cable(other: MigrationHost): void {
    const inNet = (host: MigrationHost, ...words: string[]) => {
      const done = spawnSync('nsenter', [`--net=/proc/${host.pid}/ns/net`, 'ip', ...words], { encoding: 'utf8' })
      if (done.status !== 0) throw new Error(`ip ${words.join(' ')}: ${done.stderr}`)
    }
    inNet(this, 'link', 'add', 'net0', 'type', 'veth', 'peer', 'name', 'net0', 'netns', `${other.pid}`)
    for (const host of [this, other]) {
      const { bridge } = host.#options
      if (bridge !== undefined) {
        inNet(host, 'link', 'add', bridge, 'type', 'bridge')
        inNet(host, 'link', 'set', 'net0', 'master', bridge)
        inNet(host, 'link', 'set', bridge, 'up')
      }
      inNet(host, 'address', 'add', `${host.address}/24`, 'dev', bridge ?? 'net0')
      inNet(host, 'link', 'set', 'net0', 'up')
    }
  }

  /** Has what is sent to the other host get lost on its way, or not any more: nobody is told of it. */
  setSilence(other: MigrationHost, on: boolean): void {
    const neighbour = ['ip', 'neighbour']
    const nobody = ['lladdr', '02:00:00:00:00:99', 'nud', 'permanent']
    const words = on ? ['replace', other.address, 'dev', 'net0', ...nobody] : ['delete', other.address, 'dev', 'net0']
    const [program, ...rest] = [...neighbour, ...words]
    this.runSync(program!, ...rest)
  }

  /** Cuts the network, or mends it. */
  setLink(state: 'up' | 'down'): void {
    this.runSync('ip', 'link', 'set', 'net0', state)
  }

  /** Starts its daemon; settles once that serves. */
  async start(): Promise<void> {
    const words =
      this.daemon === 'libvirtd'
        ? ['libvirtd', '--listen', '-f', '/etc/libvirt/libvirtd.conf', '-p', '/run/libvirtd.pid']
        : [...aggregatorWords(this.root, this.#options.programs), ...(this.#options.options ?? [])]
    this.#daemon = await this.serve(words, this.libvirtSocket)
  }

  /** The UUID by which either daemon knows it. */
  get hostUuid(): string {
    return existsSync(FIRMWARE_UUID) ? this.uuid : uuidOfMachine(this.uuid.replaceAll('-', ''))
  }

  /** Starts a daemon on it; settles once that serves. */
  async serve(words: string[], socket: string): Promise<ChildProcess> {
    const log = openSync(join(this.dir, 'stderr'), 'a')
    const env = { ...process.env, ...this.#options.env }
    const child = spawn('nsenter', [...this.#enter(), ...words], { stdio: ['ignore', 'ignore', log], env })
    const deadline = Date.now() + START_LIMIT_MS
    while (!(await accepts(socket))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`no ${words[0]} on host ${this.name}: ${readFileSync(join(this.dir, 'stderr'), 'utf8')}`)
      }
      await sleep(50)
    }
    return child
  }

  /** Ends its daemon at once, as a crash does; guests stay. */
  async kill(): Promise<void> {
    const child = this.#daemon
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    // nsenter execs where no process namespace is entered, else it waits for its child
    for (const pid of childrenOf(child.pid!)) process.kill(pid, 'SIGKILL')
    await gone
  }

  processes(text: string): number[] {
    return processesNaming(text).filter(pid => {
      try {
        return readlinkSync(`/proc/${pid}/ns/pid`) === readlinkSync(`/proc/${this.#pid}/ns/pid`)
      } catch {
        return false
      }
    })
  }

  #enter(): string[] {
    return ['--target', `${this.#pid}`, '--mount', '--net', '--uts', '--ipc', '--pid', '--']
  }

  /** Starts a program that has nothing of it but its network. */
  inNetwork(program: string, ...words: string[]): ChildProcess {
    const net = `--net=/proc/${this.#pid}/ns/net`
    return spawn('nsenter', [net, program, ...words], { stdio: ['pipe', 'pipe', 'pipe'] })
  }

  /** Runs a program on it. */
  run(program: string, ...words: string[]): Promise<Ran> {
    return run('nsenter', [...this.#enter(), program, ...words])
  }

  ownPath(name: string): string {
    return join(this.dir, 'local', name)
  }

  /** The same, waited for. @throws Error where it fails */
  runSync(program: string, ...words: string[]): string {
    const { status, stdout, stderr } = spawnSync('nsenter', [...this.#enter(), program, ...words], {
      encoding: 'utf8',
      timeout: COMMAND_LIMIT_MS
    })
    if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`)
    return stdout
  }

  virsh(...words: string[]): Promise<Ran> {
    return this.run('virsh', '-c', this.uri, ...words)
  }

  /** Ends it and whatever runs on it. */
  async shutDown(): Promise<void> {
    const holder = this.#holder
    if (!holder || holder.exitCode !== null || holder.signalCode !== null) return
    const gone = once(holder, 'exit')
    if (this.#pid) process.kill(this.#pid, 'SIGKILL')
    else holder.kill('SIGKILL')
    await gone
  }
}

/** An aggregator more on a host, with a root of its own: its guests go from root to root, and stay on that host. */
export class MigrationRoot implements MigrationPlace {
  readonly name: string
  readonly daemon = 'virshim'
  readonly host: MigrationHost

  constructor(host: MigrationHost, name: string) {
    this.host = host
    this.name = name
  }

  get root(): string {
    return join(this.host.dir, this.name)
  }

  get hostName(): string {
    return this.host.hostName
  }

  get uri(): string {
    return uriOf(join(this.root, 'libvirt-sock'))
  }

  async start(): Promise<void> {
    await this.host.serve(aggregatorWords(this.root), join(this.root, 'libvirt-sock'))
  }

  ownPath(name: string): string {
    return this.host.ownPath(name)
  }

  virsh(...words: string[]): Promise<Ran> {
    return this.run('virsh', '-c', this.uri, ...words)
  }

  run(program: string, ...words: string[]): Promise<Ran> {
    return this.host.run(program, ...words)
  }

  processes(text: string): number[] {
    return this.host.processes(text)
  }
}

/** Both hosts and what they share. */
export class MigrationWorld {
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-move-'))
  readonly shared = join(this.dir, 'shared')
  readonly local = join(this.dir, 'local')
  readonly a: MigrationHost
  readonly b: MigrationHost

  constructor(a: HostOptions, b: HostOptions = a) {
    chmodSync(this.dir, 0o755)
    for (const path of [this.shared, this.local]) mkdirSync(path)
    this.a = new MigrationHost('a', a, this.dir)
    this.b = new MigrationHost('b', b, this.dir)
  }

  /** Settles once both daemons serve. */
  async start(): Promise<void> {
    allowPostcopy()
    await Promise.all([this.a.boot(), this.b.boot()])
    this.a.cable(this.b)
    await Promise.all([this.a.start(), this.b.start()])
  }

  /** Ends all and removes the directory. */
  async end(): Promise<void> {
    await Promise.all([this.a.shutDown(), this.b.shutDown()])
    rmSync(this.dir, { recursive: true, force: true })
  }
}

const openssl = (...words: string[]) => {
  const done = spawnSync('openssl', words, { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`openssl ${words.join(' ')}: ${done.stderr}`)
}

const NEW_KEY = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** A host's certificates, signed by an authority that is made where there is none yet. */
function makeCertificates(authority: string, to: string, { hostName, address }: MigrationHost): void {
  const [caKey, ca] = [join(authority, 'ca-key.pem'), join(authority, 'ca-cert.pem')]
  mkdirSync(authority, { recursive: true })
  mkdirSync(to, { recursive: true })
  if (!existsSync(ca)) {
    const usage = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign']
    openssl(...NEW_KEY, '-x509', '-days', '30', '-subj', '/CN=virshim test', ...usage, '-keyout', caKey, '-out', ca)
  }
  writeFileSync(join(to, 'ca-cert.pem'), readFileSync(ca))
  for (const role of ['server', 'client']) {
    const [key, request, extensions] = [`${role}-key.pem`, `${role}.csr`, `${role}.ext`].map(name => join(to, name))
    writeFileSync(
      extensions!,
      [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature',
        `extendedKeyUsage=${role}Auth`,
        `subjectAltName=DNS:${hostName},IP:${address}`
      ].join('\n')
    )
    openssl(...NEW_KEY, '-subj', `/CN=${hostName}`, '-keyout', key!, '-out', request!)
    const signed = ['-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-days', '30', '-extfile', extensions!]
    openssl('x509', '-req', '-in', request!, ...signed, '-out', join(to, `${role}-cert.pem`))
  }
}

const childrenOf = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

function run(program: string, words: string[]): Promise<Ran> {
  return new Promise(done => {
    const child = execFile(program, words, { timeout: COMMAND_LIMIT_MS, maxBuffer: 64 << 20 }, (_, out, err) =>
      done({ status: child.exitCode, out, err })
    )
    child.stdin?.end()
  })
}

function accepts(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}
