// Memory of an idle daemon: what its start and its busy times left behind is given back, instead of whenever V8 next runs
// short.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** After this the start and what its first clients loaded is over. */
const SETTLED_MS = 2000
/** Interval at which a daemon that serves many looks at its heap. */
const LOOK_MS = 5000
/** Garbage worth a collection. */
const GROWTH_BYTES = 8 * 1024 * 1024

function collect(): void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  // pages that the first empties are given back by the second
  gc()
  gc()
}

/**
 * Collects garbage once the process has settled, and gives back more than V8 usually does. The flag is not given to
 * Node.js at its start, as that would cost it the code cache of its own modules.
 */
export function releaseStartMemory(): void {
  setTimeout(() => {
    setFlagsFromString('--optimize-for-size')
    collect()
    setFlagsFromString('--no-optimize-for-size')
  }, SETTLED_MS).unref()
}

/** Collects garbage whenever the heap has grown and then stayed as it is for a while. */
export function releaseIdleMemory(): void {
  let kept = 0
  let before = 0
  const look = setInterval(() => {
    const { heapUsed } = process.memoryUsage()
    const isIdle = Math.abs(heapUsed - before) < GROWTH_BYTES / 4
    before = heapUsed
    if (!isIdle || heapUsed < kept + GROWTH_BYTES) return
    collect()
    before = kept = process.memoryUsage().heapUsed
  }, LOOK_MS)
  look.unref()
}
