// What takes the place of src/state/step.ts in daemons that stop (stopping-daemons.ts). All is in files, as a daemon may be
// killed at any moment, and those that wait for each other stop with it:
//
//     DIR/passed     each step that was passed, a line each
//     DIR/stop       the step to stop at; when it is gone, or says something else, all goes on
//     DIR/reached    that step, once a daemon stands there
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const LOOK_MS = 5

const directory = process.env.VIRSHIM_STEPS
const nothing = new Int32Array(new SharedArrayBuffer(4))

export function step(name: string): void {
  if (directory === undefined) return
  appendFileSync(join(directory, 'passed'), `${name}\n`)
  if (!isStop(directory, name)) return
  writeFileSync(join(directory, 'reached'), name)
  // whatever this process does stops, as if it had been this long about it
  while (isStop(directory, name)) Atomics.wait(nothing, 0, 0, LOOK_MS)
}

function isStop(dir: string, name: string): boolean {
  try {
    return readFileSync(join(dir, 'stop'), 'utf8') === name
  } catch {
    return false
  }
}
