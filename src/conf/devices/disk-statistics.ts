// <statistics> of a disk's <driver>: latencies that are counted for intervals of time, and by how long they are (libvirt
// 12.8).
import { attr, child, children, type Def, type Field, type Fields, nonZero, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string, uint, ulonglong } from '../scalar.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** Requests that have a histogram; `all` is that of those without one of their own. */
export const HISTOGRAMS = ['all', 'read', 'write', 'zone', 'flush'] as const
type Histogram = (typeof HISTOGRAMS)[number]

export interface DiskStatistics {
  /** lengths of time in s */
  intervals: number[]
  /** where bins begin in ns; before the first of these there is one from 0 on */
  histograms: Partial<Record<Histogram, bigint[]>>
}

const histogramFields = {
  type: attr('type', string),
  bins: children('bin', { start: required(attr('start', ulonglong)) })
} satisfies Fields

const written = child('statistics', {
  intervals: children('statistic', { interval: required(nonZero(attr('interval', uint))) }),
  histograms: children('latency-histogram', histogramFields)
})

/** virDomainDiskDefDriverParseXMLHistogramOne */
function histogramOf({ type, bins }: Def<typeof histogramFields>): [Histogram, bigint[]] {
  const kind = type === undefined ? 'all' : HISTOGRAMS.slice(1).find(known => known === type)
  if (!kind) throw unsupported(`unknown latency_histogram type '${type}'`)
  if (bins.length === 0) throw fail('VIR_ERR_XML_ERROR', "missing 'bin' elements for 'latency-histogram'")
  const starts = bins.map(({ start }) => start)
  const later = starts[0] === 0n ? starts.slice(1) : starts
  if (later.every((start, i) => start > (later[i - 1] ?? 0n))) return [kind, later]
  throw unsupported(
    "the values of 'start' attribute of a 'latency-histogram' 'bin' configuration must be sorted and non-overlapping"
  )
}

/** Absent where nothing is counted. */
export const diskStatistics: Field<DiskStatistics | undefined> = {
  names: written.names,
  parse(node, context) {
    const { intervals = [], histograms: found = [] } = written.parse(node, context) ?? {}
    const histograms: DiskStatistics['histograms'] = {}
    for (const [kind, starts] of found.map(histogramOf)) {
      if (histograms[kind]) throw unsupported('only one latency-histogram of a given type is supported')
      histograms[kind] = starts
    }
    const isCounted = intervals.length > 0 || Object.values(histograms).some(starts => starts.length > 0)
    return isCounted ? { intervals: intervals.map(({ interval }) => interval), histograms } : undefined
  },
  format(statistics, into, context) {
    if (!statistics) return
    const histograms = HISTOGRAMS.flatMap(kind => {
      const starts = statistics.histograms[kind] ?? []
      if (starts.length === 0) return []
      return [{ ...(kind !== 'all' && { type: kind }), bins: [0n, ...starts].map(start => ({ start })) }]
    })
    written.format({ intervals: statistics.intervals.map(interval => ({ interval })), histograms }, into, context)
  }
}
