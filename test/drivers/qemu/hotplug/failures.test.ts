// Attachments and changes that fail half-way: each step of QEMU's refused in turn, afterwards all is what it was, and the
// same attachment succeeds.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import t from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Answers, type Order, refuses } from '../../../helper/stand-in-qemu.ts'

t.setTimeout(240_000)

const NET = '/sys/class/net'
const canMakeTaps = process.getuid?.() === 0 && existsSync('/dev/net/tun') && spawnSync('ip', ['-V']).status === 0
const noTaps = !canMakeTaps && 'making network devices needs root and ip(8)'
const LIVE = { flags: 1 }

/** What is to be plugged in, and what QEMU is told to take back after each command that may fail. */
interface Case {
  name: string
  xml: string
  /** its commands in their order, and what undoes each */
  steps: [command: string, undo?: string][]
  /** devices the guest has */
  devices?: string
  skip?: string | false
}

const nic = (type: string, more = '') =>
  `<interface type='${type}'><mac address='52:54:00:00:00:09'/><model type='virtio'/>${more}</interface>`
const VIRTIO_SERIAL = "<controller type='virtio-serial'/>"

const CASES: Case[] = [
  {
    name: 'a card',
    xml: nic('user', "<link state='down'/>"),
    steps: [['netdev_add', 'netdev_del'], ['device_add'], ['set_link']]
  },
  {
    name: 'a card with a tap device',
    xml: nic('ethernet', "<link state='down'/>"),
    steps: [['netdev_add', 'netdev_del'], ['device_add'], ['set_link']],
    skip: noTaps
  },
  {
    name: "the agent's channel",
    xml: "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
    steps: [['chardev-add', 'chardev-remove'], ['device_add'], ['query-chardev']],
    devices: VIRTIO_SERIAL
  },
  {
    name: 'a serial port',
    xml: "<serial type='pty'><target type='usb-serial'/></serial>",
    steps: [['chardev-add', 'chardev-remove'], ['device_add'], ['query-chardev']],
    devices: "<controller type='usb' model='qemu-xhci'/>"
  },
  {
    name: 'a forwarded port',
    xml: "<channel type='null'><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>",
    steps: [['chardev-add', 'chardev-remove'], ['netdev_add', 'netdev_del'], ['query-chardev']]
  },
  {
    name: 'a redirection',
    xml: "<redirdev bus='usb' type='null'/>",
    steps: [['chardev-add', 'chardev-remove'], ['device_add']],
    devices: "<controller type='usb' model='qemu-xhci'/>"
  },
  {
    name: 'shared memory',
    xml: "<shmem name='live'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>",
    steps: [['object-add', 'object-del'], ['device_add']]
  },
  {
    name: 'a watchdog',
    xml: "<watchdog model='i6300esb' action='poweroff'/>",
    steps: [['device_add'], ['watchdog-set-action']]
  }
]

/** QEMU lets go of a device at once. */
const LETS_GO: Answers = {
  device_del({ peer, args, ...order }: Order) {
    peer.send({ return: {}, id: order.id })
    peer.event('DEVICE_DELETED', { device: args.id, path: `/machine/peripheral/${args.id}` })
  },
  'watchdog-set-action': {}
}

/** Network devices that bear the guest's mark. */
const taps = ({ root }: StandInGuest) =>
  readdirSync(NET).filter(name => {
    const { stdout } = spawnSync('ip', ['-d', 'link', 'show', 'dev', name], { encoding: 'utf8' })
    return stdout.includes(root.dir)
  })

const xmlOf = async (guest: StandInGuest): Promise<string> =>
  (await guest.call('virDomainGetXMLDesc', { flags: 1 })).xml

for (const { name, xml, steps, devices = '', skip = false } of CASES) {
  t.test(name, { skip }, async t => {
    const guest = await StandInGuest.running(t, { devices, answers: LETS_GO })
    const { peer } = guest.qemu
    const before = await xmlOf(guest)
    const claimed = JSON.stringify((await guest.status())?.xml)
    for (const [at, [command]] of steps.entries()) {
      const usual = peer.answers[command]
      peer.answers[command] = refuses()
      guest.forget()
      t.match(
        await guest.failureOf('virDomainAttachDeviceFlags', { xml, ...LIVE }),
        /^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: .*the stand-in refuses/,
        command
      )
      const done = steps.slice(0, at).toReversed()
      const undone = done.flatMap(([step, undo = step === 'device_add' ? 'device_del' : undefined]) => undo ?? [])
      t.same(peer.commands, [...steps.slice(0, at + 1).map(([step]) => step), ...undone], `${command}: taken back`)
      t.equal(await xmlOf(guest), before, `${command}: the definition`)
      t.equal(JSON.stringify((await guest.status())?.xml), claimed, `${command}: the status`)
      t.same(taps(guest), [], `${command}: devices of the host`)
      t.same(guest.told, [], `${command}: nobody hears of it`)
      if (usual === undefined) delete peer.answers[command]
      else peer.answers[command] = usual
    }
    guest.forget()
    t.equal(await guest.failureOf('virDomainAttachDeviceFlags', { xml, ...LIVE }), '')
    t.same(
      peer.commands,
      steps.map(([step]) => step)
    )
    t.match(guest.told, [['DEVICE_ADDED']])
    t.not(await xmlOf(guest), before)
  })
}

