// A pseudo-terminal as QEMU makes one for a serial port: its end on the host by path, the guest's end read when a test
// says so.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import type { Teardown } from './stand-in-qemu.ts'

/** A guest that nobody tells to read does so by itself after this time: who waits in write(2) would wait for ever. */
const HELD_S = 20

/** Says its path; reads so many bytes when it is told a number, and tells how many of them were `a`. */
const GUEST = `
import os, pty, select, sys
guest, host = pty.openpty()
print(os.ttyname(host), flush=True)
while select.select([0], [], [], ${HELD_S})[0]:
    line = sys.stdin.readline()
    if not line: sys.exit()
    left = int(line); seen = 0
    while left > 0:
        chunk = os.read(guest, min(left, 65536)); left -= len(chunk); seen += chunk.count(b'a')
    print(seen, flush=True)
while True: os.read(guest, 65536)
`

export class Pty {
  readonly #child: ChildProcess
  readonly #lines: Interface
  readonly path: string

  private constructor(child: ChildProcess, lines: Interface, path: string) {
    this.#child = child
    this.#lines = lines
    this.path = path
  }

  static async open(t: Teardown): Promise<Pty> {
    const child = spawn('python3', ['-c', GUEST], { stdio: ['pipe', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    const lines = createInterface(child.stdout)
    const [path] = await once(lines, 'line')
    return new Pty(child, lines, path)
  }

  /** The guest is gone, and the terminal with it. */
  close(): void {
    this.#child.kill('SIGKILL')
  }

  /** The guest reads that much. @returns how many of the bytes were `a` */
  async read(bytes: number): Promise<number> {
    this.#child.stdin!.write(`${bytes}\n`)
    const [seen] = await once(this.#lines, 'line')
    return Number(seen)
  }
}
