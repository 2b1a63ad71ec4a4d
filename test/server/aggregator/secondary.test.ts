// libvirt's other drivers through the aggregator: networks, storage with its streams, events, and virt-install of a guest
// whose disk is a volume of a pool and whose card gets its address on the network `default`.
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, constants, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { untilIdle } from '../../helper/idle.ts'
import { Daemons } from '../../helper/libvirtd.ts'
import { runner } from '../../helper/virsh.ts'

t.setTimeout(280_000)

const NAME = `t-sec-${process.pid}`
const MAC = '52:54:00:7a:66:01'
const SECRET = '8d2e1b4a-6a55-4b6c-9c1b-6f3a58c0a002'
const GUEST = '/var/tmp/virshim-guest'
const MiB = 1024 * 1024

const dir = mkdtempSync(join(tmpdir(), 'virshim-secondary-'))
const poolDir = join(dir, 'pool')
mkdirSync(poolDir)

const daemons = new Daemons(dir)
const aggregator = new AggregatorRun()
const uri = `qemu+unix:///system?socket=${join(aggregator.root, 'libvirt-sock')}`
const run = runner([])
const libvirtd = (...words: string[]) => run('virsh', '-q', '-c', 'qemu:///system', ...words)
const virsh = (...words: string[]) => run('virsh', '-q', '-c', uri, ...words)

