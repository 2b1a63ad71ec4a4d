// Latencies of disks: what QEMU is told at a start and of a disk that is plugged in, and how its answers are reported, by
// a stand-in and by a real one that has booted from the disk.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { virDomainStatsTypes } from '../../../../src/conf/enums.ts'
import { latencyIn } from '../../../../src/drivers/qemu/stats/latency.ts'
import { argvOf, errorOf, fakeQemu } from '../../../helper/definition.ts'
import { bareGuest, Shim } from '../../../helper/shim.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'

t.setTimeout(120_000)

const RUNNING = 1
const { VIR_DOMAIN_STATS_BLOCK } = virDomainStatsTypes

const ANY = "<latency-histogram><bin start='1000'/></latency-histogram>"
const HISTOGRAMS = `${ANY}<latency-histogram type='zone'><bin start='5'/><bin start='6'/></latency-histogram>`
const disk = (file: string, statistics: string, target = "dev='vda' bus='virtio'", device = 'disk') =>
  `<disk type='file' device='${device}'><driver name='qemu' type='raw'><statistics>${statistics}</statistics></driver>
    ${file && `<source file='${file}'/>`}<target ${target}/></disk>`
const INTERVALS = "<statistic interval='10'/><statistic interval='60'/>"

t.test('intervals are a property of the device', async t => {
  for (const target of ["dev='vda' bus='virtio'", "dev='sda' bus='sata'", "dev='sda' bus='usb'"]) {
    const argv = await argvOf(disk('/a', INTERVALS, target), { machine: 'q35' })
    t.match(argv.join(' '), /"stats-intervals":\[10,60\]/, target)
  }
  t.notMatch((await argvOf(disk('/a', HISTOGRAMS))).join(' '), /stats-intervals/)
  const refused = (target: string, device: string, options = {}) =>
    errorOf(() => argvOf(disk('/a', INTERVALS, target, device), options))
  t.match(
    await refused("dev='fda' bus='fdc'", 'floppy'),
    /VIR_ERR_CONFIG_UNSUPPORTED.*statistics collection is not supported by disks on bus 'fdc'/
  )
  const qemu = fakeQemu(['virtio-blk.stats-intervals'])
  t.match(
    await refused("dev='vda' bus='virtio'", 'disk', { qemu }),
    /VIR_ERR_CONFIG_UNSUPPORTED.*statistics collection is not supported by this QEMU binary/
  )
})

t.test('histograms are told to the QEMU that runs', async t => {
  const devices = disk('@/disk', HISTOGRAMS) + disk('', HISTOGRAMS, "dev='hdc' bus='ide'", 'cdrom')
  const guest = await StandInGuest.make(t, { devices, answers: { 'block-latency-histogram-set': {} } })
  execFileSync('qemu-img', ['create', '-q', '-f', 'raw', join(guest.dir, 'disk'), '1M'])
  await guest.start()
  const told = guest.qemu.peer.orders.filter(({ command }) => command === 'block-latency-histogram-set')
  const id = '/machine/peripheral/virtio-disk0/virtio-backend'
  t.same(
    told.map(({ args }) => args),
    [{ id, boundaries: [1000], 'boundaries-zap': [5, 6] }],
    'of the disk that has a medium'
  )
})

t.test('what QEMU says', async t => {
  const group = {
    interval_length: 10,
    ...Object.fromEntries(['rd', 'wr', 'flush'].map(kind => [`min_${kind}_latency_ns`, 1])),
    avg_rd_queue_depth: 0.5
  }
  const stats = {
    timed_stats: [group, { interval_length: 60 }],
    rd_latency_histogram: { boundaries: [7], bins: [2, 3] },
    wr_latency_histogram: { boundaries: [7], bins: [2] },
    flush_latency_histogram: { boundaries: ['7'], bins: [2, 3] }
  }
  t.same(
    Object.entries(latencyIn(stats)).map(([name, { value }]) => `${name}=${value}`),
    [
      'timed_group.count=2',
      'timed_group.0.interval=10',
      'timed_group.0.rd_latency_min=1',
      'timed_group.0.wr_latency_min=1',
      'timed_group.0.flush_latency_min=1',
      'timed_group.0.rd_queue_depth_avg=0.5',
      'timed_group.1.interval=60',
      'latency_histogram.read.bin.count=2',
      'latency_histogram.read.bin.0.start=0',
      'latency_histogram.read.bin.0.value=2',
      'latency_histogram.read.bin.1.start=7',
      'latency_histogram.read.bin.1.value=3'
    ]
  )
  for (const nothing of [{}, { timed_stats: [] }, { timed_stats: 5, rd_latency_histogram: null }]) {
    t.same(latencyIn(nothing), {})
  }
})

t.test('limits of the storage', async t => {
  const guest = await StandInGuest.make(t, { devices: disk('@/disk', '') })
  execFileSync('qemu-img', ['create', '-q', '-f', 'raw', join(guest.dir, 'disk'), '1M'])
  await guest.start()
  const limits = { 'request-alignment': 1, 'max-iov': 1024, 'min-mem-alignment': 512, 'opt-mem-alignment': 4096 }
  guest.qemu.peer.answers['query-named-block-nodes'] = [{ 'node-name': 'libvirt-1-storage', image: { limits } }]
  const { retStats } = (await guest.call('virConnectGetAllDomainStats', { stats: VIR_DOMAIN_STATS_BLOCK })) as {
    retStats: { params: object }[]
  }
  const found = Object.entries(retStats[0]!.params).filter(([name]) => name.includes('.limits.'))
  t.match(Object.fromEntries(found), {
    'block.0.limits.request_alignment': 1n,
    'block.0.limits.iov_max': 1024n,
    'block.0.limits.memory_alignment_minimal': 512n,
    'block.0.limits.memory_alignment_optimal': 4096n
  })
})

t.test('a real guest that reads its disk', async t => {
  const dir = t.testdir({})
  execFileSync('qemu-img', ['create', '-q', '-f', 'raw', join(dir, 'disk'), '1M'])
  const shim = new Shim(bareGuest(`t-latency-${process.pid}`, disk(join(dir, 'disk'), ANY)))
  t.teardown(() => shim.end())
  void shim.start('--aggregator', 'none')
  await shim.untilState(RUNNING, 60_000)
  const stats = async () =>
    (await shim.call('virConnectGetAllDomainStats', { stats: VIR_DOMAIN_STATS_BLOCK })).body.retStats[0].params
  const counted = (params: Record<string, number>) =>
    params['block.0.latency_histogram.read.bin.0.value']! + params['block.0.latency_histogram.read.bin.1.value']!
  let params = await stats()
  while (params['block.0.rd.reqs'] === 0) {
    await sleep(50)
    params = await stats()
  }
  t.match(params, {
    'block.0.latency_histogram.read.bin.count': 2,
    'block.0.latency_histogram.read.bin.1.start': 1000
  })
  t.equal(counted(params), params['block.0.rd.reqs'], 'every request is in a bin')
})
