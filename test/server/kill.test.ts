// kill -9 of the shim at random moments of start, run and shutdown, each followed by a restart on the same root.
import { existsSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { processesNaming } from '../helper/processes.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

const ROUNDS = 20
const RUNNING = 1

/** QEMUs of that root. */
const qemusOf = (root: string) => processesNaming(`path=${root}/qmp.sock`)

/** A small generator with a fixed seed: the moments differ, the test does not. */
function* moments(seed: number): Generator<number> {
  for (let x = seed; ; ) {
    x = (x * 1103515245 + 12345) % 2 ** 31
    yield x / 2 ** 31
  }
}

t.test(`${ROUNDS} kills lose nothing, double nothing, leave nothing`, async t => {
  const shim = new Shim(bareGuest('t-kill'))
  t.teardown(() => shim.end())
  const random = moments(20171219)
  let lastPid: number | undefined
  let exited: Promise<number | string>
  /** Until the guest runs. A shim that finds its guest gone meanwhile ends in order; the next one starts it anew. */
  const untilRunning = async () => {
    while ((await Promise.race([exited, shim.untilState(RUNNING)])) === 0) exited = shim.start()
  }
  for (let round = 0; round < ROUNDS; round++) {
    exited = shim.start()
    const stage = ['start', 'run', 'shutdown'][round % 3]
    if (stage === 'start') await sleep(random.next().value! * 400)
    else await untilRunning()
    if (stage === 'run') await sleep(random.next().value! * 100)
    if (stage === 'shutdown') {
      shim.call('virDomainDestroy', {}).catch(() => undefined)
      await sleep(random.next().value! * 15)
    }
    shim.child?.kill('SIGKILL')
    await exited
    const found = qemusOf(shim.root)
    t.ok(found.length <= 1, `round ${round} (${stage}): at most one QEMU, found ${found}`)
    if (stage === 'run') {
      t.equal(found.length, 1, `round ${round}: the guest outlives the shim`)
      ;[lastPid] = found
    }
  }
  exited = shim.start()
  await untilRunning()
  t.equal(qemusOf(shim.root).length, 1)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.ok(lastPid)
  t.same(qemusOf(shim.root), [], 'no QEMU is left')
  t.same(
    readdirSync(shim.root).filter(name => name !== 'log'),
    [],
    'no socket or status is left'
  )
  for (const controller of readdirSync('/sys/fs/cgroup')) {
    const machine = `/sys/fs/cgroup/${controller}/machine`
    const groups = existsSync(machine) ? readdirSync(machine).filter(name => name.endsWith('t-kill.virshim')) : []
    t.same(groups, [], `no cgroup is left in ${controller}`)
  }
})
