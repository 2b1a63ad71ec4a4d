// Two aggregators of this host, each with a root of its own: guests move from one to the other.
import { spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AggregatorRun } from './aggregator.ts'
import type { Teardown } from './stand-in-qemu.ts'
import type { Ran } from './virsh.ts'

/** Bytes of a guest's memory that are looked at, by their place: as QMP's pmemsave has it. */
export const LOADED = { val: 16 << 20, size: 24 << 20 }

/**
 * Writes `from.xml` and `to.xml`: a guest with something in its memory that its destination's QEMU does not have there by
 * itself. @returns what it has
 */
export function loadedGuest(dir: string, name: string): Buffer {
  const uuid = randomUUID()
  const content = randomBytes(LOADED.size)
  for (const [side, bytes] of Object.entries({ from: content, to: Buffer.alloc(LOADED.size) })) {
    const file = join(dir, side)
    writeFileSync(file, bytes)
    writeFileSync(
      `${file}.xml`,
      `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
        <name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
        <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
        <memballoon model='none'/></devices>
        <qemu:commandline><qemu:arg value='-device'/>
          <qemu:arg value='loader,file=${file},addr=${LOADED.val},force-raw=on'/></qemu:commandline></domain>`
    )
  }
  return content
}

export class TwoRoots {
  readonly from = new AggregatorRun()
  readonly to = new AggregatorRun()
  /** of images and sockets */
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-two-'))

  private constructor() {}

  static async make(t: Teardown): Promise<TwoRoots> {
    const both = new TwoRoots()
    t.teardown(() => both.end())
    await Promise.all([both.from.start(), both.to.start()])
    return both
  }

  uri(side: 'from' | 'to'): string {
    return `qemu+unix:///system?socket=${join(this[side].root, 'libvirt-sock')}`
  }

  /** The real virsh on one of them; it is ended with `signal`. */
  async virsh(side: 'from' | 'to', words: string[], signal?: AbortSignal): Promise<Ran> {
    const child = spawn('virsh', ['-q', '-c', this.uri(side), ...words], { stdio: ['ignore', 'pipe', 'pipe'], signal })
    const ran: Ran = { status: null, out: '', err: '' }
    child.stdout.on('data', chunk => {
      ran.out += chunk
    })
    child.stderr.on('data', chunk => {
      ran.err += chunk
    })
    child.on('error', () => undefined)
    ;[ran.status] = await once(child, 'close')
    return ran
  }

  /** virsh migrate from the one to the other. */
  migrate(name: string, ...words: string[]): Promise<Ran> {
    return this.virsh('from', ['migrate', '--live', name, this.uri('to'), ...words])
  }

  /** What QEMU answers to a command. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of any shape
  async qmp(side: 'from' | 'to', name: string, execute: string, args?: object): Promise<any> {
    const cmd = JSON.stringify({ execute, ...(args && { arguments: args }) })
    const { body } = await this[side].call(`domains/${name}/virDomainQemuMonitorCommand`, { cmd, flags: 0 })
    return JSON.parse(body.result ?? 'null')?.return
  }

  async end(): Promise<void> {
    await Promise.all([this.from.end(), this.to.end()])
    rmSync(this.dir, { recursive: true, force: true })
  }
}
