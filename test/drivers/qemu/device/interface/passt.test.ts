import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { passtArgs, passtSocket } from '../../../../../src/drivers/qemu/device/interface/passt.ts'
import { isServed } from '../../../../../src/host/helper-process.ts'
import { define, errorOf, testContext } from '../../../../helper/definition.ts'
import { giveDevices, hostGuest, takeDevices } from '../../../../helper/host-guest.ts'
import { StandInGuest } from '../../../../helper/stand-in-guest.ts'

const PASST = "<backend type='passt'/>"
const SHARED = { outside: "<memoryBacking><access mode='shared'/></memoryBacking>" }
const card = (inside: string, type = 'user') => `<interface type='${type}'>${inside}</interface>`

t.test('arguments of passt', async t => {
  for (const [inside, type, args] of [
    [PASST, 'user', ['--one-off', '--socket', '/s', '--pid', '/s.ready']],
    [PASST, 'vhostuser', ['--vhost-user', '--one-off', '--socket', '/s', '--pid', '/s.ready']],
    [
      "<mtu size='9000'/><source dev='eth0'/><backend type='passt' logFile='/l'/>",
      'user',
      ['--one-off', '--socket', '/s', '--pid', '/s.ready', '--mtu', '9000', '--interface', 'eth0', '--log-file', '/l']
    ],
    [
      `<ip address='10.0.0.1' prefix='24'/><ip address='fec0::1' prefix='64'/>${PASST}`,
      'user',
      [
        '--one-off',
        '--socket',
        '/s',
        '--pid',
        '/s.ready',
        '--address',
        '10.0.0.1',
        '--netmask',
        '24',
        '--address',
        'fec0::1'
      ]
    ]
  ] as const) {
    const [dev] = (await define(card(inside, type), SHARED)).devices.interfaces
    t.same(passtArgs(dev!, '/s'), args)
  }
})

t.test('ports that reach the guest', async t => {
  for (const [forward, args] of [
    ["<portForward proto='tcp'/>", ['--tcp-ports', 'all']],
    ["<portForward proto='udp' address='::1'/>", ['--udp-ports', '::1/all']],
    ["<portForward proto='udp' dev='lo'><range start='5'/></portForward>", ['--udp-ports', '%lo/5']],
    [
      "<portForward proto='udp' address='1.2.3.4' dev='eth0'><range start='50' end='60' to='70'/><range start='55' exclude='yes'/></portForward>",
      ['--udp-ports', '1.2.3.4%eth0/50-60:70-80,~55']
    ],
    [
      "<portForward proto='tcp'><range start='22' to='2022'/><range start='3' end='4' exclude='no'/></portForward>",
      ['--tcp-ports', '22:2022,3-4']
    ]
  ] as const) {
    const [dev] = (await define(card(forward + PASST))).devices.interfaces
    t.same(passtArgs(dev!, '/s').slice(5), args)
  }
})

/** Puts a program before the others that notes what it is asked and is there until it is ended. */
function standInPasst(t: Test, script?: string): { dir: string; asked: () => string[] } {
  // sockets' paths are short
  const dir = mkdtempSync(join(tmpdir(), 'passt-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const notes = join(dir, 'asked')
  const listen = `import os, socket, sys, time
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen()
print(os.getpid(), file=open(sys.argv[2], "w"), flush=True); time.sleep(600)`
  const serve = `echo "$@" >> ${notes}\nwhile [ "$1" != --socket ]; do shift; done\nexec python3 -c '${listen}' "$2" "$4"\n`
  writeFileSync(join(dir, 'passt'), `#!/bin/sh\n${script ?? serve}`)
  chmodSync(join(dir, 'passt'), 0o755)
  const { PATH } = process.env
  process.env.PATH = `${dir}:${PATH}`
  t.teardown(() => {
    process.env.PATH = PATH
  })
  return { dir, asked: () => (existsSync(notes) ? readFileSync(notes, 'utf8').trim().split('\n') : []) }
}

t.test('is there while its card is', async t => {
  const { dir, asked } = standInPasst(t)
  const context = { ...testContext(), paths: { ...testContext().paths, libDir: dir } }
  const def = await define(card(PASST) + card(''))
  def.devices.interfaces.forEach((dev, i) => {
    dev.alias = `net${i}`
  })
  const guest = hostGuest(def, dir, { context })
  const socket = passtSocket(def.devices.interfaces[0]!, context.paths)
  await takeDevices('interfaces', guest)
  t.ok(isServed(socket))
  t.same(asked(), [`--foreground --one-off --socket ${socket} --pid ${socket}.ready`], 'the other card has none')
  await giveDevices('interfaces', guest)
  t.notOk(isServed(socket))
  t.notOk(existsSync(socket))
  t.notOk(existsSync(`${socket}.ready`))
})

t.test('a start fails with its words', async t => {
  const { dir } = standInPasst(t, 'echo no such device >&2; exit 1\n')
  const context = { ...testContext(), paths: { ...testContext().paths, libDir: dir } }
  const guest = hostGuest(await define(card(PASST)), dir, { context })
  t.match(
    await errorOf(() => takeDevices('interfaces', guest)),
    "VIR_ERR_INTERNAL_ERROR: internal error: Could not start 'passt': no such device"
  )
})

t.test('is started again when QEMU has lost it', async t => {
  const { asked } = standInPasst(t)
  const guest = await StandInGuest.running(t, { devices: card('') + card(PASST) })
  const before = asked().length
  guest.qemu.peer.event('NETDEV_STREAM_DISCONNECTED', { 'netdev-id': 'hostnet0' })
  guest.qemu.peer.event('NETDEV_STREAM_DISCONNECTED', { 'netdev-id': 'hostnet9' })
  for (const event of ['NETDEV_STREAM_DISCONNECTED', 'NETDEV_VHOST_USER_DISCONNECTED']) {
    const known = asked().length
    guest.qemu.peer.event(event, { 'netdev-id': 'hostnet1' })
    while (asked().length === known) await new Promise(done => setTimeout(done, 5))
    await guest.failureOf('virDomainInjectNMI')
  }
  t.equal(asked().length, before + 2)
  await giveDevices('interfaces', hostGuest(guest.domain.def, guest.domain.root.dir, { context: guest.domain.context }))
})