let startedDefault = false
t.teardown(async () => {
  virsh('destroy', NAME)
  virsh('undefine', NAME)
  await aggregator.end()
  libvirtd('pool-destroy', NAME)
  libvirtd('secret-undefine', SECRET)
  if (startedDefault) libvirtd('net-destroy', 'default')
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)
await aggregator.start('--secondary', '/run/libvirt')
if (!/^Active: +yes/m.test(libvirtd('net-info', 'default').out)) {
  startedDefault = true
  const { status, err } = libvirtd('net-start', 'default')
  if (status !== 0) throw new Error(err)
}

t.test('lists and descriptions are those of the drivers', async t => {
  // what other tests make meanwhile is transient
  const lists = ['net-list --persistent', 'pool-list --persistent', 'secret-list --no-ephemeral', 'nwfilter-list']
  const known = ['net-dumpxml default', 'net-info default', 'net-uuid default', 'nodedev-dumpxml computer']
  const unknown = ['net-dumpxml', 'pool-info', 'vol-info', 'nwfilter-dumpxml', 'nodedev-info', 'iface-dumpxml']
  for (const command of [...lists, ...known, ...unknown.map(one => `${one} nobody`)]) {
    const words = command.split(' ')
    t.same(virsh(...words), libvirtd(...words), command)
  }
})

t.test('a pool, a volume, and what is in it', async t => {
  const events = spawn('virsh', ['-c', uri, 'pool-event', '--event', 'lifecycle', '--timeout', '60'], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  let heard = ''
  events.stdout.on('data', chunk => {
    heard += chunk
  })
  const told = new Promise(resolve => events.once('exit', resolve))
  await untilIdle(events.pid)
  t.match(virsh('pool-create-as', NAME, 'dir', '--target', poolDir), { status: 0 })
  await told
  t.match(heard, `event 'lifecycle' for storage pool ${NAME}: Started`, 'events come through')

  t.match(virsh('vol-create-as', NAME, 'data', '8M', '--format', 'raw'), { status: 0 })
  const bytes = randomBytes(6 * MiB + 17)
  const [up, down] = [join(dir, 'up'), join(dir, 'down')]
  writeFileSync(up, bytes)
  t.match(virsh('vol-upload', 'data', up, '--pool', NAME), { status: 0, err: '' }, 'streams to the driver')
  t.match(virsh('vol-download', 'data', down, '--pool', NAME, '--length', String(bytes.length)), { status: 0, err: '' })
  t.ok(readFileSync(down).equals(bytes), 'and back')
  t.match(virsh('vol-download', 'nobody', down, '--pool', NAME), { status: 1, err: /Storage volume not found/ })
})

t.test('a secret', async t => {
  const xml = join(dir, 'secret.xml')
  writeFileSync(
    xml,
    `<secret ephemeral='yes'><uuid>${SECRET}</uuid><usage type='volume'><volume>${NAME}</volume></usage></secret>`
  )
  t.match(virsh('secret-define', xml), { status: 0 })
  t.match(virsh('secret-set-value', SECRET, Buffer.from('value').toString('base64')), { status: 0 })
  t.match(virsh('secret-get-value', SECRET, '--plain').out, 'value')
  t.match(virsh('-r', 'secret-undefine', SECRET), { status: 1, err: /read only/ }, 'a reader only reads')
})

/** What the guest's shell says when it asks for an address. */
const DHCP = `
import libvirt, sys, threading, time
conn = libvirt.open(sys.argv[1])
stream = conn.newStream()
conn.lookupByName(sys.argv[2]).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
heard, asked, until = [], 0, time.time() + 150
def listen():
    while True:
        data = stream.recv(65536)
        if not data: break
        heard.append(data)
threading.Thread(target=listen, daemon=True).start()
text = lambda: b''.join(heard).decode('utf8', 'replace')
while 'lease of' not in text() and time.time() < until:
    if 'guest ready' in text() and time.time() - asked > 15:
        stream.send(b'ip link set eth0 up; udhcpc -i eth0 -n -q -t 9 -s /bin/true 2>&1\\n')
        asked = time.time()
    time.sleep(0.3)
print(text()[-2000:])
`

t.test('virt-install --import of a guest on the network `default`', async t => {
  accessSync(join(GUEST, 'vmlinuz'), constants.R_OK)
  t.match(virsh('vol-create-as', NAME, 'disk', '8M', '--format', 'qcow2'), { status: 0 })
  const boot = `kernel=${GUEST}/vmlinuz,initrd=${GUEST}/initrd,kernel_args="console=ttyS0 quiet panic=-1"`
  const options = ['--import', '--name', NAME, '--memory', '256', '--vcpus', '1', '--virt-type', 'qemu', '--boot', boot]
  const devices = ['--disk', `vol=${NAME}/disk`, '--network', `network=default,mac=${MAC},model=virtio`]
  const quiet = ['--osinfo', 'detect=off,require=off', '--graphics', 'none', '--noautoconsole']
  const made = run('virt-install', '--connect', uri, ...options, ...devices, ...quiet)
  t.match(made, { status: 0, out: /Domain creation completed/ })
  t.match(virsh('domstate', NAME).out, 'running')
  t.match(virsh('domblklist', NAME).out, /disk/)
  t.match(virsh('dominfo', NAME).out, /^Persistent: +yes/m)
  const port = /portid='([^']+)'/.exec(virsh('dumpxml', NAME).out)?.[1] ?? ''
  t.ok(port && libvirtd('net-port-list', 'default').out.includes(port), 'it has a port on the network')
  const tap = /vnet\d+/.exec(virsh('domiflist', NAME).out)?.[0]
  t.match(virsh('domifstat', NAME, tap ?? ''), { status: 0 })

  const said = spawnSync('/usr/bin/python3', ['-c', DHCP, uri, NAME], { encoding: 'utf8' })
  const address = /lease of (192\.168\.\d+\.\d+) obtained/.exec(said.stdout)?.[1]
  t.ok(address, `the guest has its address: ${said.stdout}${said.stderr}`)
  t.match(virsh('net-dhcp-leases', 'default', '--mac', MAC).out, `${address}/`, 'and the network knows')

  t.match(virsh('destroy', NAME), { status: 0 })
  t.notOk(libvirtd('net-port-list', 'default').out.includes(port), 'its port is given back')
  t.match(virsh('undefine', NAME), { status: 0 })
})

t.test('without drivers there is nothing, and that is no error', async t => {
  const alone = new AggregatorRun()
  t.teardown(() => alone.end())
  await alone.start('--secondary', 'none')
  const at = `qemu+unix:///system?socket=${join(alone.root, 'libvirt-sock')}`
  for (const list of ['net-list', 'pool-list', 'nwfilter-list', 'nodedev-list', 'iface-list', 'secret-list']) {
    const { status, out, err } = run('virsh', '-q', '-c', at, list)
    t.match({ status, out: out.trim(), err }, { status: 0, out: '', err: '' }, list)
  }
  t.match(run('virsh', '-c', at, 'net-info', 'default'), { status: 1, err: /not supported by the connection driver/ })
})
