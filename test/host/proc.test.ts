import t from 'tap'
import { allowedCpus, cpuTimes, interfaceCounters, residentKiB, waitNs } from '../../src/host/proc.ts'
import { onHost } from '../helper/host-tree.ts'

/** /proc/PID/stat of a process with a name that tries to look like more fields. */
const stat = (user: number, system: number, cpu: number) =>
  `7 (a) 1 2 (b)) S ${'0 '.repeat(10)}${user} ${system} ${'0 '.repeat(23)}${cpu} 0 0\n`

t.test('CPU times', async t => {
  await onHost({ '/proc/7/stat': stat(150, 50, 3), '/proc/7/task/8/stat': stat(5, 0, 1) }, () => {
    t.same(cpuTimes(7), { totalNs: 2_000_000_000n, userNs: 1_500_000_000n, systemNs: 500_000_000n, cpu: 3 })
    t.same(cpuTimes(7, 8), { totalNs: 50_000_000n, userNs: 50_000_000n, systemNs: 0n, cpu: 1 })
  })
  const NONE = { totalNs: 0n, userNs: 0n, systemNs: 0n, cpu: 0 }
  await onHost({ '/proc/8/stat': '8 (a) S 1\n' }, () => {
    t.same(cpuTimes(7), NONE, 'a process that is gone')
    t.same(cpuTimes(8), NONE, 'and one the kernel says little of')
  })
})

t.test('a thread: waiting, memory, where it may run', () =>
  onHost(
    {
      '/proc/7/task/8/schedstat': '1 987654321987654321 3\n',
      '/proc/7/statm': '1000 300 5 0 0 0 0\n',
      '/proc/7/task/8/status': 'Name:\tCPU 0/KVM\nCpus_allowed:\tff\nCpus_allowed_list:\t0-2,5\n',
      '/proc/7/task/9/status': 'Name:\tx\n'
    },
    () => {
      t.equal(waitNs(7, 8), 987654321987654321n)
      t.equal(residentKiB(7), 1200n)
      t.same([...allowedCpus(7, 8)], [0, 1, 2, 5])
      t.equal(allowedCpus(7, 9).size, 0)
      t.equal(allowedCpus(6, 6).size, 0)
      t.equal(waitNs(6, 6), 0n)
      t.equal(residentKiB(6), 0n)
    }
  )
)

t.test('counters of a network interface', () => {
  const counters = { rx_bytes: 18446744073709551615n, rx_packets: 2n, tx_bytes: 3n, tx_dropped: 4n }
  const files = Object.fromEntries(
    Object.entries(counters).map(([name, value]) => [`/sys/class/net/vnet0/statistics/${name}`, `${value}\n`])
  )
  return onHost({ ...files, '/sys/class/secret/statistics/rx_bytes': '1\n' }, () => {
    t.same(interfaceCounters('vnet0'), {
      rx_bytes: 2n ** 64n - 1n,
      rx_packets: 2n,
      rx_errors: 0n,
      rx_dropped: 0n,
      tx_bytes: 3n,
      tx_packets: 0n,
      tx_errors: 0n,
      tx_dropped: 4n
    })
    t.equal(interfaceCounters('vnet1'), undefined)
    t.equal(interfaceCounters('../secret'), undefined, 'a name is no path')
  })
})
