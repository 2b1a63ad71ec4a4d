// What the read-only socket tells, and what it refuses in which words.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

await scenario({
  group: 'readonly',
  files: { 'g.xml': guest(), 'cpu.xml': '<cpu><arch>x86_64</arch><model>qemu64</model></cpu>' },
  shim: 'g.xml'
})
