// Histograms of latencies, which a QEMU that runs is told to keep.
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import { HISTOGRAMS } from '../../../../conf/devices/disk-statistics.ts'
import { isStorageEmpty } from '../../../../conf/storage/source.ts'
import { diskQomPath } from '../../block/throttle.ts'
import type { QmpMonitor } from '../../monitor/qmp.ts'

const ARGUMENTS: Record<(typeof HISTOGRAMS)[number], string> = {
  all: 'boundaries',
  read: 'boundaries-read',
  write: 'boundaries-write',
  zone: 'boundaries-zap',
  flush: 'boundaries-flush'
}

/** Has the latencies of a disk with a medium counted (qemuMonitorBlockLatencyHistogramSet of libvirt 12.8). */
export async function setHistograms(disk: DiskDef, qmp: QmpMonitor): Promise<void> {
  const { histograms = {} } = disk.driver.statistics ?? {}
  const wanted = HISTOGRAMS.filter(kind => histograms[kind]?.length)
  if (wanted.length === 0 || isStorageEmpty(disk.source)) return
  const boundaries = Object.fromEntries(wanted.map(kind => [ARGUMENTS[kind], histograms[kind]]))
  await qmp.execute('block-latency-histogram-set', { id: diskQomPath(disk), ...boundaries })
}
