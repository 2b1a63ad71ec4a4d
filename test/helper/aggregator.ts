// Runs the real virshim-aggregatord on a root of its own and talks to its API.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../../src/server/raw-http.ts'
import { endAll } from './processes.ts'
import type { Answer } from './shim.ts'

export class AggregatorRun {
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-agg-'))
  readonly root = join(this.dir, 'a')
  readonly socket = join(this.root, 'api.sock')
  child: ChildProcess | undefined
  stderr = ''

  /** Where a guest's own files are. */
  guest(name: string): string {
    return join(this.root, 'guests', name)
  }

  /** Settles once it serves. */
  async start(...options: string[]): Promise<void> {
    const child = spawn('bin/virshim-aggregatord', ['--root', this.root, '--secondary', 'none', ...options], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc']
    })
    this.child = child
    child.stderr?.on('data', chunk => {
      this.stderr += chunk
    })
    const failed = once(child, 'exit').then(([code]) => {
      throw new Error(`the aggregator ended with ${code}: ${this.stderr}`)
    })
    failed.catch(() => undefined)
    await Promise.race([once(child, 'message'), failed])
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { child } = this
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }

  /** One API call; `domains/NAME/API` for a guest's. */
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

  /** One request of any kind, as shims send theirs. @throws Error when nobody answers */
  async ask(method: 'GET' | 'POST' | 'DELETE', path: string, args?: object): Promise<Answer> {
    const body = args && JSON.stringify(args)
    const answer = await ask(this.socket, { method, path, ...(body && { body }), timeoutMs: 20_000 })
    return { status: answer.status, body: JSON.parse(answer.body) }
  }

  /** Waits until something is so. */
  async untilSo(what: string, isSo: () => Promise<boolean>, limitMs = 20_000): Promise<void> {
    for (const deadline = Date.now() + limitMs; !(await isSo().catch(() => false)); await sleep(10)) {
      if (Date.now() > deadline) throw new Error(`not so in time: ${what}; ${this.stderr}`)
    }
  }

  /** The entry of a guest, undefined when there is none. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of any shape
  async entry(name: string): Promise<any> {
    const { guests } = (await this.call('guests')).body
    return guests.find((guest: { name: string }) => guest.name === name)
  }

  /** Waits until the guest's entry, or its absence, is as wanted. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  async until(name: string, wanted: (entry: any) => boolean, limitMs = 20_000): Promise<any> {
    let entry: unknown
    for (const deadline = Date.now() + limitMs; Date.now() < deadline; await sleep(20)) {
      entry = await this.entry(name)
      if (wanted(entry)) return entry
    }
    throw new Error(`${name} is ${JSON.stringify(entry)}; ${this.stderr}`)
  }

  /** Ends it, its shims and their guests, and removes the directory. */
  async end(): Promise<void> {
    await this.kill()
    const guests = join(this.root, 'guests')
    await endAll(this.root, ...(existsSync(guests) ? readdirSync(guests) : []))
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** What of a guest is in its directory besides logs. */
export function filesOf(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir).filter(name => name !== 'log') : []
}
