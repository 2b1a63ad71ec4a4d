// Memory of a shim that has been busy goes back to what it was.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { MixedCalls } from '../helper/mixed-calls.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const NAME = `t-idle-memory-${process.pid}`
const RUNNING = 1
const CALLS = 3000
/** A heap that is never looked at again stays at more than three times; one that is given back comes to as much again. */
const LIMIT = 2
const RELEASE_LIMIT_MS = 120_000

/** KiB of a process that are its own. */
const ownKiB = (pid: number): number =>
  Number(/^Anonymous:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1])

t.test('a shim gives back what a busy time took, and serves on', async t => {
  const screen = `<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>`
  const shim = new Shim(bareGuest(NAME, screen))
  t.teardown(() => shim.end())
  void shim.start('--aggregator', 'none')
  await shim.untilState(RUNNING)
  const pid = shim.child!.pid!
  const { uuid, pids } = (await shim.call('/v1/report')).body
  const fresh = ownKiB(pid)
  const calls = new MixedCalls(shim.root, [{ name: NAME, uuid }])
  await calls.run(CALLS)
  calls.close()
  for (const deadline = Date.now() + RELEASE_LIMIT_MS; ownKiB(pid) > LIMIT * fresh && Date.now() < deadline; ) {
    await sleep(500)
  }
  t.ok(ownKiB(pid) <= LIMIT * fresh, `${fresh} KiB fresh, ${ownKiB(pid)} KiB at rest`)
  // what was unloaded works again
  await calls.run(100)
  calls.close()
  t.notOk(
    [...calls.statuses.keys()].some(status => status === 500),
    'no call met a fault'
  )
  t.notMatch(readFileSync(`/proc/${pids.qemu}/environ`, 'utf8'), /MALLOC_/, "QEMU's memory is its own affair")
})
