// Consoles, channels, pictures and keys.
import { lstatSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import t from 'tap'
import type { ByteChannel } from '../../../../src/drivers/method.ts'
import { userName } from '../../../../src/host/ids.ts'
import { type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Order, refuses } from '../../../helper/stand-in-qemu.ts'

const notRoot = process.getuid?.() !== 0 && 'running QEMU as another user takes root'
const internal = (what: string) => `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: ${what}`

t.test('devices there are not', async t => {
  const guest = await StandInGuest.running(t, {
    devices: `<serial type='tcp'><source mode='bind' host='127.0.0.1' service='1'/><protocol type='raw'/></serial>
      <channel type='pty'><target type='virtio' name='mine'/></channel>`
  })
  const none = await StandInGuest.running(t)
  const cases: [guest: StandInGuest, api: string, args: object, error: string][] = [
    [none, 'virDomainOpenConsole', {}, internal('cannot find character device <null>')],
    [none, 'virDomainOpenChannel', {}, internal('cannot find channel <null>')],
    [guest, 'virDomainOpenConsole', { devname: 'nosuch' }, internal('cannot find character device nosuch')],
    [guest, 'virDomainOpenChannel', { name: 'nosuch' }, internal('cannot find channel nosuch')],
    [guest, 'virDomainOpenConsole', { devname: 'serial0' }, internal('character device serial0 is not using a PTY')],
    [guest, 'virDomainOpenChannel', { name: 'mine' }, internal('channel mine is not using a UNIX socket')]
  ]
  for (const [of, api, args, error] of cases) t.equal(await of.failureOf(api, args), error)
  const off = await StandInGuest.make(t)
  for (const api of ['virDomainOpenConsole', 'virDomainOpenChannel', 'virDomainScreenshot'])
    t.match(await off.failureOf(api), /domain is not running$/, api)
})

t.test('a pty that cannot be opened fails the call and nothing else', async t => {
  for (const path of ['/dev/pts/nosuch', '/dev/null']) {
    const guest = await StandInGuest.running(t, {
      devices: "<serial type='pty'/>",
      answers: { 'query-chardev': [{ label: 'charserial0', filename: `pty:${path}`, 'frontend-open': true }] }
    })
    for (let times = 0; times < 2; times++)
      t.match(await guest.failureOf('virDomainOpenConsole'), /^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: /, path)
    t.equal(await guest.failureOf('virDomainSuspend'), '')
  }
})

/** A channel's socket with somebody at QEMU's end of it. */
async function channel(t: Parameters<typeof StandInGuest.running>[0]) {
  const guest = await StandInGuest.running(t, {
    devices: `<channel type='unix'><source mode='bind' path='@/channel.sock'/><target type='virtio' name='mine'/></channel>`
  })
  guest.qemu.agent.close()
  const arrivals: ((socket: Socket) => void)[] = []
  const server = createServer(socket => arrivals.shift()?.(socket))
  t.teardown(() => server.close())
  await new Promise<void>(resolve => server.listen(`${guest.dir}/channel.sock`, resolve))
  const arrived = () => new Promise<Socket>(resolve => arrivals.push(resolve))
  return { guest, arrived }
}

/** What a viewer has been told so far, and why no more. */
function watch(view: ByteChannel) {
  let said = ''
  let wake = () => {}
  view.onData(data => {
    said += data
    wake()
  })
  const closed = new Promise<string>(resolve => view.onClose(resolve))
  const until = async (text: string) => {
    while (said !== text) {
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
  }
  return { until, closed }
}

t.test('viewers share a channel', async t => {
  const { guest, arrived } = await channel(t)
  const coming = arrived()
  const open = (flags: string[] = []): Promise<ByteChannel> =>
    guest.call('virDomainOpenChannel', { name: 'mine', flags })
  const first = await open()
  const one = watch(first)
  const qemu = await coming
  t.teardown(() => qemu.destroy())
  qemu.write('hello ')
  await one.until('hello ')
  const second = await open()
  const two = watch(second)
  qemu.write('both')
  await Promise.all([one.until('hello both'), two.until('hello both')])
  const typed: string[] = []
  const heard = new Promise<void>(resolve => {
    qemu.on('data', chunk => {
      typed.push(String(chunk))
      if (typed.join('') === 'onetwo') resolve()
    })
  })
  first.write(Buffer.from('one'))
  second.write(Buffer.from('two'))
  await heard
  first.close()
  const third = await open(['VIR_DOMAIN_CHANNEL_FORCE'])
  t.equal(await two.closed, 'somebody else took the device over')
  const three = watch(third)
  await three.until('hello both')
  qemu.destroy()
  t.equal(await three.closed, 'the device was closed')
  const again = arrived()
  watch(await open())
  const anew = await again
  t.ok(anew, 'it is opened anew')
  anew.destroy()
})

t.test('a channel nobody listens at is closed at once', async t => {
  const guest = await StandInGuest.running(t, {
    devices: `<channel type='unix'><source mode='bind' path='@/channel.sock'/><target type='virtio' name='mine'/></channel>`
  })
  guest.qemu.agent.close()
  const view: ByteChannel = await guest.call('virDomainOpenChannel', { name: 'mine' })
  t.equal(await watch(view).closed, 'the device was closed')
})

const SCREEN: GuestParts = {
  devices: `<video><model type='qxl' heads='2'/></video><video><model type='qxl'/></video>`
}

/** Draws a picture where it is told to. */
const draws = (order: Order) => {
  writeFileSync(order.args.filename, 'picture')
  order.reply()
}

t.test('pictures', async t => {
  const guest = await StandInGuest.running(t, { ...SCREEN, answers: { screendump: draws } })
  const before = guest.leftovers
  for (const [screen, device, head] of [
    [0, undefined, undefined],
    [1, 'video0', 1],
    [2, 'video1', 0]
  ] as const) {
    const { mime, body } = await guest.call('virDomainScreenshot', { screen })
    t.same([mime, String(body)], ['image/png', 'picture'])
    const { args } = await guest.qemu.peer.told('screendump')
    t.same([args.device, args.head, args.format], [device, head, 'png'])
    t.same(guest.leftovers, before, 'no file is left')
  }
  t.match(
    await guest.failureOf('virDomainScreenshot', { screen: 3 }),
    /^VIR_ERR_OPERATION_INVALID .* no such screen ID$/
  )
  guest.qemu.answers.screendump = (order: Order) => {
    writeFileSync(order.args.filename, 'half a pic')
    order.refuse('no surface')
  }
  t.equal(
    await guest.failureOf('virDomainScreenshot'),
    internal("unable to execute QEMU command 'screendump': no surface")
  )
  t.same(guest.leftovers, before, 'nor of one that failed')
  const old = await StandInGuest.running(t, {
    ...SCREEN,
    missing: ['screenshot-format-png'],
    answers: { screendump: draws }
  })
  t.equal((await old.call('virDomainScreenshot')).mime, 'image/x-portable-pixmap')
  const blind = await StandInGuest.running(t)
  t.match(await blind.failureOf('virDomainScreenshot'), /no screens to take screenshot from$/)
})

t.test('a picture of a QEMU of another user', { skip: notRoot }, async t => {
  const guest = await StandInGuest.running(t, {
    ...SCREEN,
    user: 'nobody',
    answers: {
      screendump(order: Order) {
        const { uid, mode, size } = lstatSync(order.args.filename)
        t.same([userName(uid), mode & 0o777, size], ['nobody', 0o600, 0], 'it has a file to write into')
        draws(order)
      }
    }
  })
  const before = guest.leftovers
  const { body } = await guest.call('virDomainScreenshot', { screen: 0 })
  t.equal(String(body), 'picture')
  guest.qemu.answers.screendump = (order: Order) => {
    rmSync(order.args.filename)
    symlinkSync('/etc/passwd', order.args.filename)
    order.reply()
  }
  t.match(
    await guest.failureOf('virDomainScreenshot', { screen: 0 }),
    /QEMU has made no picture$/,
    'a link it lays is not read'
  )
  t.same(guest.leftovers, before)
})

t.test('keys', async t => {
  const guest = await StandInGuest.running(t)
  const press = (args: object) =>
    guest.failureOf('virDomainSendKey', { codeset: 0, holdtime: 0, keycodes: [28], ...args })
  t.equal(await press({ keycodes: [29, 56, 111], holdtime: 50 }), '')
  const { args } = await guest.qemu.peer.told('send-key')
  t.same(args, { keys: [29, 56, 211].map(data => ({ type: 'number', data })), 'hold-time': 50 })
  t.equal(await press({}), '')
  t.same((await guest.qemu.peer.told('send-key')).args, { keys: [{ type: 'number', data: 28 }] })
  for (const [bad, error] of [
    [
      { keycodes: [60000] },
      /^VIR_ERR_INTERNAL_ERROR .* cannot translate keycode 60000 of linux codeset to qnum keycode$/
    ],
    [{ codeset: 99 }, /^VIR_ERR_/],
    [{ keycodes: Array(17).fill(28) }, /^VIR_ERR_/]
  ] as const)
    t.match(await press(bad), error)
  guest.qemu.answers['send-key'] = refuses('no keyboard')
  t.equal(await press({}), internal("unable to execute QEMU command 'send-key': no keyboard"))
})
