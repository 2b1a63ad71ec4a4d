// The programs that are timed against each other, each behind the same three questions: start, stop, who serves it.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 2

/** One running guest. */
export interface Running {
  /** Milliseconds from exec to a running guest. */
  startMs: number
  /** The process that manages this guest, if it has one of its own. */
  pid: number | undefined
  /** Ends the guest by force; gives the milliseconds until it is gone. */
  stop(): Promise<number>
}

const exited = (child: ChildProcess) => new Promise<void>(resolve => child.once('exit', () => resolve()))

/** QEMU alone, with the arguments libvirt would give it, less the ones that need a manager. */
export async function startBare(dir: string, xmlFile: string): Promise<Running> {
  const { stdout } = spawnSync('bin/virshim', ['domxml-to-native', 'qemu-argv', '--json', xmlFile], {
    encoding: 'utf8'
  })
  const monitor = join(dir, 'bare.sock')
  const [, emulator, ...args] = bareArguments(JSON.parse(stdout).argv as string[], monitor)
  rmSync(monitor, { force: true })
  const begun = performance.now()
  const child = spawn(emulator!, args, { stdio: 'ignore' })
  const gone = exited(child)
  const qmp = await openMonitor(monitor)
  await qmp.ask('qmp_capabilities')
  const { status } = (await qmp.ask('query-status')) as { status: string }
  if (status !== 'running') throw new Error(`bare QEMU is ${status}`)
  return {
    startMs: performance.now() - begun,
    pid: undefined,
    async stop() {
      const asked = performance.now()
      void qmp.ask('quit')
      await gone
      return performance.now() - asked
    }
  }
}

/**
 * Replaces what a manager passes by descriptor or keeps secret, and lets the guest run at once. domxml-to-native shows
 * every interface as a tap device; the bench's guest has the user network.
 */
function bareArguments(argv: string[], monitor: string): string[] {
  const start = argv.findIndex(word => word.startsWith('/'))
  const out = ['']
  for (let i = start; i < argv.length; i++) {
    const word = argv[i]!
    const value = argv[i + 1] ?? ''
    if (word === '-S') continue
    if (word === '-object' && value.includes('"secret"')) i++
    else if (word === '-chardev' && value.includes('charmonitor')) {
      out.push(word, `socket,id=charmonitor,path=${monitor},server=on,wait=off`)
      i++
    } else if (word === '-netdev') {
      out.push(word, JSON.stringify({ type: 'user', id: (JSON.parse(value) as { id: string }).id }))
      i++
    } else out.push(word)
  }
  return out
}

async function openMonitor(path: string) {
  while (!existsSync(path)) await sleep(POLL_MS)
  const socket = connect(path)
  const waiting: ((value: unknown) => void)[] = []
  createInterface({ input: socket })
    .on('error', () => undefined)
    .on('line', line => {
      const message = JSON.parse(line)
      if ('return' in message) waiting.shift()?.(message.return)
    })
  socket.on('error', () => undefined)
  return {
    ask: (execute: string) =>
      new Promise(resolve => {
        waiting.push(resolve)
        socket.write(`${JSON.stringify({ execute })}\n`)
      })
  }
}

/**
 * virshimd in the foreground; it says when its guest runs.
 * @param aggregator socket of the aggregator it claims from
 */
export async function startVirshimd(
  dir: string,
  xmlFile: string,
  name: string,
  aggregator = 'none',
  root = join(dir, `${name}-root`)
): Promise<Running> {
  const options = ['--root', root, '--aggregator', aggregator, '--log-level', 'error']
  const begun = performance.now()
  const child = spawn('bin/virshimd', [...options, xmlFile], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // a session of its own, as libvirtd has: the kernel shares out CPU time between sessions
    detached: true
  })
  const gone = exited(child)
  await Promise.race([
    new Promise(resolve => child.once('message', resolve)),
    gone.then(() => Promise.reject(new Error('virshimd could not start its guest')))
  ])
  const startMs = performance.now() - begun
  return {
    startMs,
    pid: child.pid,
    async stop() {
      const asked = performance.now()
      await post(join(root, 'api.sock'), '/v1/virDomainDestroy')
      const tookMs = performance.now() - asked
      await gone
      return tookMs
    }
  }
}

/** A virshim-aggregatord for those guests that are to claim from it; it has loaded what answers them. */
export async function startAggregator(
  dir: string
): Promise<{ root: string; socket: string; pid: number; stop(): Promise<void> }> {
  const root = join(dir, 'aggregator')
  const socket = join(root, 'api.sock')
  const child = spawn('bin/virshim-aggregatord', ['--root', root, '--secondary', 'none', '--log-level', 'error'], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  const gone = exited(child)
  await Promise.race([
    new Promise(resolve => child.once('message', resolve)),
    gone.then(() => Promise.reject(new Error('virshim-aggregatord could not start')))
  ])
  await post(socket, '/v1/virConnectListAllDomains')
  return {
    root,
    socket,
    pid: child.pid!,
    async stop() {
      child.kill('SIGTERM')
      await gone
    }
  }
}

function post(socketPath: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, method: 'POST', agent: false }, reply => {
      reply.resume()
      reply.once('end', () =>
        reply.statusCode === 200 ? resolve() : reject(new Error(`${path}: ${reply.statusCode}`))
      )
    })
    sent.once('error', reject)
    sent.end('{}')
  })
}

/** `virsh create` and `virsh destroy` on the libvirtd that runs. */
export async function startByLibvirtd(xmlFile: string, name: string): Promise<Running> {
  return { startMs: virsh('create', xmlFile), pid: undefined, stop: async () => virsh('destroy', name) }
}

function virsh(...words: string[]): number {
  const begun = performance.now()
  const done = spawnSync('virsh', ['-q', '-c', 'qemu:///system', ...words], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`virsh ${words[0]}: ${done.stderr}`)
  return performance.now() - begun
}

/** virt-qemu-run, on a root that is empty or was used before. */
export async function startVirtQemuRun(root: string, xmlFile: string): Promise<Running> {
  mkdirSync(root, { recursive: true })
  const begun = performance.now()
  const child = spawn('virt-qemu-run', ['-v', '-r', root, xmlFile], { stdio: ['ignore', 'pipe', 'pipe'] })
  const gone = exited(child)
  const running = new Promise<void>(resolve => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', line => {
        if (line.includes('guest running')) resolve()
      })
    }
  })
  await Promise.race([running, gone.then(() => Promise.reject(new Error('virt-qemu-run could not start its guest')))])
  return {
    startMs: performance.now() - begun,
    pid: child.pid,
    async stop() {
      const asked = performance.now()
      child.kill('SIGINT')
      await gone
      return performance.now() - asked
    }
  }
}

/** Proportional and resident memory of a process, in bytes. Source: /proc/PID/smaps_rollup. */
export function memoryOf(pid: number): { pss: number; rss: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const kib = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1])
  return { pss: kib('Pss') * 1024, rss: kib('Rss') * 1024 }
}
