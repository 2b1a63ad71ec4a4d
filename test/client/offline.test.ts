// The offline verbs as they are typed: the whole command, files and standard input, help.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { endAll } from '../helper/processes.ts'

t.setTimeout(120_000)

const dir = mkdtempSync(join(tmpdir(), 'virshim-offline-'))
t.teardown(async () => {
  await endAll(dir)
  rmSync(dir, { recursive: true, force: true })
})

const XML = `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>t-offline</name><uuid>00000000-f1d0-4000-8000-000000001001</uuid><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <qemu:commandline>
    <qemu:env name='T_LIBS' value="/opt/it's here"/><qemu:env name='T_EMPTY'/><qemu:env name='T_PLAIN' value='a=b'/>
  </qemu:commandline>
</domain>`
const file = join(dir, 'guest.xml')
writeFileSync(file, XML)

function virshim(words: string[], input = ''): { status: number | null; stdout: string; stderr: string } {
  // HOME and TMPDIR: guests of an ordinary user, below our directory
  const env = { ...process.env, HOME: dir, XDG_RUNTIME_DIR: join(dir, 'run'), XDG_CACHE_HOME: join(dir, 'cache') }
  return spawnSync('bin/virshim', words, { encoding: 'utf8', input, env, timeout: 120_000 })
}

t.test('domxml-to-native shows the variables before the command', async t => {
  const { stdout, status } = virshim(['domxml-to-native', 'qemu-argv', file])
  t.equal(status, 0)
  t.match(stdout, `T_LIBS='/opt/it'\\''s here' T_EMPTY='' T_PLAIN=a=b /usr/bin/qemu-system-x86_64 -name `)
  t.match(stdout, /^T_LIBS=/)
  const ran = spawnSync('sh', ['-c', stdout.replace(/ \/usr\/bin\/qemu.*/, ' printenv T_LIBS T_EMPTY T_PLAIN')])
  t.equal(String(ran.stdout), "/opt/it's here\n\na=b\n", 'as a shell takes them')
  const json = JSON.parse(virshim(['domxml-to-native', 'qemu-argv', '--json', file]).stdout)
  t.match(json, { file, env: { T_LIBS: "/opt/it's here", T_EMPTY: '' }, argv: ['/usr/bin/qemu-system-x86_64'] })
  t.same(Object.keys(json.env), ['T_LIBS', 'T_EMPTY', 'T_PLAIN'])
})

const virsh = ['-c', 'qemu:///system', 'domxml-to-native', 'qemu-argv', file]
const noLibvirtd = spawnSync('virsh', virsh).status !== 0 && 'needs libvirtd'

t.test('beside virsh on libvirtd', { skip: noLibvirtd }, async t => {
  const after = (line: string) => /T_LIBS=.* -name /.exec(line)?.[0]
  const { stdout } = spawnSync('virsh', virsh, { encoding: 'utf8' })
  t.equal(after(virshim(['domxml-to-native', 'qemu-argv', file]).stdout), after(stdout))
})

t.test('- is standard input', async t => {
  for (const [verb = '', ...words] of [['domxml-to-native', 'qemu-argv'], ['domxml-normalize'], ['domxml-validate']]) {
    const fromFile = virshim([verb, ...words, file])
    const fromInput = virshim([verb, ...words, '-'], XML)
    t.equal(fromInput.status, 0, verb)
    t.equal(fromInput.stdout, fromFile.stdout.replace(file, '-'))
  }
  const wrong = virshim(['domxml-validate', '-'], XML.replace('<memory', '<memroy'))
  t.match(wrong, { status: 1, stderr: /^error: -: / })
  const many = virshim(['domxml-normalize', '--json', file, '-'], XML)
  t.same(
    many.stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).file),
    [file, '-']
  )
})

t.test('- of commands that ask a daemon', async t => {
  const root = join(dir, 'root')
  const started = spawnSync('bin/virshimd', ['--root', root, '--detach', '--aggregator', 'none', '-'], {
    input: XML,
    encoding: 'utf8'
  })
  t.equal(started.status, 0, started.stderr)
  const at = ['-c', join(root, 'api.sock')]
  const cpu = `<cpu><arch>x86_64</arch><model>qemu64</model><vendor>AMD</vendor></cpu>`
  const cpuFile = join(dir, 'cpu.xml')
  writeFileSync(cpuFile, cpu)
  for (const command of ['cpu-compare', 'cpu-baseline', 'hypervisor-cpu-compare', 'hypervisor-cpu-baseline']) {
    const fromFile = virshim([...at, command, cpuFile])
    const fromInput = virshim([...at, command, '-'], cpu)
    t.equal(fromInput.status, fromFile.status, command)
    t.equal(fromInput.stdout.replace(' - ', ` ${cpuFile} `), fromFile.stdout, command)
  }
  t.match(virshim([...at, 'cpu-baseline', '-'], cpu).stdout, '<model')
  t.equal(virshim([...at, 'destroy', 't-offline']).status, 0)

  const created = virshim(['create', '-'], XML.replace('t-offline', 't-offline-created'))
  t.match(created, { status: 0, stdout: "Domain 't-offline-created' created from -\n" })
  t.equal(virshim(['destroy', 't-offline-created']).status, 0)

  const tied = virshim(['create', '--autodestroy', '-'], XML.replace('t-offline', 't-offline-tied'))
  t.match(tied, { status: 0, stderr: '', stdout: "Domain 't-offline-tied' created from -\n" })
  for (const deadline = Date.now() + 30_000; virshim(['domstate', 't-offline-tied']).status === 0; ) {
    if (Date.now() > deadline) throw new Error('it ends with the client that created it')
  }
  const bad = virshim(['create', '--autodestroy', '-'], '<domain/>')
  t.match(bad, { status: 1, stderr: virshim(['create', '-'], '<domain/>').stderr })
})

t.test('help says what each verb does', async t => {
  const { stdout } = virshim(['help', 'domxml-validate'])
  t.match(stdout, /domxml-validate - validate domain XML/)
  t.match(stdout, /\n {2}DESCRIPTION\n {4}Reads domain XML as define --validate does/)
  t.match(stdout, '- for standard input')
})
