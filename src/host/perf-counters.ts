// Performance counters of a process (perf_event_open), as libvirt keeps them. Node.js has no such call: Python does it in
// a child that keeps the descriptors, told by lines and answering each with one. It ends with this process.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface, type Interface } from 'node:readline'
import type { PerfEvent } from '../conf/domain/perf.ts'
import { errorsFrom } from '../conf/error.ts'
import { PYTHON } from './made-files.ts'
import { hostFile } from './root.ts'

const fail = errorsFrom('VIR_FROM_PERF')

/** A counter reads at once; only Python's own start takes time. */
const ANSWER_LIMIT_MS = 20_000

const HARDWARE = 0
const SOFTWARE = 1
/** Of Intel's resource monitoring, whose type the kernel tells. */
const RDT = 'rdt'

/** Type and number of each event in linux/perf_event.h. */
const EVENTS: Record<PerfEvent, [type: number | typeof RDT, config: number]> = {
  cmt: [RDT, 1],
  mbmt: [RDT, 2],
  mbml: [RDT, 3],
  cpu_cycles: [HARDWARE, 0],
  instructions: [HARDWARE, 1],
  cache_references: [HARDWARE, 2],
  cache_misses: [HARDWARE, 3],
  branch_instructions: [HARDWARE, 4],
  branch_misses: [HARDWARE, 5],
  bus_cycles: [HARDWARE, 6],
  stalled_cycles_frontend: [HARDWARE, 7],
  stalled_cycles_backend: [HARDWARE, 8],
  ref_cpu_cycles: [HARDWARE, 9],
  cpu_clock: [SOFTWARE, 0],
  task_clock: [SOFTWARE, 1],
  page_faults: [SOFTWARE, 2],
  context_switches: [SOFTWARE, 3],
  cpu_migrations: [SOFTWARE, 4],
  page_faults_min: [SOFTWARE, 5],
  page_faults_maj: [SOFTWARE, 6],
  alignment_faults: [SOFTWARE, 7],
  emulation_faults: [SOFTWARE, 8]
}

/** PERF_EVENT_IOC_ENABLE is 0x2400, 0x20002400 on ppc. Lines: `+NAME TYPE CONFIG`, `-NAME`, `?NAME`; answers `ok …`, `no …`. */
const KEEPER = `
import ctypes, fcntl, os, platform, struct, sys
CALL = {'x86_64': 298, 'aarch64': 241, 'riscv64': 241, 'loongarch64': 241, 'ppc64le': 319, 's390x': 331}
machine = platform.machine()
libc = ctypes.CDLL(None, use_errno=True)
pid, files = int(sys.argv[1]), {}
def opened(kind, config):
    attributes = struct.pack('=IIQQQQQ', kind, 128, config, 0, 0, 0, 3).ljust(128, b'\\0')
    file = libc.syscall(CALL[machine], attributes, pid, -1, -1, 0)
    if file < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    fcntl.ioctl(file, 0x20002400 if machine == 'ppc64le' else 0x2400, 0)
    return file
for line in sys.stdin:
    name, *rest = line[1:].split()
    try:
        if line[0] == '+':
            files[name] = opened(*map(int, rest))
            print('ok', flush=True)
        elif line[0] == '-':
            os.close(files.pop(name))
            print('ok', flush=True)
        else:
            print('ok', struct.unpack('=Q', os.read(files[name], 8))[0], flush=True)
    except KeyError:
        print('no', 'Function not implemented', flush=True)
    except OSError as error:
        print('no', error.strerror, flush=True)
`

/** The counters of one process, until they are closed. Invariant: the child is there while any is enabled. */
export class PerfCounters {
  readonly #pid: number
  readonly #enabled = new Set<PerfEvent>()
  #child: ChildProcess | undefined
  #lines: Interface | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(pid: number) {
    this.#pid = pid
  }

  isEnabled(event: PerfEvent): boolean {
    return this.#enabled.has(event)
  }

  /** @throws VIR_ERR_ARGUMENT_UNSUPPORTED for what the host cannot count, VIR_ERR_SYSTEM_ERROR (virPerfEventEnable) */
  async enable(event: PerfEvent): Promise<void> {
    if (this.#enabled.has(event)) return
    const [kind, config] = EVENTS[event]
    const type = kind === RDT ? rdtType() : kind
    if (type === undefined)
      throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', `unable to enable host cpu perf event for ${event}`)
    const [ok, words] = await this.#ask(`+${event} ${type} ${config}`)
    if (!ok) throw fail('VIR_ERR_SYSTEM_ERROR', `unable to open host cpu perf event for ${event}: ${words}`)
    this.#enabled.add(event)
  }

  /** @throws VIR_ERR_SYSTEM_ERROR */
  async disable(event: PerfEvent): Promise<void> {
    if (!this.#enabled.delete(event)) return
    await this.#ask(`-${event}`)
    if (this.#enabled.size === 0) this.close()
  }

  /** What was counted since it was enabled; undefined where it cannot be read. */
  async read(event: PerfEvent): Promise<bigint | undefined> {
    if (!this.#enabled.has(event)) return undefined
    const [ok, words] = await this.#ask(`?${event}`)
    if (!ok || !/^\d+$/.test(words)) return undefined
    return BigInt(words) * (event === 'cmt' ? rdtScale() : 1n)
  }

  close(): void {
    this.#enabled.clear()
    const child = this.#child
    this.#child = undefined
    this.#lines?.close()
    child?.stdin?.destroy()
    child?.kill('SIGKILL')
  }

  /** One line to the child and its answer; one at a time. @throws VIR_ERR_SYSTEM_ERROR when there is no answer */
  #ask(line: string): Promise<[ok: boolean, words: string]> {
    const asked = this.#last.then(() => this.#askNow(line))
    this.#last = asked.catch(() => undefined)
    return asked
  }

  #askNow(line: string): Promise<[boolean, string]> {
    const child = this.#started()
    const lines = this.#lines!
    return new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer)
        lines.off('line', answered)
        lines.off('close', gone)
      }
      const answered = (text: string) => {
        done()
        resolve([text.startsWith('ok'), text.slice(3)])
      }
      const gone = () => {
        done()
        this.close()
        reject(fail('VIR_ERR_SYSTEM_ERROR', `unable to open host cpu perf event: ${PYTHON} does not answer`))
      }
      const timer = setTimeout(gone, ANSWER_LIMIT_MS)
      lines.once('line', answered)
      lines.once('close', gone)
      child.stdin!.write(`${line}\n`)
    })
  }

  #started(): ChildProcess {
    if (this.#child) return this.#child
    const child = spawn(PYTHON, ['-ISc', KEEPER, String(this.#pid)], { stdio: ['pipe', 'pipe', 'ignore'], env: {} })
    // its end is noticed by its output's
    child.once('error', () => child.stdout.destroy())
    child.stdin.on('error', () => undefined)
    child.unref()
    this.#lines = createInterface({ input: child.stdout })
    // one that has ended between two questions answers none; the next is asked of another
    this.#lines.once('close', () => {
      if (this.#child === child) this.#child = undefined
    })
    this.#child = child
    return child
  }
}

const CQM = '/sys/devices/intel_cqm'

function rdtType(): number | undefined {
  const file = hostFile(`${CQM}/type`)
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined
}

function rdtScale(): bigint {
  try {
    return BigInt(readFileSync(hostFile(`${CQM}/events/llc_occupancy.scale`), 'utf8').trim())
  } catch {
    return 1n
  }
}
