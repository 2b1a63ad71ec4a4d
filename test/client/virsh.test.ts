// The real virsh on a libvirtd, the real virsh on a shim's own socket, and our client: the same commands on equal
// guests, one after the other, with the same output and exit status.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { findCommand } from '../../src/client/commands/index.ts'
import { Daemons } from '../helper/libvirtd.ts'
import { Shim } from '../helper/shim.ts'
import { masks, only, type Ran, runner, type Step, words } from '../helper/virsh.ts'

// three programs a step on a busy machine
t.setTimeout(240_000)

const RUNNING = 1
const NAME = 't-virsh'
const UUID = '6dfc3c2b-7a4e-4f6e-9f0b-0d6f2b6c8a11'
const MAC = '52:54:00:7a:11:01'

const dir = mkdtempSync(join(tmpdir(), 'virshim-virsh-'))
// libvirtd's QEMU is another user
chmodSync(dir, 0o755)

function guestXml(owner: string): string {
  const image = join(dir, `${owner}.qcow2`)
  spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, '16M'])
  return `<domain type='qemu'>
  <name>${NAME}</name><uuid>${UUID}</uuid><title>A guest to compare</title><description>Two lines
of text</description>
  <metadata><app:note xmlns:app='http://example.org/app'>kept <app:b/></app:note></metadata>
  <memory unit='MiB'>64</memory><vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/>
      <target dev='vda' bus='virtio'/><serial>one</serial></disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
    <interface type='user'><mac address='${MAC}'/><model type='virtio'/></interface>
    <serial type='pty'/><console type='pty'/>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <video><model type='vga'/></video><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>`
}

