// Events of devices, as a running guest's definition, its listeners and its status have them.
import t from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { refuses, silent } from '../../../helper/stand-in-qemu.ts'

const HEARD = ['RTC_CHANGE', { offset: 0 }] as const

/** Says these to QEMU's listener, and gives what is told of them. */
async function hear(guest: StandInGuest, ...said: [event: string, data?: object][]): Promise<[string, object][]> {
  guest.forget()
  for (const [event, data] of [...said, HEARD]) guest.qemu.peer.event(event, data)
  await guest.untilTold('RTC_CHANGE')
  return guest.told.slice(0, -1)
}

const xmlOf = async (guest: StandInGuest): Promise<string> => (await guest.call('virDomainGetXMLDesc')).xml

t.test('a device that is gone is in neither definition nor status', async t => {
  const guest = await StandInGuest.running(t, {
    persistent: true,
    devices: "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
  })
  t.match(await xmlOf(guest), /<rng/)
  t.same(await hear(guest, ['DEVICE_DELETED', { device: 'nosuch', path: '/machine/peripheral/nosuch' }]), [])
  t.same(await hear(guest, ['DEVICE_DELETED', { path: '/machine/peripheral/rng0/virtio-backend' }]), [])
  t.match(await xmlOf(guest), /<rng/, 'a part of it is not it')
  guest.forget()
  guest.qemu.peer.event('DEVICE_DELETED', { device: 'rng0', path: '/machine/peripheral/rng0' })
  await guest.untilTold('DEVICE_REMOVED')
  t.same(guest.told, [['DEVICE_REMOVED', { devAlias: 'rng0' }]])
  t.match(guest.qemu.peer.orders, [{ command: 'object-del', args: { id: 'objrng0' } }], 'with what was made for it')
  t.notMatch(await xmlOf(guest), /<rng/)
  t.notMatch((await guest.status())?.xml, /<rng/)
  t.match((await guest.call('virDomainGetXMLDesc', { flags: 2 })).xml, /<rng/, 'the next start has it')
  t.same(await hear(guest, ['DEVICE_DELETED', { device: 'rng0', path: '/machine/peripheral/rng0' }]), [], 'once')
})

t.test('a device QEMU keeps a part of is gone all the same', async t => {
  const devices = "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
  const guest = await StandInGuest.running(t, { devices, answers: { 'object-del': refuses('in use') } })
  guest.qemu.peer.event('DEVICE_DELETED', { device: 'rng0', path: '/machine/peripheral/rng0' })
  await guest.untilTold('DEVICE_REMOVED')
  t.notMatch(await xmlOf(guest), /<rng/)
  t.match(guest.logged, [{ level: 'warn', message: 'a device has left something', device: 'rng0', reason: /in use$/ }])
  t.equal(await guest.failureOf('virDomainInjectNMI'), '', 'no job is left')
})

t.test('trays', async t => {
  const guest = await StandInGuest.running(t, {
    devices: `<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>`
  })
  const moved = (open: unknown, device = 'ide0-1-0'): [string, object] => [
    'DEVICE_TRAY_MOVED',
    { device: '', id: device, 'tray-open': open }
  ]
  t.same(await hear(guest, moved(true)), [['TRAY_CHANGE', { devAlias: 'ide0-1-0', reason: 0 }]])
  t.match(await xmlOf(guest), /tray='open'/)
  t.match((await guest.status())?.xml, /tray='open'/)
  t.same(await hear(guest, moved(false)), [['TRAY_CHANGE', { devAlias: 'ide0-1-0', reason: 1 }]])
  t.notMatch(await xmlOf(guest), /tray='open'/)
  t.same(await hear(guest, moved(true, 'ide0-0-0')), [], 'of a drive there is not')
  t.same(await hear(guest, moved('wide')), [])
  t.match(guest.logged, [{ level: 'error', message: 'QMP event handler failed' }])
})

