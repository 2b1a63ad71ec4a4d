// What a host lacks is asked for before QEMU, and told as libvirtd 9.0 was seen to tell it: code, words, the thing at fault.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import t from 'tap'
import { leftovers } from '../../../helper/refusal.ts'
import { bareGuest, Shim } from '../../../helper/shim.ts'

const NAME = 't-lacks'
const SYSTEM_ERROR = 38
const UNSUPPORTED = 67
const DUMMY = `vsd${process.pid}`

t.setTimeout(180_000)

const isRoot = process.getuid?.() === 0 && existsSync('/dev/net/tun')
const hasDummy = isRoot && spawnSync('ip', ['link', 'add', DUMMY, 'type', 'dummy']).status === 0
t.teardown(() => spawnSync('ip', ['link', 'delete', DUMMY]))

const gone = 'No such file or directory'
const video = "<video><model type='virtio'/></video>"
const mac = "<mac address='52:54:00:00:00:01'/>"

/** Devices of a guest, with the code and the words that they are refused with. */
const CASES: [devices: string, code: number, message: string | RegExp, skip?: boolean][] = [
  [
    `<rng model='virtio'><backend model='random'>/dev/nowhere</backend></rng>`,
    SYSTEM_ERROR,
    `Path '/dev/nowhere' is not accessible: ${gone}`
  ],
  [
    "<input type='evdev'><source dev='/dev/input/nowhere'/></input>",
    SYSTEM_ERROR,
    `Path '/dev/input/nowhere' is not accessible: ${gone}`
  ],
  [
    "<input type='passthrough' bus='virtio'><source evdev='/dev/input/nowhere'/></input>",
    SYSTEM_ERROR,
    `Path '/dev/input/nowhere' is not accessible: ${gone}`
  ],
  [
    "<serial type='dev'><source path='/dev/ttyNOWHERE'/></serial>",
    SYSTEM_ERROR,
    `Path '/dev/ttyNOWHERE' is not accessible: ${gone}`
  ],
  ["<serial type='pipe'><source path='/nowhere/p'/></serial>", SYSTEM_ERROR, `unable to stat: /nowhere/p: ${gone}`],
  [
    "<serial type='file'><source path='/nowhere/f'/></serial>",
    SYSTEM_ERROR,
    `Unable to open file: /nowhere/f: ${gone}`
  ],
  [
    "<serial type='unix'><source mode='bind' path='/nowhere/s'/></serial>",
    SYSTEM_ERROR,
    `Unable to bind to UNIX socket path '/nowhere/s': ${gone}`
  ],
  [
    "<serial type='unix'><source mode='connect' path='/nowhere/s'/></serial>",
    SYSTEM_ERROR,
    `unable to stat: /nowhere/s: ${gone}`
  ],
  [
    `<graphics type='egl-headless'><gl rendernode='/dev/dri/nowhere'/></graphics>${video}`,
    SYSTEM_ERROR,
    `Path '/dev/dri/nowhere' is not accessible: ${gone}`
  ],
  [
    "<interface type='vdpa'><source dev='/dev/vhost-vdpa-nowhere'/></interface>",
    SYSTEM_ERROR,
    `Unable to open '/dev/vhost-vdpa-nowhere' for vdpa device: ${gone}`
  ],
  [
    "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>",
    UNSUPPORTED,
    'unsupported configuration: Mediated host device assignment requires VFIO support',
    existsSync('/dev/vfio/vfio')
  ],
  [
    `<interface type='bridge'>${mac}<source bridge='nowhere0'/></interface>`,
    SYSTEM_ERROR,
    "Cannot get interface MTU on 'nowhere0': No such device",
    !isRoot
  ],
  [
    `<interface type='bridge'>${mac}<source bridge='${DUMMY}'/></interface>`,
    SYSTEM_ERROR,
    new RegExp(`^Unable to add bridge ${DUMMY} port vnet\\d+: Operation not supported$`),
    !hasDummy
  ],
  [
    `<interface type='bridge'>${mac}<source bridge='a-bridge-of-a-long-name'/></interface>`,
    SYSTEM_ERROR,
    "Network interface name 'a-bridge-of-a-long-name' is too long: Numerical result out of range",
    !isRoot
  ],
  [
    `<interface type='direct'>${mac}<source dev='nowhere0' mode='bridge'/></interface>`,
    SYSTEM_ERROR,
    'Unable to get index for interface nowhere0: No such device',
    !isRoot
  ],
  [
    `<interface type='direct'>${mac}<source dev='lo' mode='bridge'/></interface>`,
    SYSTEM_ERROR,
    /^error creating macvtap interface \w+@lo \(52:54:00:00:00:01\): Invalid argument$/,
    !isRoot
  ],
  [
    `<interface type='ethernet'>${mac}<target dev='a-tap-of-a-long-name'/></interface>`,
    SYSTEM_ERROR,
    "Network interface name 'a-tap-of-a-long-name' is too long: Numerical result out of range",
    !isRoot
  ],
  [
    `<interface type='ethernet'>${mac}<target dev='lo' managed='no'/></interface>`,
    SYSTEM_ERROR,
    'Unable to create tap device lo: Invalid argument',
    !isRoot
  ]
]

for (const [devices, code, message, skip] of CASES) {
  t.test(String(message), { skip: skip && 'this host cannot show it' }, async t => {
    const shim = new Shim(bareGuest(NAME, devices))
    t.teardown(() => shim.end())
    const args = ['--root', shim.root, '--aggregator', 'none', '--detach', '--json', shim.xmlFile]
    const { stdout } = spawnSync('bin/virshimd', args, { encoding: 'utf8' })
    const { error } = JSON.parse(stdout.trim().split('\n').at(-1) || '{}')
    t.equal(error?.code, code)
    t.match(error?.message, message)
    t.same(leftovers(shim.root, NAME), [], 'nothing is left')
  })
}
