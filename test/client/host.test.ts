// What host and QEMU can do: virsh on a libvirtd, virsh on a shim's socket and our client, all with the same answers.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Daemons } from '../helper/libvirtd.ts'
import { bareGuest, Shim } from '../helper/shim.ts'
import { runner, UNNAMED_FEATURES } from '../helper/virsh.ts'

// three programs a step on a busy machine
t.setTimeout(600_000)

const RUNNING = 1
const dir = mkdtempSync(join(tmpdir(), 'virshim-host-'))
const daemons = new Daemons(dir)
const shim = new Shim(bareGuest('t-host'))
t.teardown(async () => {
  await shim.end()
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)
const exited = shim.start()
await shim.untilState(RUNNING)

const SUPERSET: [RegExp, string] = [
  /Host CPU is a superset of (CPU described in \S*\/capabilities\.one)/g,
  '$1 is identical to host CPU'
]

/** What differs between daemons: the UUID where no firmware tells one, who QEMU runs as, what changes by itself. */
const VARYING: [RegExp, string][] = [
  ...UNNAMED_FEATURES,
  // the description of this host is without them
  ...(UNNAMED_FEATURES.length > 0 ? [SUPERSET] : []),
  [/<uuid>[\da-f-]{36}<\/uuid>/, '<uuid/>'],
  [/\+\d+:\+\d+/g, 'OWNER'],
  [/-uuid [\da-f-]{36}/g, '-uuid UUID'],
  // where the daemon was started from
  [/ PATH=\S*/g, ' PATH=P'],
  [/((?:free|buffers|cached|Total) *: +)\d+/g, '$1N'],
  [/^((?:user|system|idle|iowait):? +)[\d.]+/gm, '$1N'],
  [/^(4KiB: )\d+/gm, '$1N'],
  [/(shm_\w+ +)\d+/g, '$1N']
]

const run = runner(VARYING)
const shimUri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`
const on = {
  libvirtd: (words: string[]) => run('virsh', '-c', 'qemu:///system', ...words),
  shim: (words: string[]) => run('virsh', '-c', shimUri, ...words),
  client: (words: string[]) => run('bin/virshim', '-c', join(shim.root, 'api.sock'), ...words)
}

/** Steps whose command our client has in another form. */
const VIRSH_ONLY = /^domxml-/

async function compare(lines: string[]): Promise<void> {
  for (const line of lines) {
    await t.test(line, async t => {
      const words = line.split(' ')
      const expected = on.libvirtd(words)
      t.same(on.shim(words), expected, 'virsh on the shim')
      if (!VIRSH_ONLY.test(line)) t.same(on.client(words), expected, 'virshim')
    })
  }
}

function xmlFile(name: string, ...documents: string[]): string {
  const path = join(dir, name)
  writeFileSync(path, documents.join('\n'))
  return path
}

const guestCpu = (inside: string, attributes = "match='exact'") => `<cpu ${attributes}>${inside}</cpu>`
const hostCpu = (model: string, more = '') => `<cpu><arch>x86_64</arch><model>${model}</model>${more}</cpu>`
const features = (...names: string[]) => names.map(name => `<feature name='${name}'/>`).join('')

const native = xmlFile('guest.xml', bareGuest('t-host-native'))

await compare([
  'capabilities',
  'domcapabilities',
  ...['pc', 'q35', 'isapc', 'pc-i440fx-2.5', 'pc-q35-4.2', 'microvm', 'nosuch', 'none'].map(
    machine => `domcapabilities --machine ${machine}`
  ),
  ...['qemu', 'kvm', 'hvf', 'xen', 'none', 'nosuch'].map(type => `domcapabilities --virttype ${type}`),
  ...['i686', 'aarch64', 's390x', 'nosuch'].map(arch => `domcapabilities --arch ${arch}`),
  'domcapabilities --virttype qemu --machine q35 --arch i686',
  'domcapabilities --arch i686 --emulatorbin /usr/bin/qemu-system-x86_64',
  'domcapabilities --arch aarch64 --emulatorbin /usr/bin/qemu-system-x86_64',
  'domcapabilities --emulatorbin /nosuch',
  ...['x86_64', 'i686', 'aarch64', 'ppc64le', 's390x', 'riscv64', 'nosuch'].map(arch => `cpu-models ${arch}`),
  'hypervisor-cpu-models',
  'hypervisor-cpu-models --all --virttype qemu --machine q35',
  'hypervisor-cpu-models --arch nosuch',
  'domcapabilities --disable-deprecated-features',
  'hostname',
  'nodeinfo',
  'nodecpumap',
  'nodecpumap --pretty',
  'nodecpustats',
  'nodecpustats --cpu 9999',
  'nodememstats',
  'nodememstats --cell 99',
  'maxvcpus',
  'maxvcpus --type qemu',
  'maxvcpus --type nosuch',
  'freecell',
  'freecell --cellno 99',
  'freepages --all',
  'freepages',
  'freepages --cellno 0',
  'freepages --cellno 0 --pagesize 4',
  'freepages --cellno 0 --pagesize 3M',
  'freepages --cellno 99 --pagesize 4',
  'allocpages 4 1',
  'allocpages 3M 1',
  'allocpages 2M 0 --cellno 99',
  'node-memory-tune',
  'node-memory-tune --shm-pages-to-scan x',
  'nodesuspend mem',
  'nodesuspend nowhere 60',
  'sysinfo',
  `domxml-to-native qemu-argv ${native}`,
  `domxml-to-native xen-xl ${native}`,
  `domxml-from-native qemu-argv ${native}`
])

const single: Record<string, string> = {
  old: guestCpu('<model>486</model>'),
  kvm64: guestCpu('<model>kvm64</model>'),
  new: guestCpu('<model>Skylake-Server</model>'),
  strict: guestCpu('<model>486</model>', "match='strict'"),
  vendor: guestCpu('<model>kvm64</model><vendor>Intel</vendor>'),
  forbid: guestCpu("<model>486</model><feature policy='forbid' name='sse2'/>"),
  require: guestCpu("<model>486</model><feature policy='require' name='vmx'/><feature policy='require' name='svm'/>"),
  force: guestCpu("<model>486</model><feature policy='force' name='vmx'/>"),
  optional: guestCpu("<model>486</model><feature policy='optional' name='vmx'/>"),
  'no-model': guestCpu("<topology sockets='1' cores='1' threads='1'/>"),
  passthrough: guestCpu('', "mode='host-passthrough'"),
  host: hostCpu('Opteron_G3', `<vendor>AMD</vendor>${features('avx', 'invtsc', 'xsaves', 'cmt', 'osxsave')}`),
  arm: '<cpu><arch>aarch64</arch><model>cortex-a53</model></cpu>',
  'unknown-model': guestCpu('<model>nosuch</model>'),
  'unknown-feature': guestCpu("<model>486</model><feature policy='require' name='nosuch'/>"),
  'unknown-architecture': '<cpu><arch>nosuch</arch><model>486</model></cpu>',
  'architecture-and-match': guestCpu('<arch>x86_64</arch><model>486</model>'),
  'architecture-alone': '<cpu><arch>x86_64</arch></cpu>',
  'feature-twice': hostCpu('486', features('sse', 'sse')),
  'feature-nameless': hostCpu('486', features('')),
  'bad-signature': hostCpu('486', "<signature family='0' model='1' stepping='1'/>"),
  'bad-microcode': hostCpu('486', "<microcode version='x'/>"),
  'bad-counter': hostCpu('486', "<counter name='tsc' frequency='x'/>"),
  'bad-policy': guestCpu("<model>486</model><feature policy='some' name='sse'/>")
}
for (const [name, xml] of Object.entries(single)) xmlFile(`${name}.one`, xml)
xmlFile('capabilities.one', on.libvirtd(['capabilities']).out)
xmlFile('domcapabilities.one', on.libvirtd(['domcapabilities', '--virttype', 'qemu']).out)
xmlFile('nothing.one', '<other/>')

for (const file of readdirSync(dir).filter(name => name.endsWith('.one'))) {
  const path = join(dir, file)
  await compare([
    `cpu-compare ${path}`,
    `cpu-compare ${path} --error`,
    `hypervisor-cpu-compare ${path} --error`,
    `hypervisor-cpu-compare ${path} --virttype qemu`
  ])
}
await compare([
  `hypervisor-cpu-compare ${join(dir, 'old.one')} --virttype hvf`,
  `hypervisor-cpu-compare ${join(dir, 'old.one')} --arch aarch64`,
  `hypervisor-cpu-compare ${join(dir, 'old.one')} --machine nosuch`,
  'cpu-compare /nosuch'
])

xmlFile('one.many', hostCpu('Haswell'))
xmlFile('intel.many', hostCpu('Haswell'), hostCpu('Skylake-Client-IBRS'))
xmlFile('newer.many', hostCpu('Cooperlake'), hostCpu('Icelake-Server'))
xmlFile('amd.many', hostCpu('EPYC', '<vendor>AMD</vendor>'), hostCpu('EPYC-Rome', '<vendor>AMD</vendor>'))
xmlFile('vendors.many', hostCpu('EPYC'), hostCpu('Haswell'))
xmlFile('vendor-wrong.many', hostCpu('486'), hostCpu('EPYC', '<vendor>Intel</vendor>'))
xmlFile('vendor-unknown.many', hostCpu('486', '<vendor>Nobody</vendor>'))
xmlFile('features.many', single.host!, hostCpu('EPYC', `<vendor>AMD</vendor>${features('invtsc', 'xsaves')}`))
xmlFile('guests.many', single.kvm64!, guestCpu('<model>Nehalem</model>'))
xmlFile('arm.many', single.arm!)
for (const file of readdirSync(dir).filter(name => name.endsWith('.many'))) {
  const path = join(dir, file)
  await compare([
    `cpu-baseline ${path}`,
    `cpu-baseline ${path} --features --migratable`,
    `hypervisor-cpu-baseline --file ${path}`,
    `hypervisor-cpu-baseline --file ${path} --virttype qemu --features --migratable`
  ])
}
await compare([
  'hypervisor-cpu-baseline --model qemu64 --virttype qemu',
  'hypervisor-cpu-baseline --model nosuch',
  'hypervisor-cpu-baseline'
])

t.test('the shim ends with its guest', async t => {
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})
