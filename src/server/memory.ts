// Memory of an idle daemon. V8 lets its heap grow by what is allocated at a time, young objects alone to 32 MiB, and looks
// at it again only when more is allocated: a process that has been busy would keep all of it, and its garbage, for good.
import { getHeapStatistics, setFlagsFromString } from 'node:v8'

/** After this the start and what its first clients loaded is over. */
const SETTLED_MS = 2000
/** Interval at which a daemon looks whether it is idle. */
const LOOK_MS = 5000
/** CPU time an idle daemon may use from one look to the next: it is asked for reports and statistics. */
const IDLE_CPU_US = 0.05 * LOOK_MS * 1000
/** The same of one that nobody calls. */
const QUIET_CPU_US = 0.004 * LOOK_MS * 1000
/** Looks that must find it so before its code goes: clients that call it now and then are not to wait for compilation. */
const QUIET_LOOKS = 2
/** Growth that is worth a collection: as much, or that part of what there was. */
const GROWTH_BYTES = 4 * 1024 * 1024
const GROWTH_PART = 1 / 8

/**
 * Collects all garbage and gives free pages back to the kernel, those of young objects included. It is what V8 does when
 * told that memory is low; Node.js tells it so by the inspector's protocol alone. Nothing listens for a debugger.
 */
async function collect(): Promise<void> {
  const { Session } = await import('node:inspector')
  const session = new Session()
  session.connect()
  await new Promise(done => session.post('HeapProfiler.collectGarbage', done))
  session.disconnect()
}

/**
 * As `collect`, and lets go of compiled code, which V8 keeps until it has grown old by collections nobody asked for. What
 * is called again is compiled again. The flags are set for the while alone: with others V8 takes no code cache.
 */
async function unload(): Promise<void> {
  const flags = ['flush-baseline-code', 'stress-flush-code']
  for (const flag of flags) setFlagsFromString(`--${flag}`)
  try {
    await collect()
  } finally {
    for (const flag of flags) setFlagsFromString(`--no-${flag}`)
  }
}

function heapBytes(): number {
  const { total_physical_size, external_memory } = getHeapStatistics()
  return total_physical_size + external_memory
}

/**
 * Gives back what the start left behind once the process has settled, and then what busy times leave.
 * @param isBusy a guest waits for what is under way, little though it may be: code that is let go would be compiled anew,
 *   and a collection take its time, while it stands still
 */
export function releaseStartMemory(isBusy: () => boolean): void {
  const settled = async () => {
    if (isBusy()) return later()
    // a Node.js that was built without inspector keeps its memory
    await collect().catch(() => undefined)
    releaseIdleMemory(heapBytes(), isBusy)
  }
  const later = () => void setTimeout(settled, SETTLED_MS).unref()
  later()
}

/**
 * Gives memory back whenever the heap has grown and the process is idle, and code once nobody calls it any more.
 * @param kept size of the heap it began with
 * @param isBusy as of releaseStartMemory
 */
export function releaseIdleMemory(kept = 0, isBusy: () => boolean = () => false): void {
  let cpuTime = process.cpuUsage()
  let quietLooks = 0
  let hasCode = false
  const look = async () => {
    const { user, system } = process.cpuUsage(cpuTime)
    cpuTime = process.cpuUsage()
    quietLooks = user + system > QUIET_CPU_US ? 0 : quietLooks + 1
    if (user + system > IDLE_CPU_US || isBusy()) return
    const isGrown = heapBytes() - kept >= Math.max(GROWTH_BYTES, kept * GROWTH_PART)
    hasCode ||= isGrown
    const isUnloaded = hasCode && quietLooks >= QUIET_LOOKS
    if (!isGrown && !isUnloaded) return
    await (isUnloaded ? unload : collect)().catch(() => undefined)
    hasCode &&= !isUnloaded
    kept = heapBytes()
    // what that took is nobody's call
    cpuTime = process.cpuUsage()
  }
  setInterval(look, LOOK_MS).unref()
}
