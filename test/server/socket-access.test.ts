// --socket-group and --socket-mode, and read-only sockets that are open to all.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { groupId, userId } from '../../src/host/ids.ts'
import { readOptions as aggregatorOptions } from '../../src/server/aggregator/options.ts'
import { readOptions } from '../../src/server/options.ts'
import { AggregatorRun } from '../helper/aggregator.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(120_000)

const RUNNING = 1
const GROUP = 'daemon'
const isRoot = process.getuid?.() === 0
const [nobody, nogroup] = [userId('nobody'), groupId('nogroup')]

const modeOf = (...path: string[]) => (statSync(join(...path)).mode & 0o7777).toString(8)
const SOCKETS = ['api.sock', 'api-ro.sock', 'libvirt-sock', 'libvirt-sock-ro']

/** What another user sees at a socket: an HTTP status, or none. */
function statusFor(gid: number, socket: string, path = '/v1/guests'): string {
  const who = ['--reuid', String(nobody), '--regid', String(gid), '--clear-groups']
  const call = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', socket, `http://x${path}`]
  return spawnSync('setpriv', [...who, ...call], { encoding: 'utf8' }).stdout
}

t.test('what is not known is bad usage', async t => {
  for (const words of [
    ['--socket-group', 'nobody-has-this'],
    ['--socket-group', ''],
    ['--socket-mode', 'rw'],
    ['--socket-mode', '888'],
    ['--socket-mode', '7777'],
    ['--socket-mode', '']
  ]) {
    t.throws(() => readOptions([...words, 'x.xml']), new RegExp(`^${words[0]}: '?`), words.join(' '))
    t.throws(() => aggregatorOptions(words), new RegExp(`^${words[0]}: '?`), words.join(' '))
  }
  const accessOf = (...words: string[]) => (readOptions([...words, 'x.xml']) as { access: object }).access
  t.same(accessOf(), { mode: 0o600 })
  t.same(accessOf('--socket-group', GROUP), { mode: 0o660, gid: groupId(GROUP) })
  t.same(accessOf('--socket-group', '12', '--socket-mode', '0770'), { mode: 0o770, gid: 12 })
})

t.test("a shim's sockets are its owner's, or a group's, whose members pass the root", { skip: !isRoot }, async t => {
  for (const isShared of [false, true]) {
    const shim = new Shim(bareGuest(`t-access-${isShared}`))
    t.teardown(() => shim.end())
    chmodSync(shim.dir, 0o755)
    void shim.start('--aggregator', 'none', ...(isShared ? ['--socket-group', GROUP] : []))
    await shim.untilState(RUNNING)
    const modes = SOCKETS.map(name => modeOf(shim.root, name))
    t.same(modes, Array(4).fill(isShared ? '660' : '600'))
    t.equal(modeOf(shim.root), isShared ? '710' : '700')
    t.equal(modeOf(shim.root, 'qmp.sock'), '700', 'nothing else is opened')
    t.equal(modeOf(shim.root, 'status.json'), '600')
    const socket = join(shim.root, 'api.sock')
    t.equal(statusFor(groupId(GROUP), socket), isShared ? '200' : '000')
    t.equal(statusFor(nogroup, socket), '000')
    await shim.call('virDomainDestroy', {})
  }
})

t.test(
  "the aggregator's read-only sockets are open to all, the others to whom they are given",
  { skip: !isRoot },
  async t => {
    const aggregator = new AggregatorRun()
    t.teardown(() => aggregator.end())
    chmodSync(aggregator.dir, 0o755)
    await aggregator.start()
    const { root } = aggregator
    const modes = () => [...SOCKETS, 'claims.sock'].map(name => modeOf(root, name))
    t.same(modes(), ['600', '666', '600', '666', '600'])
    t.equal(modeOf(root), '711')
    t.equal(modeOf(root, 'guests'), '700')
    t.equal(modeOf(root, 'claims'), '700')
    t.equal(statusFor(nogroup, join(root, 'api-ro.sock')), '200')
    t.equal(statusFor(nogroup, join(root, 'api.sock')), '000')
    t.equal(statusFor(nogroup, join(root, 'claims.sock')), '000')
    const who = ['--reuid', String(nobody), '--regid', String(nogroup), '--clear-groups']
    const uri = `qemu+unix:///system?socket=${join(root, 'libvirt-sock-ro')}`
    const virsh = spawnSync('setpriv', [...who, 'virsh', '-r', '-c', uri, 'list'], { encoding: 'utf8' })
    t.equal(virsh.status, 0, virsh.stderr)
    await aggregator.kill('SIGTERM')
    await aggregator.start('--socket-group', GROUP, '--socket-mode', '660')
    t.same(modes(), ['660', '666', '660', '666', '660'])
    t.equal(modeOf(root), '711')
    t.equal(statusFor(groupId(GROUP), join(root, 'api.sock')), '200')
    t.equal(statusFor(nogroup, join(root, 'api.sock')), '000')
  }
)

t.test('a directory that was there keeps its own permissions', { skip: !isRoot }, async t => {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-access-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const { letPass } = await import('../../src/server/socket-access.ts')
  for (const [before, accesses, after] of [
    [0o755, [{ mode: 0o600 }], '755'],
    [0o700, [{ mode: 0o600 }], '700'],
    [0o700, [{ mode: 0o666 }], '711'],
    [0o700, [{ mode: 0o660, gid: 1 }], '710'],
    [0o750, [{ mode: 0o660, gid: 1 }, { mode: 0o666 }], '751']
  ] as const) {
    chmodSync(dir, before)
    letPass(dir, accesses)
    t.equal(modeOf(dir), after)
  }
  writeFileSync(join(dir, 'x'), '')
  t.throws(() => letPass(join(dir, 'x', 'y'), [{ mode: 0o666 }]), { code: 'VIR_ERR_SYSTEM_ERROR' })
})
