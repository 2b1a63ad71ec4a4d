// Calls on the inside of guests: the agents of all of them are one and the same stand-in, behind a guest that hands on what
// it is told.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseJson } from '../../../src/conf/json.ts'
import { makeRelay, RELAY_PORT } from '../../helper/agent-relay.ts'
import { guest, type Lane, scenario } from '../../helper/scenario.ts'
import { AgentPeer, type Answers, type Order, silent } from '../../helper/stand-in-qemu.ts'

t.setTimeout(900_000)

const PCI = (slot: number) => ({ domain: 0, bus: 0, slot, function: 0 })
const NONE = { domain: -1, bus: -1, slot: -1, function: -1 }
const VDA = { 'bus-type': 'virtio', bus: 0, target: 0, unit: 0, 'pci-controller': PCI(0x10) }

/** A value is what the command returns; one with `error` is an answer of its own, 'silence' is none. */
const ANSWERS: Answers = {
  'guest-ping': {},
  'guest-refused': { error: { class: 'GenericError', desc: 'refused' } },
  'guest-noclass': { error: {} },
  'guest-classonly': { error: { class: 'InvalidParameter' } },
  'guest-fsfreeze-freeze': 2,
  'guest-fsfreeze-freeze-list': 1,
  'guest-fsfreeze-thaw': 2,
  'guest-fstrim': { paths: [] },
  'guest-get-fsinfo': [
    {
      mountpoint: '/home',
      name: 'dm-0',
      type: 'xfs',
      'used-bytes': 4096,
      'total-bytes': 18446744073709551615n,
      disk: [
        { ...VDA, serial: 'S1', dev: '/dev/vda2' },
        { ...VDA, 'pci-controller': NONE }
      ]
    },
    { mountpoint: '/', name: 'vda1', type: 'ext4', disk: [VDA] },
    { mountpoint: '/run', name: 'tmpfs', type: 'tmpfs', disk: [] }
  ],
  'guest-get-disks': [
    { name: '/dev/vda', partition: false, dependencies: [], address: { ...VDA, serial: 'S1' } },
    { name: '/dev/vda1', partition: true, dependencies: ['/dev/vda', '/dev/x'], alias: 'root', address: VDA }
  ],
  'guest-get-users': [
    { user: 'root', 'login-time': 1700000000.123 },
    { user: 'me', domain: 'WORK', 'login-time': 0 }
  ],
  'guest-get-osinfo': {
    id: 'debian',
    name: 'Debian GNU/Linux',
    'pretty-name': 'Debian 12',
    'version-id': '12',
    machine: 'x86_64'
  },
  'guest-get-timezone': { zone: 'CET', offset: -3600 },
  'guest-get-host-name': { 'host-name': 'stand-in.example.org' },
  'guest-network-get-interfaces': [
    {
      name: 'lo',
      'hardware-address': '00:00:00:00:00:00',
      'ip-addresses': [{ 'ip-address-type': 'ipv4', 'ip-address': '127.0.0.1', prefix: 8 }]
    },
    {
      name: 'eth0',
      'hardware-address': '52:54:00:7a:11:33',
      'ip-addresses': [
        { 'ip-address-type': 'ipv4', 'ip-address': '10.0.0.2', prefix: 24 },
        { 'ip-address-type': 'ipv6', 'ip-address': 'fe80::1', prefix: 64 }
      ]
    },
    {
      name: 'eth0:1',
      'hardware-address': '52:54:00:7a:11:33',
      'ip-addresses': [{ 'ip-address-type': 'ipv4', 'ip-address': '10.0.0.3', prefix: 24 }]
    },
    { name: 'eth1', 'hardware-address': '52:54:00:7a:11:34' }
  ],
  'guest-get-load': { load1m: 0.25, load5m: 1, load15m: 12.5 },
  'guest-get-time': 1700000000123456789n,
  'guest-set-time': {},
  'guest-get-vcpus': [
    { 'logical-id': 0, online: true, 'can-offline': false },
    { 'logical-id': 1, online: true, 'can-offline': true },
    { 'logical-id': 2, online: false, 'can-offline': true }
  ],
  'guest-set-vcpus': 1,
  'guest-set-user-password': {},
  'guest-ssh-get-authorized-keys': { keys: ['ssh-ed25519 A a', 'ssh-ed25519 B b'] },
  'guest-ssh-add-authorized-keys': {},
  'guest-ssh-remove-authorized-keys': {},
  'guest-suspend-ram': {},
  'guest-suspend-disk': {},
  'guest-suspend-hybrid': {}
}

function answerOf(value: unknown): unknown {
  if (value === 'silence') return silent
  const error = (value as { error?: object } | null)?.error
  return error ? ({ peer }: Order) => peer.send({ error }) : value
}

const dir = mkdtempSync(join(tmpdir(), 'virshim-relay-'))
chmodSync(dir, 0o755)
const { kernel, initrd } = makeRelay(dir)
const agents = new Map<string, AgentPeer>()
t.teardown(() => {
  for (const agent of agents.values()) agent.close()
  rmSync(dir, { recursive: true, force: true })
})

function say(lane: Lane, text: string): void {
  const said = text === 'reset' ? ANSWERS : (parseJson(text) as Answers)
  const { answers } = agents.get(lane.dir)!
  for (const [command, value] of Object.entries(said)) answers[command] = answerOf(value)
}

const RELAY = `<channel type='unix'><source mode='connect' path='$D/agent.sock'/>
  <target type='virtio' name='${RELAY_PORT}'/></channel>`
const DISK = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$D/disk.qcow2'/>
  <target dev='vda' bus='virtio'/><address type='pci' slot='0x10'/></disk>`
const xml = guest({ disk: DISK, devices: RELAY })
  .replace("<boot dev='hd'/>", `<kernel>${kernel}</kernel><initrd>${initrd}</initrd><cmdline>quiet panic=-1</cmdline>`)
  .replace("<memory unit='MiB'>64<", "<memory unit='MiB'>160<")

await scenario({
  group: 'agent',
  files: { 'g.xml': xml, keys: 'ssh-ed25519 A a\nssh-ed25519 B b\n' },
  shim: 'g.xml',
  async prepare(lane) {
    const agent = new AgentPeer()
    agents.set(lane.dir, agent)
    say(lane, 'reset')
    const path = join(lane.dir, 'agent.sock')
    await agent.listen(path)
    // libvirtd's QEMU is another user
    chmodSync(path, 0o777)
  },
  say
})
