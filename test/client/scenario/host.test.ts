// The host and its hypervisor, as virsh tells of them.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const numbers = (text: string) => text.replace(/\d[\d.]*/g, 'N')

await scenario({
  group: 'host',
  files: {
    'g.xml': guest(),
    'cpu.xml': '<cpu><arch>x86_64</arch><model>qemu64</model></cpu>',
    'bad.xml': '<cpu'
  },
  shim: 'g.xml',
  shown: [[/^(nodecpustats|nodememstats|freecell|freepages)\b/, numbers]]
})