t.test('a card that cannot be changed as a whole is changed back', { skip: noTaps }, async t => {
  const [one, two] = [`fa${process.pid}`, `fb${process.pid}`]
  for (const bridge of [one, two]) {
    execFileSync('ip', ['link', 'add', bridge, 'type', 'bridge'])
    t.teardown(() => execFileSync('ip', ['link', 'delete', bridge]))
  }
  const on = (bridge: string, more = '') => nic('bridge', `<source bridge='${bridge}'/>${more}`)
  const guest = await StandInGuest.running(t, { devices: on(one) })
  t.teardown(() => guest.call('virDomainDestroy'))
  const [tap] = taps(guest)
  const bridgeNow = () => basename(readlinkSync(`${NET}/${tap}/master`))
  const before = await xmlOf(guest)
  const update = (xml: string) => guest.failureOf('virDomainUpdateDeviceFlags', { xml, ...LIVE })

  guest.qemu.peer.answers.set_link = refuses()
  t.match(await update(on(two, "<link state='down'/>")), /^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: .*refuses/)
  t.equal(bridgeNow(), one)
  t.equal(await xmlOf(guest), before)

  guest.qemu.peer.answers.set_link = {}
  guest.forget()
  t.equal(await update(on(two, "<link state='down'/>")), '')
  t.equal(bridgeNow(), two)
  t.match(guest.qemu.peer.orders, [{ command: 'set_link', args: { name: 'net0', up: false } }])
  t.match(await xmlOf(guest), new RegExp(`<source bridge='${two}'/>[^]*<link state='down'/>`))
  t.match((await guest.status())?.xml, /<link state='down'\/>/)

  guest.leave()
  t.ok(await guest.takeOver())
  t.match(
    guest.qemu.peer.orders.filter(({ command }) => command === 'set_link'),
    [{ args: { up: false } }, { args: { up: false } }],
    'the next shim sees to the cable'
  )
})

t.test('a device that QEMU does not know any more is gone', async t => {
  const xml = nic('user')
  const answers = { device_del: refuses("Device 'net0' not found", 'DeviceNotFound') }
  const guest = await StandInGuest.running(t, { devices: xml, answers })
  t.equal(await guest.failureOf('virDomainDetachDeviceAlias', { alias: 'net0', ...LIVE }), '')
  t.notMatch(await xmlOf(guest), /<interface/)
  t.match(guest.told, [['DEVICE_REMOVED', { devAlias: 'net0' }]])
})

t.test('a password that QEMU refuses is not the new one', async t => {
  const vnc = (passwd: string) =>
    `<graphics type='vnc' port='-1' passwd='${passwd}'><listen type='address' address='127.0.0.1'/></graphics>`
  const guest = await StandInGuest.running(t, { devices: vnc('first') })
  const update = (passwd: string) => guest.failureOf('virDomainUpdateDeviceFlags', { xml: vnc(passwd), ...LIVE })
  for (const command of ['set_password', 'expire_password']) {
    guest.qemu.peer.answers[command] = refuses()
    guest.forget()
    t.match(await update('second'), /refuses/)
    t.match(await xmlOf(guest), /passwd='first'/)
    const set = guest.qemu.peer.orders.filter(order => order.command === 'set_password')
    t.equal(set.at(-1)?.args.password, 'first')
    guest.qemu.peer.answers[command] = {}
  }
  guest.forget()
  t.equal(await update('second'), '')
  t.match(guest.qemu.peer.orders, [
    { command: 'set_password', args: { protocol: 'vnc', password: 'second' } },
    { command: 'expire_password', args: { protocol: 'vnc', time: 'never' } }
  ])
  t.match(await xmlOf(guest), /passwd='second'/)
})

t.test('the agent is there once its channel is, and gone with it', async t => {
  const xml = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
  const guest = await StandInGuest.running(t, { devices: VIRTIO_SERIAL, answers: LETS_GO })
  const chardev = (open: boolean) => [{ label: 'charchannel0', filename: 'unix:x,server=on', 'frontend-open': open }]
  guest.qemu.peer.answers['query-chardev'] = chardev(false)
  const ping = () => guest.failureOf('virDomainQemuAgentCommand', { cmd: '{"execute":"guest-ping"}', timeout: 1 })
  t.match(await ping(), /^VIR_ERR_ARGUMENT_UNSUPPORTED .*QEMU guest agent is not configured/)
  t.equal(await guest.failureOf('virDomainAttachDeviceFlags', { xml, ...LIVE }), '')
  t.match(await ping(), /^VIR_ERR_AGENT_UNRESPONSIVE .*QEMU guest agent is not connected/)
  t.equal(await guest.failureOf('virDomainDetachDeviceAlias', { alias: 'channel0', ...LIVE }), '')
  await guest.untilTold('DEVICE_REMOVED')
  t.match(await ping(), /^VIR_ERR_ARGUMENT_UNSUPPORTED /)
})
