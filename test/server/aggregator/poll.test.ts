// Following one shim's report.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ReportPoll } from '../../../src/server/aggregator/poll.ts'
import { SimulatedShim, simulatedReport } from '../../helper/simulated-shims.ts'

const ANSWER_LIMIT_MS = 5000

const dir = mkdtempSync(join(tmpdir(), 'virshim-poll-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

t.test('a shim that has answered while we had no time is not silent', async t => {
  const shim = new SimulatedShim(dir, simulatedReport(1))
  await shim.listen()
  const said: string[] = []
  let reports = 0
  const listener = {
    report() {
      reports++
      shim.hangs = true
    },
    same: () => said.push('same'),
    silent: () => said.push('silent'),
    lost: () => said.push('lost')
  }
  const poll = new ReportPoll(shim.socket, listener, () => 0)
  t.teardown(() => {
    poll.close()
    shim.close()
  })
  // until it has been asked the second time, which it does not answer
  while (reports < 1) await sleep(10)
  await sleep(100)
  shim.recover()
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ANSWER_LIMIT_MS)
  while (reports < 2) await sleep(10)
  await sleep(100)
  t.same(said, [])
})
