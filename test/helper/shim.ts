// Runs the real virshimd on a root of its own and talks to its API.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endAll } from './processes.ts'

/** A guest without disk or kernel: it stays in its BIOS, which is enough for most tests. */
export function bareGuest(name: string, inside = ''): string {
  return `<domain type='qemu'><name>${name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
    <devices><serial type='pty'/>${inside}</devices></domain>`
}

export interface Answer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of any shape
  body: any
}

/** A scratch directory with one guest's XML, and the shims started on it. */
export class Shim {
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-'))
  readonly root = join(this.dir, 'root')
  readonly xmlFile = join(this.dir, 'guest.xml')
  child: ChildProcess | undefined
  stderr = ''

  readonly xml: string

  constructor(xml: string | Buffer) {
    writeFileSync(this.xmlFile, xml)
    this.xml = String(xml)
  }

  /** The error lines for people among what virshimd said. */
  get errors(): string {
    return this.stderr
      .split('\n')
      .filter(line => !line.startsWith('{'))
      .join('\n')
  }

  /** Starts virshimd; `exited` settles with its status. */
  start(...options: string[]): Promise<number | string> {
    return this.run('bin/virshimd', ['--root', this.root, ...options, this.xmlFile])
  }

  /** Starts virshimd by way of another program. */
  run(program: string, args: string[]): Promise<number | string> {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.child = child
    child.stderr?.on('data', chunk => {
      this.stderr += chunk
    })
    return new Promise(resolve => child.once('exit', (code, signal) => resolve(signal ?? code ?? 0)))
  }

  /** One API call; gives status and JSON body. */
  call(api: string, args?: object, socket = 'api.sock'): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = {
        socketPath: join(this.root, socket),
        path: api.startsWith('/') ? api : `/v1/${api}`,
        method: args ? 'POST' : 'GET',
        agent: false as const
      }
      const sent = request(options, reply => {
        let text = ''
        reply.on('data', chunk => {
          text += chunk
        })
        reply.on('end', () => {
          const isJson = String(reply.headers['content-type']).includes('json')
          resolve({ status: reply.statusCode ?? 0, body: isJson ? JSON.parse(text) : text })
        })
      })
      sent.on('error', reject)
      sent.end(args && JSON.stringify(args))
    })
  }

  /** Waits until the API says the guest is in that state (virDomainState). */
  async untilState(state: number, limitMs = 15_000): Promise<void> {
    const deadline = Date.now() + limitMs
    while (Date.now() < deadline && this.child?.exitCode === null) {
      const answer = await this.call('virDomainGetState').catch(() => undefined)
      if (answer?.body.state === state) return
      await sleep(20)
    }
    throw new Error(`guest did not reach state ${state}: ${this.stderr}`)
  }

  /** Ends whatever still runs and removes the directory. */
  async end(): Promise<void> {
    await this.call('virDomainDestroy', {}).catch(() => undefined)
    this.child?.kill('SIGKILL')
    await endAll(this.dir)
    rmSync(this.dir, { recursive: true, force: true })
  }
}
