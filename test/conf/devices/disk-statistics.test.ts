// <statistics> of a disk, as libvirt 12.8 reads and shows it.
import t from 'tap'
import { diskFields } from '../../../src/conf/devices/disk.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const disk = (statistics: string) =>
  `<disk type='file' device='disk'><driver name='qemu'>${statistics && `<statistics>${statistics}</statistics>`}</driver><source file='/a'/><target dev='vda'/></disk>`
const bins = (...starts: (number | bigint)[]) => starts.map(start => `<bin start='${start}'/>`).join('')
const histogram = (inner: string, type?: string) =>
  `<latency-histogram${type === undefined ? '' : ` type='${type}'`}>${inner}</latency-histogram>`
const intervals = (...lengths: (number | bigint)[]) =>
  lengths.map(length => `<statistic interval='${length}'/>`).join('')

t.test('what is counted is shown, in order', async t => {
  const all = ['read', 'write', 'zone', 'flush']
  for (const [written, shown = written] of [
    [intervals(10)],
    [intervals(10, 3600, 10)],
    [histogram(bins(0, 10, 100))],
    [histogram(bins(10, 2n ** 64n - 1n)), histogram(bins(0, 10, 2n ** 64n - 1n))],
    [
      [...all]
        .reverse()
        .map((type, i) => histogram(bins(i + 1), type))
        .join('') +
        intervals(5) +
        histogram(bins(9)),
      intervals(5) + histogram(bins(0, 9)) + all.map((type, i) => histogram(bins(0, 4 - i), type)).join('')
    ]
  ] as [string, string?][]) {
    t.equal(throughTable(diskFields, disk(written)), disk(shown))
  }
  for (const nothing of ['', histogram(bins(0))]) {
    t.notMatch(throughTable(diskFields, disk(nothing)), /statistics/, 'nothing is counted')
  }
})

t.test('errors', async t => {
  const SORTED =
    /VIR_ERR_CONFIG_UNSUPPORTED.*'latency-histogram' 'bin' configuration must be sorted and non-overlapping/
  for (const [written, error] of [
    ['<statistic/>', /VIR_ERR_XML_ERROR.*Missing required attribute 'interval' in element 'statistic'/],
    [intervals(0), /VIR_ERR_XML_ERROR.*'interval' in element 'statistic': Zero is not permitted/],
    [intervals(-1), /VIR_ERR_XML_ERROR.*'interval' in element 'statistic': '-1'. Expected non-negative integer value/],
    [intervals(2n ** 32n), /VIR_ERR_XML_ERROR.*'4294967296'. Expected non-negative integer value/],
    [histogram(bins(1), 'x'), /VIR_ERR_CONFIG_UNSUPPORTED.*unknown latency_histogram type 'x'/],
    [histogram(''), /VIR_ERR_XML_ERROR.*missing 'bin' elements for 'latency-histogram'/],
    [histogram('<bin/>'), /VIR_ERR_XML_ERROR.*Missing required attribute 'start' in element 'bin'/],
    [histogram(bins(2n ** 64n)), /VIR_ERR_XML_ERROR.*'start' in element 'bin': '18446744073709551616'/],
    [histogram(bins(5, 5)), SORTED],
    [histogram(bins(5, 0)), SORTED],
    [
      histogram(bins(1), 'read') + histogram(bins(2), 'read'),
      /VIR_ERR_CONFIG_UNSUPPORTED.*only one latency-histogram of a given type is supported/
    ]
  ] as const) {
    t.match(await errorOf(() => throughTable(diskFields, disk(written))), error, written)
  }
})
