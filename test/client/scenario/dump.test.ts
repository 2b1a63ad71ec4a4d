// Core dumps and what is told of a guest's job, of a guest that is shut off, running, paused and transient.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

/** Numbers of a job that was counted: they are nobody's twice, and QEMU has no bandwidth for what took it no time. */
const labels = (text: string) =>
  text.replace(/^(Memory bandwidth|memory_bps):.*\n/gm, '').replace(/(: +)\d+(\.\d+)?( \w+)?(\/s)?/g, '$1N')

await scenario({
  group: 'dump',
  files: { 'g.xml': guest().replace("<memory unit='MiB'>64<", "<memory unit='MiB'>16<") },
  shim: 'g.xml',
  shown: [[/^domjobinfo .*--(completed|anystats)/, labels]]
})
