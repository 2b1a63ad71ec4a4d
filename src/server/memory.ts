// Memory of an idle shim: what the start left behind is given back once, instead of whenever V8 next runs short.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** After this the start and what its first clients loaded is over. */
const SETTLED_MS = 2000

/** Collects garbage once the process has settled. */
export function releaseStartMemory(): void {
  setTimeout(() => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    setFlagsFromString('--no-expose-gc')
    collect()
  }, SETTLED_MS).unref()
}
