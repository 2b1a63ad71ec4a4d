// CPUs in files: where they are found, and what is said of those of hosts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { cpusIn } from '../../src/client/cpu-file.ts'

const dir = mkdtempSync(join(tmpdir(), 'virshim-cpu-file-'))
t.teardown(() => rmSync(dir, { recursive: true }))

async function read(text: string): Promise<{ cpus: string[]; warned: number }> {
  const path = join(dir, 'cpus')
  writeFileSync(path, text)
  let warned = 0
  const cpus = await cpusIn(path, line => {
    t.equal(line, 'using host CPU definition as input may provide incorrect results')
    warned++
  })
  return { cpus: cpus.map(cpu => cpu.replace(/\n */g, '')), warned }
}

t.test('a host’s CPU is told by features without a policy', async t => {
  const guests = "<cpu><model>486</model><feature policy='require' name='sse'/></cpu>"
  const hosts = "<cpu><arch>x86_64</arch><model>486</model><feature name='sse'/><feature name='sse2'/></cpu>"
  t.same(await read(guests), { cpus: [guests], warned: 0 })
  t.same(await read(`<domain>${guests}</domain>`), { cpus: [guests], warned: 0 })
  t.same(await read(`<capabilities><host>${hosts}</host></capabilities>`), { cpus: [hosts], warned: 1 })
  t.same(await read(hosts + guests + hosts), { cpus: [hosts, guests, hosts], warned: 2 }, 'once for each')
  t.same(await read('<cpu><arch>x86_64</arch><model>486</model></cpu>'), {
    cpus: ['<cpu><arch>x86_64</arch><model>486</model></cpu>'],
    warned: 0
  })
})