t.test('a guest that moves its tray without end: listeners hear it all, and the last is saved', async t => {
  const guest = await StandInGuest.running(t, {
    devices: `<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>`
  })
  const { domain } = guest
  const save = domain.save.bind(domain)
  let saves = 0
  domain.save = () => {
    saves++
    save()
  }
  const MOVES = 501
  for (let i = 0; i < MOVES; i++)
    guest.qemu.peer.event('DEVICE_TRAY_MOVED', { device: '', id: 'ide0-1-0', 'tray-open': i % 2 === 0 })
  while (guest.told.length < MOVES) await new Promise(resolve => setImmediate(resolve))
  while (!/tray='open'/.test((await guest.status())!.xml)) await new Promise(resolve => setImmediate(resolve))
  t.ok(saves < MOVES / 2, `${saves} times`)
})

t.test('ports of channels, and the agent’s among them', async t => {
  const guest = await StandInGuest.running(t, {
    devices: `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
      <channel type='unix'><target type='virtio' name='mine'/></channel>`
  })
  const changed = (id: string, open: unknown): [string, object] => ['VSERPORT_CHANGE', { id, open }]
  guest.qemu.agent.answers['guest-get-host-name'] = { 'host-name': 'h' }
  const told = (channelName: string, state: number) => ['CHANNEL_LIFECYCLE', { channelName, state, reason: 2 }]
  const toldOfAgent = (state: number) => [
    told('org.qemu.guest_agent.0', state),
    ['AGENT_LIFECYCLE', { state, reason: 2 }]
  ]
  t.same(await hear(guest, changed('channel0', false)), toldOfAgent(2))
  t.match(await xmlOf(guest), /guest_agent.0' state='disconnected'/)
  t.match((await guest.status())?.xml, /guest_agent.0' state='disconnected'/)
  t.match(await guest.failureOf('virDomainGetHostname', { flags: 2 }), /^VIR_ERR_AGENT_UNRESPONSIVE /)
  t.same(await hear(guest, changed('channel0', true)), toldOfAgent(1))
  t.same(await guest.call('virDomainGetHostname', { flags: 2 }), { hostname: 'h' })
  t.same(await hear(guest, changed('channel1', false)), [told('mine', 2)])
  t.match(await xmlOf(guest), /name='mine' state='disconnected'/)
  t.same(await hear(guest, changed('channel7', false)), [])
  t.same(await hear(guest, changed('channel0', 1)), [])
})

t.test('an agent that goes away ends the calls that wait for it', async t => {
  const guest = await StandInGuest.running(t, {
    devices: `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
  })
  guest.qemu.agent.answers['guest-get-time'] = silent
  const waiting = guest.failureOf('virDomainGetTime')
  await guest.qemu.agent.told('guest-get-time')
  await hear(guest, ['VSERPORT_CHANGE', { id: 'channel0', open: false }])
  t.match(await waiting, /^VIR_ERR_AGENT_COMMAND_TIMEOUT .* Guest agent disappeared while executing command$/)
})

t.test('clocks', async t => {
  for (const [clock, told, adjustment] of [
    ["<clock offset='utc'/>", 7n, undefined],
    ["<clock offset='variable' adjustment='3600' basis='utc'/>", 3607n, '3607']
  ] as const) {
    const guest = await StandInGuest.running(t, { outside: clock })
    guest.qemu.peer.event('RTC_CHANGE', { offset: 7, 'qom-path': '/machine/rtc' })
    await guest.untilTold('RTC_CHANGE')
    t.same(guest.told, [['RTC_CHANGE', { utcoffset: told }]])
    if (adjustment) t.match((await guest.status())?.xml, new RegExp(`adjustment='${adjustment}'`))
  }
})

t.test('images that have filled so far', async t => {
  const guest = await StandInGuest.running(t, {
    files: { 'disk.img': '' },
    devices: `<disk type='file' device='disk'><source file='@/disk.img'/><target dev='vda' bus='virtio'/></disk>`
  })
  const filled = (node: unknown, threshold: unknown = 2n ** 63n): [string, object] => [
    'BLOCK_WRITE_THRESHOLD',
    { 'node-name': node, 'amount-exceeded': 512, 'write-threshold': threshold }
  ]
  const fields = { path: `${guest.dir}/disk.img`, threshold: 2n ** 63n, excess: 512n }
  for (const node of ['libvirt-1-format', 'libvirt-1-storage']) {
    t.same(await hear(guest, filled(node)), [
      ['BLOCK_THRESHOLD', { dev: 'vda', ...fields }],
      ['BLOCK_THRESHOLD', { dev: 'vda[1]', ...fields }]
    ])
  }
  for (const said of [filled('libvirt-9-format'), filled(7), filled('libvirt-1-format', 'much')])
    t.same(
      await hear(guest, said),
      [],
      JSON.stringify(said, (_, v) => (typeof v === 'bigint' ? `${v}` : v))
    )
})

t.test('the address the guest has given its card', async t => {
  const devices = "<interface type='user' trustGuestRxFilters='yes'><mac address='52:54:00:00:00:01'/></interface>"
  const guest = await StandInGuest.running(t, { devices })
  const changed = async (address: string) => {
    guest.qemu.answers['query-rx-filter'] = [{ 'main-mac': address }]
    guest.qemu.peer.event('NIC_RX_FILTER_CHANGED', { name: 'net0' })
    await guest.qemu.peer.told('query-rx-filter')
    await guest.failureOf('virDomainInjectNMI')
    const { told } = guest
    guest.forget()
    return told
  }
  const told = (oldMAC: string, newMAC: string) => [['NIC_MAC_CHANGE', { alias: 'net0', oldMAC, newMAC }]]
  const [first, second] = ['52:54:00:00:00:01', '52:54:00:00:00:02']
  t.same(await changed(second), told(first, second))
  const both = "<mac address='52:54:00:00:00:01' currentAddress='52:54:00:00:00:02'/>"
  t.match(await xmlOf(guest), both)
  t.match((await guest.status())?.xml, both)
  t.notMatch((await guest.call('virDomainGetXMLDesc', { flags: 2 })).xml, 'currentAddress')
  t.same(await changed(second), [], 'once')
  t.same(await changed(first), told(second, first))
  t.notMatch(await xmlOf(guest), 'currentAddress')
})

t.test('the filter of a card', async t => {
  const card = (trust: string) => `<interface type='user'${trust}/>`
  const changed: [string, object] = ['NIC_RX_FILTER_CHANGED', { name: 'net0', path: '/machine/peripheral/net0' }]
  const distrusted = await StandInGuest.running(t, { devices: card('') })
  await hear(distrusted, changed)
  t.same(distrusted.qemu.peer.commands, [], 'QEMU is not asked, and so does not tell again')
  const trusted = await StandInGuest.running(t, { devices: card(" trustGuestRxFilters='yes'") })
  trusted.qemu.peer.event(...changed)
  t.same((await trusted.qemu.peer.told('query-rx-filter')).args, { name: 'net0' })
  trusted.qemu.answers['query-rx-filter'] = refuses('no')
  trusted.qemu.peer.event(...changed)
  await trusted.untilLogged('QMP event handler failed')
  t.equal(await trusted.failureOf('virDomainInjectNMI'), '', 'no job is left')
  trusted.forget()
  trusted.qemu.answers['inject-nmi'] = silent
  const busy = trusted.failureOf('virDomainInjectNMI')
  const order = await trusted.qemu.peer.told('inject-nmi')
  trusted.forget()
  await hear(trusted, changed)
  t.same(trusted.qemu.peer.commands, [], 'it waits for the job there is')
  order.reply()
  t.equal(await busy, '')
  await trusted.qemu.peer.told('query-rx-filter')
})
