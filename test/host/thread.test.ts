// Affinity and scheduling of a process of the test's own.
import { spawn, spawnSync } from 'node:child_process'
import t from 'tap'
import { allowedCpus } from '../../src/host/proc.ts'
import { setAffinity, setScheduling } from '../../src/host/thread.ts'
import { failureOf } from '../helper/stand-in-guest.ts'

const child = spawn('sleep', ['600'], { stdio: 'ignore' })
t.teardown(() => child.kill())
const pid = child.pid!
const policy = () => spawnSync('chrt', ['-p', String(pid)], { encoding: 'utf8' }).stdout

t.test('a thread runs where it is told', async t => {
  const [first] = allowedCpus(process.pid, process.pid)
  await setAffinity(pid, String(first))
  t.same([...allowedCpus(pid, pid)], [first])
  t.equal(
    await failureOf(() => setAffinity(pid, '16000')),
    `VIR_ERR_SYSTEM_ERROR VIR_FROM_NONE: cannot set CPU affinity on process ${pid}: Invalid argument`
  )
  t.same([...allowedCpus(pid, pid)], [first])
})

t.test('one that is gone', async t => {
  const gone = spawnSync('true').pid
  t.match(await failureOf(() => setAffinity(gone, '0')), /^VIR_ERR_SYSTEM_ERROR .*No such process$/)
  t.match(
    await failureOf(() => setScheduling(gone, 'batch')),
    /^VIR_ERR_SYSTEM_ERROR VIR_FROM_NONE: Cannot set scheduler parameters for pid \d+: No such process$/
  )
})

t.test('policies', async t => {
  await setScheduling(pid, 'batch')
  t.match(policy(), /SCHED_BATCH/)
  await setScheduling(pid, 'idle')
  t.match(policy(), /SCHED_IDLE/)
  t.match(
    await failureOf(() => setScheduling(pid, 'fifo', 100)),
    /^VIR_ERR_CONFIG_UNSUPPORTED VIR_FROM_NONE: .*Scheduler priority 100 out of range \[1, 99\]$/
  )
})
