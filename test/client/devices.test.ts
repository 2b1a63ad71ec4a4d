// Devices of guests that are shut off, changed by virsh on a libvirtd, by virsh on a shim's own socket, and by our client:
// the same commands, with the same output, exit status and definition afterwards.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { canonicalXml, difference } from '../helper/equivalence.ts'
import { Daemons } from '../helper/libvirtd.ts'
import { Shim } from '../helper/shim.ts'
import { type Ran, runner, words } from '../helper/virsh.ts'

// three programs a step on a busy machine
t.setTimeout(240_000)

const SHUTOFF = 5
const NAME = `t-devices-${process.pid}`
const XML = `<domain type='qemu'>
  <name>${NAME}</name><uuid>6dfc3c2b-7a4e-4f6e-9f0b-0d6f2b6c8a21</uuid><maxMemory slots='4' unit='MiB'>1024</maxMemory><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
  <cpu><numa><cell id='0' cpus='0' memory='64' unit='MiB'/></numa></cpu>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/tmp/a.img'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
    <interface type='user'><mac address='52:54:00:7a:11:01'/><model type='virtio'/></interface>
    <interface type='bridge'><mac address='52:54:00:7a:11:02'/><source bridge='br0'/><model type='virtio'/></interface>
    <interface type='bridge'><mac address='52:54:00:7a:11:03'/><source bridge='br0'/><model type='virtio'/></interface>
    <memory model='virtio-mem'><target><size unit='MiB'>64</size><node>0</node><block unit='MiB'>2</block><requested unit='MiB'>0</requested></target></memory>
  </devices>
</domain>`

