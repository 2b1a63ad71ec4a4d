// What QEMU says of a disk's latencies: for intervals of time, and as histograms (qemuMonitorJSONBlockStatsCollectData of
// libvirt 12.8). It is asked for by <statistics>; without that there is none.
import { type TypedParams, typed } from '../../../conf/wire.ts'

type Count = number | bigint

const isCount = (said: unknown): said is Count => typeof said === 'number' || typeof said === 'bigint'
const isObject = (said: unknown): said is Record<string, unknown> => typeof said === 'object' && said !== null

/** Latencies by their keys behind `block.N.`. */
export type Latency = TypedParams

const KINDS = ['rd', 'wr', 'zone_append', 'flush']
const MEASURES = ['min', 'max', 'avg']
const QUEUES = ['rd', 'wr', 'zone_append']

/** Histograms by QEMU's names, under libvirt's. */
const HISTOGRAMS: [name: string, qemuName: string][] = [
  ['read', 'rd_latency_histogram'],
  ['write', 'wr_latency_histogram'],
  ['zone_append', 'zone_append_latency_histogram'],
  ['flush', 'flush_latency_histogram']
]

/** Of an answer to query-blockstats; what is not as it should be is left out. */
export function latencyIn(stats: Record<string, unknown>): Latency {
  const groups = Array.isArray(stats.timed_stats) ? stats.timed_stats.filter(isObject) : []
  const timed: Latency = groups.length > 0 ? { 'timed_group.count': typed.ullong(groups.length) } : {}
  return Object.assign(
    timed,
    ...groups.map((group, i) => under(`timed_group.${i}`, groupIn(group))),
    ...HISTOGRAMS.map(([name, qemuName]) => under(`latency_histogram.${name}.bin`, binsIn(stats[qemuName])))
  )
}

const under = (prefix: string, params: TypedParams): TypedParams =>
  Object.fromEntries(Object.entries(params).map(([name, value]) => [`${prefix}.${name}`, value]))

function groupIn(group: Record<string, unknown>): TypedParams {
  const counts: [name: string, said: unknown][] = [
    ['interval', group.interval_length],
    ...KINDS.flatMap(kind =>
      MEASURES.map((measure): [string, unknown] => [
        `${kind}_latency_${measure}`,
        group[`${measure}_${kind}_latency_ns`]
      ])
    )
  ]
  const depths = QUEUES.map((kind): [string, unknown] => [`${kind}_queue_depth_avg`, group[`avg_${kind}_queue_depth`]])
  return Object.fromEntries([
    ...counts.flatMap(([name, said]) => (isCount(said) ? [[name, typed.ullong(said)]] : [])),
    ...depths.flatMap(([name, said]) => (isCount(said) ? [[name, typed.double(Number(said))]] : []))
  ])
}

/** Bins with what they count; the first begins at 0, each other one at a boundary. */
function binsIn(histogram: unknown): TypedParams {
  if (!isObject(histogram)) return {}
  const { boundaries, bins } = histogram
  if (!Array.isArray(boundaries) || !Array.isArray(bins) || bins.length !== boundaries.length + 1) return {}
  if (![...boundaries, ...bins].every(isCount)) return {}
  return Object.assign(
    { count: typed.ullong(bins.length) },
    ...bins.map((value, i) => ({
      [`${i}.start`]: typed.ullong(i === 0 ? 0 : boundaries[i - 1]),
      [`${i}.value`]: typed.ullong(value)
    }))
  )
}
