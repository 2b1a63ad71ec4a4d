import { mkdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { parseOwnerLabel, subordinateIdmap } from '../../src/host/ids.ts'
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

t.test('labels of owners', async t => {
  const root = t.testdir({ etc: { passwd: 'ann:x:1000:1001::/:/bin/sh\n7:x:70:70::/:\n', group: 'staff:x:1001:\n' } })
  setHostRoot(root)
  t.teardown(() => setHostRoot(''))
  t.same(parseOwnerLabel('+5:+6'), { uid: 5, gid: 6 })
  t.same(parseOwnerLabel('ann:staff'), { uid: 1000, gid: 1001 })
  t.same(parseOwnerLabel('7:8'), { uid: 70, gid: 8 }, 'a number may be a name')
  for (const label of ['', '5', '5:', ':5', '5:6:7']) {
    t.match(await errorOf(async () => parseOwnerLabel(label)), `Failed to parse uid and gid from '${label}'`)
  }
  t.match(await errorOf(async () => parseOwnerLabel('bob:+1')), "Failed to parse user 'bob'")
})
