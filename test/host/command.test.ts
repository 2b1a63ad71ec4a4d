// Programs of the host: their words, and their limits.
import t from 'tap'
import { hostCommand, runHostCommand } from '../../src/host/command.ts'

t.test('output, variables and words of failure', async t => {
  t.equal(await hostCommand('sh', ['-c', 'echo "$A $LC_ALL"'], undefined, { A: 'b' }), 'b C\n')
  await t.rejects(hostCommand('sh', ['-c', 'echo why >&2; exit 3']), {
    name: 'CommandFailed',
    message: 'why',
    late: false
  })
  await t.rejects(hostCommand('virshim-no-such-program', []), { name: 'CommandFailed', late: false })
  await t.rejects(runHostCommand('sh', ['-c', 'echo why >&2; exit 3']), {
    code: 'VIR_ERR_INTERNAL_ERROR',
    message: /'sh -c echo why >&2; exit 3' failed: why/
  })
})

t.test('one that does not end, deaf to SIGTERM, and one that never stops talking', async t => {
  const limits = { timeoutMs: 300, outputBytes: 4096 }
  const deaf = hostCommand('sh', ['-c', 'trap "" TERM; while :; do sleep 1; done'], limits)
  await t.rejects(deaf, { name: 'CommandFailed', late: true })
  const limit = { ...limits, timeoutMs: 30_000 }
  await t.rejects(hostCommand('cat', ['/dev/zero'], limit), { name: 'CommandFailed', late: false })
})
