// Taps that QEMU cannot open itself: of other users, handed over by root, and those that QEMU's helper makes for people
// who are not root.
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { leftovers } from '../../../helper/refusal.ts'
import { bareGuest, Shim } from '../../../helper/shim.ts'

const NAME = 't-taps'
const PAUSED = 3
const NOBODY = 65534
const HELPER = '/usr/lib/qemu/qemu-bridge-helper'
const id = process.pid

t.setTimeout(180_000)

const ip = (...args: string[]) => spawnSync('ip', args, { encoding: 'utf8' })
const isPossible =
  process.getuid?.() === 0 &&
  existsSync('/dev/net/tun') &&
  existsSync('/usr/bin/python3') &&
  spawnSync('unshare', ['-m', 'true']).status === 0 &&
  ip('link', 'add', `vsb${id}`, 'type', 'bridge').status === 0
const skip = isPossible ? false : 'making network devices and mount namespaces takes root, ip(8) and python3'
t.teardown(() => ip('link', 'delete', `vsb${id}`))

const carrier = (device: string) => readFileSync(`/sys/class/net/${device}/carrier`, 'utf8').trim()

/** A tap of a user's that is no guest's. */
function tapOf(t: Test, uid: number, ...more: string[]): string {
  const name = `vst${id}`
  ip('tuntap', 'add', 'dev', name, 'mode', 'tap', 'user', String(uid), ...more)
  ip('link', 'set', name, 'up')
  t.teardown(() => ip('link', 'delete', name))
  return name
}

t.test("root hands over a tap of another user, which stays that user's", { skip }, async t => {
  for (const [more, driver] of [
    [[], ''],
    [['multi_queue'], "<driver queues='2'/>"]
  ] as const) {
    const tap = tapOf(t, 12345, ...more)
    const shim = new Shim(
      bareGuest(
        NAME,
        `<interface type='ethernet'><target dev='${tap}' managed='no'/><model type='virtio'/>${driver}</interface>`
      )
    )
    t.teardown(() => shim.end())
    const exited = shim.start('--paused')
    await shim.untilState(PAUSED)
    t.equal(carrier(tap), '1', 'QEMU has it')
    await shim.call('virDomainDestroy', {})
    t.equal(await exited, 0)
    t.equal(readFileSync(`/sys/class/net/${tap}/owner`, 'utf8').trim(), '12345')
    ip('link', 'delete', tap)
  }
})

/** Runs virshimd as nobody where QEMU's helper is as it is installed, and may do what `acl` says. */
async function asNobody(t: Test, acl: string | undefined, bridge: string) {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-'))
  const shim = new Shim(
    bareGuest(NAME, `<interface type='bridge'><source bridge='${bridge}'/><model type='virtio'/></interface>`)
  )
  t.teardown(async () => {
    await shim.end()
    rmSync(dir, { recursive: true, force: true })
  })
  mkdirSync(join(dir, 'etc'))
  if (acl !== undefined) writeFileSync(join(dir, 'etc/bridge.conf'), acl)
  spawnSync('cp', [HELPER, join(dir, 'helper')])
  chmodSync(join(dir, 'helper'), 0o4755)
  for (const open of [dir, join(dir, 'etc')]) chmodSync(open, 0o755)
  mkdirSync('/etc/qemu', { recursive: true })
  chownSync(shim.dir, NOBODY, NOBODY)
  chmodSync(shim.xmlFile, 0o644)
  const inside = [
    `mount --bind ${dir}/helper ${HELPER}`,
    `mount --bind ${dir}/etc /etc/qemu`,
    `export HOME=${shim.dir} XDG_RUNTIME_DIR=`,
    `exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups bin/virshimd --root ${shim.root} --aggregator none --paused ${shim.xmlFile}`
  ].join(' && ')
  return { shim, exited: shim.run('unshare', ['-m', 'sh', '-c', inside]) }
}

t.test('people who are not root are on a bridge by the helper', { skip: skip || !existsSync(HELPER) }, async t => {
  const { shim, exited } = await asNobody(t, 'allow all\n', `vsb${id}`)
  await shim.untilState(PAUSED)
  const { xml } = (await shim.call('virDomainGetXMLDesc', {})).body
  const [, tap = ''] = /<target dev='(tap\d+)'\/>/.exec(xml) ?? []
  t.ok(existsSync(`/sys/class/net/vsb${id}/brif/${tap}`), `${tap} is a port`)
  t.equal(carrier(tap), '1')
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.notOk(existsSync(`/sys/class/net/${tap}`), 'it goes with QEMU')
})

t.test('its refusals are in its own words', { skip: skip || !existsSync(HELPER) }, async t => {
  for (const [acl, bridge, words] of [
    [undefined, `vsb${id}`, 'failed to parse default acl file `/etc/qemu/bridge.conf'],
    ['deny all\n', `vsb${id}`, 'access denied by acl file'],
    ['allow all\n', 'nowhere0', 'failed to get mtu of bridge `nowhere0']
  ] as const) {
    const { shim, exited } = await asNobody(t, acl, bridge)
    t.equal(await exited, 1)
    t.match(shim.errors, `qemu-bridge-helper --br=${bridge}: failed to communicate with bridge helper: ${words}`)
    t.same(leftovers(shim.root, NAME), [])
  }
})
