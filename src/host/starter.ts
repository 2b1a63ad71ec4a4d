// The surroundings a program of ours takes from whoever starts it, and what of them it does without.
import { closeSync, readdirSync, readFileSync } from 'node:fs'

/** Files of ours, of QEMU and of helpers are for their owner alone. */
const UMASK = 0o077
/** Node.js itself sees to the lower ones (uv_disable_stdio_inheritance); above, it stops at the first gap. */
const FIRST_FD = 16
const O_CLOEXEC = 0o2000000

/**
 * Parts with the starter's surroundings: files are made for their owner alone from now on, and descriptors it had open
 * are closed before QEMU could have them.
 */
export function partWithStarter(): void {
  process.umask(UMASK)
  for (const fd of inheritedDescriptors()) closeSync(fd)
}

/** Descriptors that would pass to what we start: not those of Node.js itself, nor its channel to a parent. */
function inheritedDescriptors(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter(fd => {
      if (fd < FIRST_FD) return false
      try {
        const [, flags = '0'] = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')) ?? []
        return (Number.parseInt(flags, 8) & O_CLOEXEC) === 0
      } catch {
        // the one the directory was read by
        return false
      }
    })
}