const daemons = new Daemons(dir)
t.teardown(() => {
  spawnSync('virsh', ['-q', '-c', 'qemu:///system', 'destroy', NAME])
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)
writeFileSync(join(dir, 'guest.xml'), guestXml('libvirtd'))
const made = spawnSync('virsh', ['-c', 'qemu:///system', 'create', join(dir, 'guest.xml')], { encoding: 'utf8' })
if (made.status !== 0) throw new Error(`virsh create: ${made.stderr}`)
const shim = new Shim(guestXml('shim'))
t.teardown(() => shim.end())
const exited = shim.start()
await shim.untilState(RUNNING)

const shimUri = `qemu+unix:///system?socket=${join(shim.root, 'libvirt-sock')}`

const run = runner(masks('t-virsh', 'libvirtd.qcow2|shim.qcow2'))

const on = {
  libvirtd: (words: string[]) => run('virsh', '-c', 'qemu:///system', ...words),
  shim: (words: string[]) => run('virsh', '-c', shimUri, ...words),
  client: (words: string[]) => run('bin/virshim', '-c', join(shim.root, 'api.sock'), ...words)
}

const steps: Step[] = [
  ['list', only(/t-virsh|Name/)],
  ['list --all', only(/t-virsh|Name/)],
  ['list --title', only(/t-virsh|Name/)],
  ['list --name', only(/t-virsh/)],
  ['list --uuid', only(new RegExp(UUID))],
  // ids of others' guests too
  ['list --id', text => text.replace(/(\d+\s+)+/g, 'IDS ')],
  ['list --uuid --name', only(/t-virsh/)],
  ['list --state-running', only(/t-virsh|Name/)],
  ['list --state-paused', only(/t-virsh|Name/)],
  ['list --transient', only(/t-virsh|Name/)],
  ['list --persistent --all', only(/t-virsh/)],
  ['list --with-managed-save --all', only(/t-virsh/)],
  ['list --without-managed-save', only(/t-virsh/)],
  ['list --autostart --all', only(/t-virsh/)],
  ['list --no-autostart', only(/t-virsh/)],
  ['list --table --uuid', only(/t-virsh|UUID/)],
  `dominfo ${NAME}`,
  `dominfo ${UUID}`,
  'dominfo nobody',
  'dominfo',
  `domstate ${NAME}`,
  `domstate ${NAME} --reason`,
  `domstate ${NAME} --colour`,
  'domstate nobody',
  `domname ${UUID}`,
  `domuuid ${NAME}`,
  'domuuid nobody',
  `domblklist ${NAME}`,
  `domblklist ${NAME} --details`,
  `domblklist ${NAME} --inactive`,
  `domblkinfo ${NAME} vda`,
  `domblkinfo ${NAME} vda --human`,
  `domblkinfo ${NAME} hdc`,
  `domblkinfo ${NAME} vdx`,
  `domblkstat ${NAME} vda`,
  `domblkstat ${NAME} vda --human`,
  `domblkstat ${NAME} vdx`,
  `domblkerror ${NAME}`,
  `domiflist ${NAME}`,
  `domiflist ${NAME} --inactive`,
  `domifstat ${NAME} nosuch`,
  `domif-getlink ${NAME} ${MAC}`,
  `domcontrol ${NAME}`,
  [`dommemstat ${NAME}`, only(/actual|rss/)],
  `domstats ${NAME} --state`,
  `domstats ${NAME} --balloon`,
  [`domstats ${NAME} --vcpu`, only(/Domain|current|maximum|state/)],
  `domstats ${NAME} --interface`,
  `domstats ${NAME} --block`,
  'domstats --nosuch',
  `vcpucount ${NAME}`,
  `vcpucount ${NAME} --maximum --live`,
  `vcpucount ${NAME} --current --live`,
  `vcpucount ${NAME} --maximum --config`,
  `vcpuinfo ${NAME}`,
  `vcpuinfo ${NAME} --pretty`,
  [`cpu-stats ${NAME} --total`, only(/Total|time/)],
  'maxvcpus --type kvm',
  `ttyconsole ${NAME}`,
  `vncdisplay ${NAME}`,
  `domdisplay ${NAME}`,
  `desc ${NAME}`,
  `desc ${NAME} --title`,
  `desc ${NAME} --title --new-desc "Another title"`,
  `desc ${NAME} --title`,
  `desc ${NAME} --new-desc "Other words"`,
  `desc ${NAME}`,
  `metadata ${NAME} http://example.org/app`,
  `metadata ${NAME} http://example.org/none`,
  `metadata ${NAME} http://example.org/two --key two --set "<more><than/>one</more>"`,
  `metadata ${NAME} http://example.org/two`,
  `metadata ${NAME} http://example.org/two --remove`,
  `metadata ${NAME} http://example.org/two`,
  `dumpxml ${NAME} --inactive --xpath //uuid`,
  `dumpxml ${NAME} --xpath //serial`,
  `dumpxml nobody`,
  `send-key ${NAME} KEY_A KEY_B`,
  `send-key ${NAME} --codeset xt 30 --holdtime 10`,
  `send-key ${NAME} KEY_NOSUCH`,
  `inject-nmi ${NAME}`,
  `screenshot ${NAME} ${join(dir, 'shot.png')}`,
  `screenshot ${NAME} ${join(dir, 'shot.png')} --screen 7`,
  `qemu-monitor-command ${NAME} --hmp info name`,
  `qemu-monitor-command ${NAME} --hmp info nosuch`,
  `qemu-monitor-command ${NAME} {"execute":"query-name"}`,
  `qemu-agent-command ${NAME} {"execute":"guest-ping"} --timeout 1`,
  `domtime ${NAME}`,
  `domhostname ${NAME}`,
  `domjobinfo ${NAME}`,
  `domjobabort ${NAME}`,
  `autostart ${NAME}`,
  `managedsave-remove ${NAME}`,
  `suspend ${NAME}`,
  `suspend ${NAME}`,
  `domstate ${NAME} --reason`,
  ['list', only(/t-virsh/)],
  ['list --state-paused', only(/t-virsh/)],
  `resume ${NAME}`,
  `domstate ${NAME} --reason`,
  `resume ${NAME}`,
  `reset ${NAME}`,
  `reboot ${NAME} --mode acpi`,
  `start ${NAME}`,
  'start nobody',
  'hostname',
  'nodeinfo',
  'nodecpumap',
  'nodecpumap --pretty',
  ['nodecpustats', text => text.replace(/\d+/g, 'N')],
  ['nodememstats', only(/total/)],
  ['freecell', text => text.replace(/\d+/g, 'N')],
  'node-memory-tune',
  'sysinfo',
  ['version', text => text.replace(/[\d.]+/g, 'N')],
  'version --daemon',
  'event --list',
  `event ${NAME} --event nosuch`,
  'nosuchcommand',
  'help list',
  `shutdown ${NAME} --mode nosuch`,
  `shutdown ${NAME} --mode acpi`,
  `destroy ${NAME}`,
  ['list', only(/t-virsh/)]
]

/** Client commands whose output is our own. */
const OWN_OUTPUT = new Set(['version', 'help', 'event'])
/** Options our client does not have. */
const VIRSH_ONLY = /--xpath/
/** A shim ends with its guest; there is nobody left to ask. */
const LAST = `destroy ${NAME}`

let compared = 0
let beyond = false
for (const step of steps) {
  const [line, shown] = typeof step === 'string' ? [step, (text: string) => text] : step
  const command = words(line)
  const view = ({ status, out, err }: Ran) => ({ status, out: shown(out), err: err.trim() })
  await t.test(line, async t => {
    const expected = view(on.libvirtd(command))
    if (beyond) {
      t.equal(expected.status, 0, 'the guest of libvirtd is gone too')
      return
    }
    const changes = /^(suspend|resume|desc .*--new|metadata .*--(set|remove)|shutdown|destroy)/.test(line)
    t.match(view(on.shim(command)), expected, 'virsh on the shim')
    compared++
    // what has changed the guest is not done again by the other client
    if (changes || !findCommand(command[0]!) || OWN_OUTPUT.has(command[0]!) || VIRSH_ONLY.test(line)) return
    t.match(view(on.client(command)), expected, 'virshim')
  })
  if (line === LAST) beyond = true
}

t.test('at least 90 commands were compared', async t => {
  t.ok(compared >= 90, `${compared}`)
  t.equal(await exited, 0, 'the shim ended with its guest')
})
