// libvirt's daemons on this host: used as they are where they run, else started and ended again.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const DAEMONS = [
  ['virtlogd', '/run/libvirt/virtlogd-sock'],
  ['libvirtd', '/run/libvirt/libvirt-sock']
] as const
const START_LIMIT_MS = 30_000
const END_LIMIT_MS = 5000

/** Examples whose domxml-to-native libvirtd (9.0, 11.3) often does not survive: PCI devices this host does not have. */
export const NO_NATIVE = /^hostdev-pci/

/** The daemons this process started, and only those. */
export class Daemons {
  #dir: string
  #pidFiles = new Map<string, string>()

  /** @param dir a directory for pid files */
  constructor(dir: string) {
    this.#dir = dir
  }

  /**
   * Sees to it that virtlogd and libvirtd accept connections: waits a moment for one that is coming back, starts what
   * is not there.
   */
  async ensure(graceMs = 0): Promise<void> {
    const deadline = Date.now() + graceMs
    for (const [daemon, socket] of DAEMONS) {
      while (!(await accepts(socket)) && Date.now() < deadline) await sleep(100)
      if (!(await accepts(socket))) await this.#start(daemon, socket)
    }
  }

  async #start(daemon: string, socket: string): Promise<void> {
    const pidFile = join(this.#dir, `${daemon}.pid`)
    const done = spawnSync(daemon, ['-d', '-p', pidFile], { encoding: 'utf8' })
    if (done.status !== 0) throw new Error(`${daemon}: ${done.stderr}`)
    this.#pidFiles.set(daemon, pidFile)
    const deadline = Date.now() + START_LIMIT_MS
    while (!(await accepts(socket))) {
      if (Date.now() > deadline) throw new Error(`${daemon} does not accept connections`)
      await sleep(20)
    }
  }

  /** Ends what was started, libvirtd before virtlogd; nobody is to take one that is about to end for one that serves. */
  end(): void {
    for (const pidFile of [...this.#pidFiles.values()].reverse()) {
      try {
        const pid = Number(readFileSync(pidFile, 'utf8'))
        process.kill(pid, 'SIGTERM')
        for (const deadline = Date.now() + END_LIMIT_MS; Date.now() < deadline; pause(20)) process.kill(pid, 0)
      } catch {
        // gone
      }
    }
    this.#pidFiles.clear()
  }
}

/** Stops this thread for so long, as in a teardown that may not wait otherwise. */
const pause = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

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
