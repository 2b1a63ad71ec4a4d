// Lists and statistics of guests in every state, by each filter.
import t from 'tap'
import { guest, NAME, scenario, UUID } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const isOurs = (line: string) => line.replace(/[-\w]*$/, '').length >= 0 && line.includes(NAME)
/** Rows of our guests, with the heads of tables; others' guests are on libvirtd as well. */
const rows = (text: string) =>
  text
    .split('\n')
    .filter(line => isOurs(line) || line.includes(UUID) || /^ Id|Name/.test(line))
    .map(line => line.replace(/^ ?\d+ /, 'ID '))
    .join('\n')
const TIMES =
  /((?:time|delay|wait|user|system|\.(?:rd|wr|fl)\.\w+|allocation|physical|rss|last-update|success|fail|vm\.|vcpu\.\d\.)[^=\n]*)=\d+/g
/** Records of our guests by name: libvirtd has no order of guests. */
const records = (text: string) =>
  text
    .split(/\n(?=Domain)/)
    .map(record => record.trim().replace(TIMES, '$1=N'))
    .filter(isOurs)
    .sort()
    .join('\n')

const disk =
  "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$D/other.qcow2'/><target dev='vda'/></disk>"
const bare = { disk: '', graphics: '' }

await scenario({
  group: 'list',
  files: {
    'a.xml': guest(),
    'b.xml': guest({ suffix: '-b', number: '44', disk, graphics: '' }).replace(/<title>.*<\/title>/, ''),
    'c.xml': guest({ ...bare, suffix: '-c', number: '55' }),
    'd.xml': guest({ ...bare, suffix: '-d', number: '66' })
  },
  shown: [
    [/^list/, rows],
    [/^domstats/, records]
  ]
})