const dir = mkdtempSync(join(tmpdir(), 'virshim-devices-'))
const daemons = new Daemons(dir)
t.teardown(() => {
  spawnSync('virsh', ['-q', '-c', 'qemu:///system', 'undefine', NAME])
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)

const fileOf = (name: string, text: string) => {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}
const made = spawnSync('virsh', ['-q', '-c', 'qemu:///system', 'define', fileOf('guest.xml', XML)], {
  encoding: 'utf8'
})
if (made.status !== 0) throw new Error(`virsh define: ${made.stderr}`)

async function defined(): Promise<Shim> {
  const shim = new Shim(XML)
  t.teardown(() => shim.end())
  void shim.start('--define', '--inactive')
  await shim.untilState(SHUTOFF)
  return shim
}
const byVirsh = await defined()
const byClient = await defined()

const run = runner([])
const on = {
  libvirtd: (given: string[]) => run('virsh', '-c', 'qemu:///system', ...given),
  shim: (given: string[]) =>
    run('virsh', '-c', `qemu+unix:///system?socket=${join(byVirsh.root, 'libvirt-sock')}`, ...given),
  client: (given: string[]) => run('bin/virshim', '-c', join(byClient.root, 'api.sock'), ...given)
}

const rng = fileOf('rng.xml', "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>")
const watchdog = fileOf('watchdog.xml', "<watchdog model='ib700'><alias name='ua-dog'/></watchdog>")
const bad = fileOf('bad.xml', '<nosuch/>')
const link = fileOf(
  'link.xml',
  "<interface type='user'><mac address='52:54:00:7a:11:01'/><model type='virtio'/><link state='down'/></interface>"
)

const steps = [
  `attach-device ${NAME} ${rng}`,
  `attach-device ${NAME} ${rng} --live`,
  `attach-device ${NAME} ${rng} --config`,
  `attach-device ${NAME} ${rng} --current`,
  `attach-device ${NAME} ${rng} --persistent`,
  `attach-device ${NAME} ${rng} --persistent --current`,
  `attach-device ${NAME} ${rng} --live --current`,
  `attach-device ${NAME} ${bad} --config`,
  `attach-device ${NAME} /nosuch --config`,
  `attach-device ${NAME}`,
  `detach-device ${NAME} ${rng}`,
  `detach-device ${NAME} ${rng} --config`,
  `detach-device ${NAME} ${bad} --config`,
  `attach-device ${NAME} ${watchdog} --config`,
  `attach-device ${NAME} ${watchdog} --config`,
  `detach-device-alias ${NAME} ua-dog --config`,
  `detach-device-alias ${NAME} ua-dog --config`,
  `detach-device-alias ${NAME} ua-dog`,
  `update-device ${NAME} ${link} --config`,
  `update-device ${NAME} ${link} --config --force`,
  `update-device ${NAME} ${rng} --config`,
  `update-device ${NAME} ${link} --live`,
  `attach-disk ${NAME} /tmp/b.img vdb --config`,
  `attach-disk ${NAME} /tmp/b.img vdb --config`,
  `attach-disk ${NAME} /tmp/c.img sdb --targetbus scsi --driver qemu --subdriver qcow2 --cache none --io native --serial a1 --wwn 5000c50015ea71ac --alias ua-c --address scsi:0.0.3 --mode shareable --persistent`,
  `attach-disk ${NAME} /tmp/d.iso hdb --type cdrom --mode readonly --address ide:0.0.1 --current`,
  `attach-disk ${NAME} /tmp/e.img vde --address pci:0000.00.10.0 --multifunction --config`,
  `attach-disk ${NAME} /tmp/f.img vdf --address scsi:0.0.1 --config`,
  `attach-disk ${NAME} /tmp/f.img sdf --address pci:0.0.1.0 --config`,
  `attach-disk ${NAME} /tmp/f.img vdf --address nonsense --config`,
  `attach-disk ${NAME} /tmp/f.img vdf --mode nosuch --config`,
  `attach-disk ${NAME} /tmp/f.img vdf --sourcetype nosuch --config`,
  `attach-disk ${NAME} /tmp/f.img vdf --sourcetype network --config`,
  `attach-disk ${NAME} pool/f vdf --source-protocol rbd --source-host-name a:1 --subdriver raw --config`,
  `attach-disk ${NAME} pool/f vdg --source-host-name a:1 --config`,
  `attach-disk ${NAME} /tmp/f.img vdg --print-xml`,
  `attach-disk nobody /tmp/f.img vdg --targetbus virtio --rawio --iothread 1 --print-xml`,
  `attach-disk ${NAME} /tmp/g.img vdg`,
  `detach-disk ${NAME} vdb --config`,
  `detach-disk ${NAME} vdb --config`,
  `detach-disk ${NAME} /tmp/e.img --persistent`,
  `detach-disk ${NAME} vdf`,
  `change-media ${NAME} hdc /tmp/cd.iso --insert --config`,
  `change-media ${NAME} hdc /tmp/cd.iso --insert --config`,
  `change-media ${NAME} hdc /tmp/other.iso --update --config`,
  `change-media ${NAME} hdc /tmp/third.iso --current`,
  `change-media ${NAME} hdc --eject`,
  `change-media ${NAME} hdc --eject --config`,
  `change-media ${NAME} hdc --config`,
  `change-media ${NAME} hdc --insert --eject`,
  `change-media ${NAME} vda /tmp/x --config`,
  `change-media ${NAME} vdx /tmp/x --config`,
  `attach-interface ${NAME} bridge br1 --mac 52:54:00:7a:11:04 --model e1000 --target tap9 --alias ua-n --config`,
  `attach-interface ${NAME} network default --mac 52:54:00:7a:11:05 --inbound 100,200,300 --outbound 10 --config`,
  `attach-interface ${NAME} direct eth0 --mac 52:54:00:7a:11:06 --persistent`,
  `attach-interface ${NAME} hostdev 0000:00:09.0 --managed --mac 52:54:00:7a:11:07 --current`,
  `attach-interface ${NAME} user x --config`,
  `domif-getlink ${NAME} 52:54:00:7A:11:01`,
  `domif-setlink ${NAME} 52:54:00:7A:11:01 down --print-xml`,
  `detach-interface ${NAME} user --print-xml`,
  `domif-setlink ${NAME} 52:54:00:7a:11:01 down`,
  `domif-getlink ${NAME} 52:54:00:7a:11:01 --config`,
  `domif-setlink ${NAME} 52:54:00:7a:11:01 up --config`,
  `domif-getlink ${NAME} 52:54:00:7a:11:01`,
  `domif-setlink ${NAME} 52:54:00:7a:11:01 sideways`,
  `domif-setlink ${NAME} vnet99 up`,
  `domif-getlink ${NAME} vnet99`,
  `domif-getlink ${NAME} 52:54:00:00:00:99`,
  `attach-interface ${NAME} bridge br1 --inbound 1,2,3,4,5 --config`,
  `attach-interface ${NAME} bridge br1 --inbound x --config`,
  `attach-interface ${NAME} bridge br1 --outbound 0,1 --config`,
  `attach-interface ${NAME} vhostuser /tmp/s --config`,
  `attach-interface ${NAME} vhostuser /tmp/s --source-mode server --print-xml`,
  `attach-interface ${NAME} bridge br1 --script /etc/up --print-xml`,
  `attach-interface ${NAME} bridge br1`,
  `detach-interface ${NAME} bridge --mac 52:54:00:7a:11:02 --config`,
  `detach-interface ${NAME} bridge --mac 52:54:00:7a:11:02 --config`,
  `detach-interface ${NAME} bridge --config`,
  `detach-interface ${NAME} udp --config`,
  `detach-interface ${NAME} user --persistent`,
  `detach-interface ${NAME} direct`,
  `detach-disk ${NAME} vda --print-xml`,
  `update-memory-device ${NAME} --requested-size 16M --print-xml`,
  `update-memory-device ${NAME} --requested-size 16M --config`,
  `update-memory-device ${NAME} --requested-size 4096 --node 0`,
  `update-memory-device ${NAME} --node 1 --print-xml`,
  `update-memory-device ${NAME} --alias ua-none`,
  `update-memory-device ${NAME} --alias ua-none --node 0`,
  `update-memory-device ${NAME} --requested-size 3M`,
  `update-memory-device ${NAME} --requested-size 3Q`,
  `update-memory-device ${NAME} --requested-size 1M --live`,
  `update-memory-device ${NAME}`
]

for (const step of steps) {
  t.test(step.replaceAll(`${dir}/`, ''), async t => {
    const given = words(step)
    const wanted = on.libvirtd(given)
    const got: Record<string, Ran> = { shim: on.shim(given), client: on.client(given) }
    const dump = ['dumpxml', NAME, '--inactive']
    const xml = canonicalXml(on.libvirtd(dump).out, XML)
    for (const side of ['shim', 'client'] as const) {
      t.same(got[side], wanted, side)
      t.same(difference(xml, canonicalXml(on[side](dump).out, XML)), [], `${side}: the definition`)
    }
  })
}
