// What calls on the inside of a guest ask of its agent and make of its answers: those an agent means, and those it does not.
import t from 'tap'
import { freezeFilesystems, thawFilesystems } from '../../../../src/drivers/qemu/agent/filesystems.ts'
import { vcpusForCount } from '../../../../src/drivers/qemu/agent/vcpus.ts'
import { failureOf, type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Order, refuses } from '../../../helper/stand-in-qemu.ts'

const CHANNEL = `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
const AGENT: GuestParts = { devices: CHANNEL }
const internal = (why: string) => `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: ${why}`

const NOWHERE = { domain: -1, bus: -1, slot: -1, function: -1 }
const disk = (pci: object = NOWHERE, place: object = {}, more: object = {}) => ({
  'bus-type': 'unknown',
  bus: 0,
  target: 0,
  unit: 0,
  ...place,
  'pci-controller': pci,
  ...more
})
const pci = (slot: number, fn = 0) => ({ domain: 0, bus: 0, slot, function: fn })

const DISKS: GuestParts = {
  files: { 'a.img': 'x'.repeat(4096), 'b.img': 'x'.repeat(4096), 'c.img': 'x'.repeat(4096) },
  devices: `${CHANNEL}
    <controller type='scsi' index='0' model='virtio-scsi'><address type='pci' slot='0x7'/></controller>
    <disk type='file' device='disk'><source file='@/a.img'/><target dev='vda' bus='virtio'/>
      <address type='pci' slot='0x8'/></disk>
    <disk type='file' device='disk'><source file='@/b.img'/><target dev='sda' bus='scsi'/>
      <address type='drive' controller='0' bus='0' target='0' unit='3'/></disk>
    <disk type='file' device='disk'><source file='@/c.img'/><target dev='hda' bus='ide'/></disk>`
}

t.test('file systems in the order they were mounted, on the disks of the definition', async t => {
  const guest = await StandInGuest.running(t, DISKS)
  const vda = disk(pci(8), {}, { serial: 'S1', dev: '/dev/vda1' })
  const sda = disk(pci(7), { unit: 3 })
  const hda = disk(pci(1, 1), { bus: 0, unit: 0 })
  guest.qemu.agent.answers['guest-get-fsinfo'] = [
    {
      mountpoint: '/x',
      name: 'dm-0',
      type: 'xfs',
      'total-bytes': 2n ** 64n - 1n,
      'used-bytes': 5,
      disk: [sda, vda, hda]
    },
    { mountpoint: '/', name: 'none', type: 'tmpfs', disk: [disk(), disk(pci(7)), disk(pci(9))] }
  ]
  t.same(await guest.call('virDomainGetFSInfo'), {
    info: [
      { mountpoint: '/', name: 'none', fstype: 'tmpfs', devAliases: [] },
      { mountpoint: '/x', name: 'dm-0', fstype: 'xfs', devAliases: ['sda', 'vda', 'hda'] }
    ]
  })
  const { params } = await guest.call('virDomainGetGuestInfo', { types: 16 })
  t.same(Object.entries(params), [
    ['fs.count', 2],
    ['fs.0.name', 'none'],
    ['fs.0.mountpoint', '/'],
    ['fs.0.fstype', 'tmpfs'],
    ['fs.0.disk.count', 3],
    ['fs.1.name', 'dm-0'],
    ['fs.1.mountpoint', '/x'],
    ['fs.1.fstype', 'xfs'],
    ['fs.1.total-bytes', 2n ** 64n - 1n],
    ['fs.1.used-bytes', 5n],
    ['fs.1.disk.count', 3],
    ['fs.1.disk.0.alias', 'sda'],
    ['fs.1.disk.1.alias', 'vda'],
    ['fs.1.disk.1.serial', 'S1'],
    ['fs.1.disk.1.device', '/dev/vda1'],
    ['fs.1.disk.2.alias', 'hda']
  ])
  guest.qemu.agent.answers['guest-get-disks'] = [
    {
      name: '/dev/vda1',
      partition: true,
      dependencies: ['/dev/vda'],
      alias: 'part',
      address: { ...vda, 'bus-type': 'virtio' }
    },
    { name: '/dev/loop0', partition: false, dependencies: [], address: null }
  ]
  t.same(Object.entries((await guest.call('virDomainGetGuestInfo', { types: 32 })).params), [
    ['disk.count', 2],
    ['disk.0.name', '/dev/vda1'],
    ['disk.0.partition', true],
    ['disk.0.dependency.count', 1],
    ['disk.0.dependency.0.name', '/dev/vda'],
    ['disk.0.serial', 'S1'],
    ['disk.0.alias', 'vda'],
    ['disk.0.guest_bus', 'virtio'],
    ['disk.0.guest_alias', 'part'],
    ['disk.1.name', '/dev/loop0'],
    ['disk.1.partition', false]
  ])
})

t.test('file systems and disks of another form', async t => {
  const guest = await StandInGuest.running(t, AGENT)
  const fs = { mountpoint: '/', name: 'a', type: 'b', disk: [] }
  const { mountpoint: _m, ...noMountpoint } = fs
  for (const [answer, why] of [
    [[noMountpoint], "'mountpoint' missing in reply of guest-get-fsinfo"],
    [[{ ...fs, name: 7 }], "'name' missing in reply of guest-get-fsinfo"],
    [[{ ...fs, type: null }], "'type' missing in reply of guest-get-fsinfo"],
    [[{ ...fs, 'used-bytes': 'x' }], "Error getting 'used-bytes' in reply of guest-get-fsinfo"],
    [[{ ...fs, 'total-bytes': null }], "Error getting 'total-bytes' in reply of guest-get-fsinfo"],
    [[{ ...fs, 'total-bytes': 2n ** 64n }], "Error getting 'total-bytes' in reply of guest-get-fsinfo"],
    [[{ ...fs, disk: {} }], "'disk' missing or not an array in reply of guest-get-fsinfo"],
    [[{ ...fs, disk: [7] }], "'bus' missing"],
    [[{ ...fs, disk: [disk(NOWHERE, { target: 'x' })] }], "'target' missing"],
    [[{ ...fs, disk: [disk(NOWHERE, { unit: 2 ** 32 })] }], "'unit' missing"],
    [[{ ...fs, disk: [{ bus: 0, target: 0, unit: 0 }] }], "'pci-controller' missing"],
    [[{ ...fs, disk: [disk({ bus: 1 })] }], "'domain' missing"],
    [[{ ...fs, disk: [disk(pci(1), {}, { 'ccw-address': { cssid: 0 } })] }], "'ssid' missing"],
    [[null], "'mountpoint' missing in reply of guest-get-fsinfo"]
  ] as const) {
    guest.qemu.agent.answers['guest-get-fsinfo'] = answer
    t.equal(await guest.failureOf('virDomainGetFSInfo'), internal(why))
    t.equal(await guest.failureOf('virDomainGetGuestInfo', { types: 16 }), internal(why))
  }
  for (const [answer, why] of [
    [[{}], "'name' missing in reply of guest-get-disks"],
    [[{ name: 'a', partition: 1 }], "'partition' missing in reply of guest-get-disks"],
    [[{ name: 'a', partition: true, dependencies: [7] }], 'JSON string array contains non-string element'],
    [[{ name: 'a', partition: true, address: {} }], "'bus' missing"]
  ] as const) {
    guest.qemu.agent.answers['guest-get-disks'] = answer
    t.equal(await guest.failureOf('virDomainGetGuestInfo', { types: 32 }), internal(why))
  }
  for (const [answer, why] of [
    [[{}], "'user' missing in reply of guest-get-users"],
    [[{ user: 'u', 'login-time': 'x' }], "'login-time' missing in reply of guest-get-users"]
  ] as const) {
    guest.qemu.agent.answers['guest-get-users'] = answer
    t.equal(await guest.failureOf('virDomainGetGuestInfo', { types: 1 }), internal(why))
  }
})

t.test('facts of all kinds, in their order, as far as the agent knows them', async t => {
  const guest = await StandInGuest.running(t, AGENT)
  const { agent } = guest.qemu
  const known = {
    'guest-get-users': [{ user: 'u', domain: 'D', 'login-time': 0 }],
    'guest-get-timezone': { offset: 0 },
    'guest-get-load': { load1m: 1.5, load5m: 0, load15m: 0 },
    'guest-network-get-interfaces': [
      {
        name: 'eth0',
        'hardware-address': '52:54:00:00:00:01',
        'ip-addresses': [
          { 'ip-address-type': 'ipv4', 'ip-address': '10.0.0.2', prefix: 24 },
          { 'ip-address-type': 'ipv6', 'ip-address': 'fe80::1', prefix: 64 }
        ]
      }
    ]
  }
  Object.assign(agent.answers, known, { 'guest-get-disks': refuses('x', 'CommandDisabled') })
  t.same(Object.entries((await guest.call('virDomainGetGuestInfo')).params), [
    ['user.count', 1],
    ['user.0.name', 'u'],
    ['user.0.domain', 'D'],
    ['user.0.login-time', 0n],
    ['timezone.offset', 0],
    ['if.count', 1],
    ['if.0.name', 'eth0'],
    ['if.0.hwaddr', '52:54:00:00:00:01'],
    ['if.0.addr.count', 2],
    ['if.0.addr.0.type', 'ipv4'],
    ['if.0.addr.0.addr', '10.0.0.2'],
    ['if.0.addr.0.prefix', 24],
    ['if.0.addr.1.type', 'ipv6'],
    ['if.0.addr.1.addr', 'fe80::1'],
    ['if.0.addr.1.prefix', 64],
    ['load.1m', 1.5],
    ['load.5m', 0],
    ['load.15m', 0]
  ])
  const failed = (command: string, why: string) =>
    `VIR_ERR_AGENT_COMMAND_FAILED VIR_FROM_QEMU: guest agent command failed: unable to execute QEMU agent command '${command}': ${why}`
  t.equal(await guest.failureOf('virDomainGetGuestInfo', { types: 33 }), failed('guest-get-disks', 'x'))
  agent.answers['guest-get-osinfo'] = refuses('no')
  t.equal(
    await guest.failureOf('virDomainGetGuestInfo'),
    failed('guest-get-osinfo', 'no'),
    'a failure is one at any time'
  )
  t.equal(
    await guest.failureOf('virDomainGetGuestInfo', { types: 0x300 }),
    "VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: unsupported guest information types '0x300'"
  )
})

t.test('what is told to the agent', async t => {
  const guest = await StandInGuest.running(t, AGENT)
  const { agent } = guest.qemu
  for (const [api, args, command, told] of [
    ['virDomainFSFreeze', {}, 'guest-fsfreeze-freeze', {}],
    ['virDomainFSFreeze', { mountpoints: ['/'] }, 'guest-fsfreeze-freeze-list', { mountpoints: ['/'] }],
    ['virDomainFSTrim', {}, 'guest-fstrim', { minimum: 0 }],
    ['virDomainFSTrim', { minimum: 2n ** 64n - 1n }, 'guest-fstrim', { minimum: 2n ** 64n - 1n }],
    [
      'virDomainSetUserPassword',
      { user: 'u', password: 'ä', flags: ['VIR_DOMAIN_PASSWORD_ENCRYPTED'] },
      'guest-set-user-password',
      { crypted: true, username: 'u', password: 'w6Q=' }
    ],
    [
      'virDomainAuthorizedSSHKeysSet',
      { user: 'u' },
      'guest-ssh-add-authorized-keys',
      { username: 'u', keys: [], reset: true }
    ],
    [
      'virDomainAuthorizedSSHKeysSet',
      { user: 'u', keys: ['k'], flags: 1 },
      'guest-ssh-add-authorized-keys',
      { username: 'u', keys: ['k'], reset: false }
    ],
    [
      'virDomainAuthorizedSSHKeysSet',
      { user: 'u', keys: ['k'], flags: 2 },
      'guest-ssh-remove-authorized-keys',
      { username: 'u', keys: ['k'] }
    ]
  ] as const) {
    agent.answers[command] = 1
    t.equal(await guest.failureOf(api, args), '', api)
    t.same((await agent.told(command)).args, told)
  }
})

t.test('arguments that are refused before anybody is asked', async t => {
  const guest = await StandInGuest.make(t, AGENT)
  for (const [api, args, error] of [
    [
      'virDomainFSThaw',
      { mountpoints: ['/'] },
      'VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_QEMU: argument unsupported: specifying mountpoints is not supported'
    ],
    [
      'virDomainFSTrim',
      { mountPoint: '/' },
      'VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_QEMU: argument unsupported: Specifying mount point is not supported for now'
    ],
    ['virDomainSetGuestVcpus', { cpumap: '0', state: 2 }, 'VIR_ERR_INVALID_ARG VIR_FROM_QEMU: unsupported state value'],
    [
      'virDomainSetGuestVcpus',
      { cpumap: '4096', state: 1 },
      "VIR_ERR_INVALID_ARG VIR_FROM_NONE: invalid argument: Failed to parse bitmap '4096'"
    ],
    [
      'virDomainAuthorizedSSHKeysSet',
      { user: 'u', flags: 1 },
      'VIR_ERR_INVALID_ARG VIR_FROM_DOMAIN: keys in virDomainAuthorizedSSHKeysSet must not be NULL'
    ],
    [
      'virDomainAuthorizedSSHKeysSet',
      { user: 'u', keys: ['k'], flags: 3 },
      "VIR_ERR_INVALID_ARG VIR_FROM_DOMAIN: Flags 'VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND' and 'VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE' are mutually exclusive"
    ],
    [
      'virDomainAgentSetResponseTimeout',
      { timeout: -3 },
      "VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: guest agent timeout '-3' is less than the minimum '-2'"
    ]
  ] as const)
    t.equal(await guest.failureOf(api, args), error)
})

const CPUS = [
  { 'logical-id': 0, online: true, 'can-offline': false },
  { 'logical-id': 1, online: true, 'can-offline': true },
  { 'logical-id': 2, online: false, 'can-offline': true },
  { 'logical-id': 3, online: true }
]

t.test("the guest's CPUs", async t => {
  const guest = await StandInGuest.running(t, AGENT)
  const { agent } = guest.qemu
  agent.answers['guest-get-vcpus'] = CPUS
  const set = (cpumap: string, state: number) => guest.failureOf('virDomainSetGuestVcpus', { cpumap, state })
  const told: unknown[] = []
  agent.answers['guest-set-vcpus'] = (order: Order) => {
    told.push(order.args.vcpus)
    order.reply(1)
  }
  t.equal(await set('1-2', 0), '', 'one at a time, if the agent will have it so')
  const one = (id: number, online: boolean) => ({ 'logical-id': id, online })
  t.same(told, [[one(1, false), one(2, false)], [one(2, false)]])
  told.length = 0
  t.equal(await set('0-3,^1', 1), '')
  t.same(told[0], [one(0, true), one(2, true), one(3, true)])
  told.length = 0
  t.equal(
    await set('1,3', 0),
    "VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_QEMU: Operation not supported: vCPU '3' is not offlinable"
  )
  t.equal(await set('1,7-9', 1), "VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: guest is missing vCPUs '7-9'")
  t.same(told, [], 'nothing is done by halves')
  for (const answer of [0, -1, 2, 'x', null]) {
    agent.answers['guest-set-vcpus'] = answer
    t.equal(await set('1', 0), internal('guest agent returned malformed or invalid return value'))
  }
  for (const [answer, why] of [
    [{}, 'guest-get-vcpus reply was missing return data'],
    [[{ online: true }], "'logical-id' missing in reply of guest-get-vcpus"],
    [[{ 'logical-id': 0, online: 1 }], "'online' missing in reply of guest-get-vcpus"]
  ] as const) {
    agent.answers['guest-get-vcpus'] = answer
    t.equal(await set('0', 1), internal(why))
    t.equal(await guest.failureOf('virDomainGetGuestVcpus'), internal(why))
    t.equal(await guest.failureOf('virDomainGetVcpusFlags', { flags: 8 }), internal(why))
  }
})

t.test('which CPUs change for a count of them', async t => {
  const cpu = (id: number, online: boolean, offlinable = true) => ({ id, online, offlinable })
  const all = [cpu(0, true), cpu(1, true), cpu(2, false), cpu(3, false)]
  const changes = (vcpus: typeof all, count: number) =>
    vcpusForCount(vcpus, count).map(({ id, online }) => [id, online])
  t.same(changes(all, 2), [])
  t.same(changes(all, 3), [[2, true]])
  t.same(changes(all, 4), [
    [2, true],
    [3, true]
  ])
  t.same(changes(all, 1), [[1, false]], 'the first one stays')
  t.same(changes([cpu(0, true), cpu(1, true, false)], 1), [[0, false]], 'unless another has to')
  t.equal(
    await failureOf(() => changes(all, 0)),
    'VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: Cannot offline enough CPUs'
  )
  t.equal(await failureOf(() => changes(all, 5)), internal('guest agent reports less cpu than requested'))
  t.equal(await failureOf(() => changes([cpu(0, false, false)], 1)), internal('Invalid data provided by guest agent'))
})

t.test('file systems that others freeze and thaw', async t => {
  const guest = await StandInGuest.running(t, AGENT)
  Object.assign(guest.qemu.agent.answers, { 'guest-fsfreeze-freeze': 2, 'guest-fsfreeze-thaw': 2 })
  t.equal(await freezeFilesystems(guest.domain), 2)
  t.equal(await thawFilesystems(guest.domain), 2)
  const without = await StandInGuest.running(t)
  t.match(await failureOf(() => thawFilesystems(without.domain)), /QEMU guest agent is not configured$/)
})

t.test('the response timeout outlives the run and its shim', async t => {
  const guest = await StandInGuest.make(t, AGENT)
  await guest.call('virDomainAgentSetResponseTimeout', { timeout: 9 })
  t.equal(await guest.status(), undefined, 'of a guest that is shut off nothing is saved')
  await guest.start()
  t.equal((await guest.status())?.agentTimeout, 9)
  guest.leave()
  await guest.takeOver()
  t.equal(guest.domain.agentTimeout, 9)
  await guest.call('virDomainAgentSetResponseTimeout', { timeout: -2 })
  t.notOk('agentTimeout' in (await guest.status())!, 'as it is without')
})
