// What is remembered of the host once looked at; this file is a process of its own.
import t from 'tap'
import { parseBitmap } from '../../src/conf/bitmap.ts'
import { checkHostNodes, hugetlbMounts, systemPageKiB, transparentHugePageKiB } from '../../src/host/memory.ts'
import { errorOf } from '../helper/definition.ts'
import { onHost } from '../helper/host-tree.ts'

const auxv = Buffer.alloc(48)
auxv.writeBigUInt64LE(33n, 0)
auxv.writeBigUInt64LE(6n, 16)
auxv.writeBigUInt64LE(65536n, 24)

t.test('read once', () =>
  onHost(
    {
      '/proc/self/auxv': auxv,
      '/sys/kernel/mm/transparent_hugepage/hpage_pmd_size': '2097152\n',
      '/sys/devices/system/node/online': '0,2-3\n',
      '/proc/meminfo': 'Hugepagesize:       2048 kB\n',
      '/proc/mounts': 'proc /proc proc rw 0 0\n'
    },
    async () => {
      t.equal(systemPageKiB(), 64)
      t.equal(transparentHugePageKiB(), 2048)
      t.same(hugetlbMounts(), [])
      checkHostNodes(parseBitmap('0,2-3'))
      t.equal(
        await errorOf(() => checkHostNodes(parseBitmap('0-3'))),
        'VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: NUMA node 1 is unavailable'
      )
    }
  )
)

t.test('and remembered', () =>
  onHost({}, async () => {
    t.equal(systemPageKiB(), 64)
    t.match(await errorOf(() => checkHostNodes(parseBitmap('1'))), 'NUMA node 1 is unavailable')
  })
)
