// What a guest may take of the host: said, changed while it is shut off and while it runs, and carried out at its start.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const tuned = (tuning: string, parts: Parameters<typeof guest>[0] = {}) =>
  guest({ disk: '', ...parts }).replace("<vcpu current='1'>2</vcpu>", `<vcpu current='2'>3</vcpu>${tuning}`)

const own = "<iothreads>2</iothreads><cputune><shares>900</shares><vcpupin vcpu='1' cpuset='1'/></cputune>"
const numbers = (text: string) => text.replace(/\d[\d.]*/g, 'N')

await scenario({
  group: 'tuning',
  files: {
    'g.xml': tuned(own),
    'far.xml': tuned("<cputune><emulatorpin cpuset='9'/></cputune>", { suffix: '-far', number: '44' }),
    'late.xml': tuned('<cputune><shares>1</shares></cputune>', { suffix: '-late', number: '45' }),
    'loud.xml': tuned("<cputune><vcpusched vcpus='0' scheduler='fifo' priority='200'/></cputune>", {
      suffix: '-loud',
      number: '46'
    })
  },
  shim: 'g.xml',
  shown: [[/^cpu-stats/, numbers]]
})
