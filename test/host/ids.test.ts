import { mkdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { subordinateIdmap } from '../../src/host/ids.ts'
import { setHostRoot } from '../../src/host/root.ts'
import { errorOf } from '../helper/definition.ts'

t.test('ids that a user may give to others', async t => {
  const root = t.testdir()
  setHostRoot(root)
  t.teardown(() => setHostRoot(''))
  t.match(
    await errorOf(() => subordinateIdmap(1000, 1001)),
    "VIR_ERR_SYSTEM_ERROR: Failed to open file '/etc/subuid': No such file or directory"
  )
  mkdirSync(`${root}/etc`)
  writeFileSync(`${root}/etc/passwd`, 'ann:x:1000:1001::/:/bin/sh\n')
  writeFileSync(`${root}/etc/group`, 'staff:x:1001:\n')
  writeFileSync(`${root}/etc/subuid`, 'bob:10:20\nann:100000:65536\n')
  writeFileSync(`${root}/etc/subgid`, '1001:200000:3\n')
  const own = { start: 0, target: 1000, count: 1 }
  t.same(subordinateIdmap(1000, 1001), {
    uids: [own, { start: 1, target: 100000, count: 65536 }],
    gids: [
      { start: 0, target: 1001, count: 1 },
      { start: 1, target: 200000, count: 3 }
    ]
  })
  writeFileSync(`${root}/etc/subuid`, 'no line\nann:100000:65536\n')
  t.same(subordinateIdmap(1000, 1001).uids, [own], 'lines behind one that is none do not count')
})
