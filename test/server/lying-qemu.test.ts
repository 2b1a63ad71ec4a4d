// A QEMU taken over by its guest, under a shim of its own: what it says of itself ends neither the shim nor the guest,
// and the guest can be ended.
import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { leftovers } from '../helper/refusal.ts'
import { Shim } from '../helper/shim.ts'
import { StandInQemu } from '../helper/stand-in-qemu.ts'

t.setTimeout(240_000)

const NAME = `t-lies-${process.pid}`
const RUNNING = 1

const guest = (
  emulator: string
) => `<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><resource register='none'/>
  <devices><emulator>${emulator}</emulator><serial type='pty'/></devices></domain>`

/** It says that its serial port is there. */
const portAt = (path: string) => [{ label: 'charserial0', filename: `pty:${path}`, 'frontend-open': true }]

t.test('a port that cannot be opened: the guest runs, is taken over and ended', async t => {
  const qemu = new StandInQemu({ answers: { 'query-chardev': portAt('/dev/pts/99999') } })
  t.teardown(() => qemu.end())
  const shim = new Shim(guest(qemu.path))
  t.teardown(() => shim.end())
  const fifo = join(shim.dir, 'fifo')
  t.equal(spawnSync('mkfifo', ['-m', '600', fifo]).status, 0)
  void shim.start('--aggregator', 'none')
  await shim.untilState(RUNNING, 60_000)
  t.match(shim.stderr, /a console cannot be watched/)
  const killed = new Promise(resolve => shim.child!.once('exit', resolve))
  shim.child!.kill('SIGKILL')
  await killed
  qemu.answers['query-chardev'] = portAt(fifo)
  const exited = shim.start('--aggregator', 'none')
  await shim.untilState(RUNNING, 60_000)
  t.equal(qemu.launches, 1, 'the same')
  const toRead = constants.O_WRONLY | constants.O_NONBLOCK
  t.throws(() => closeSync(openSync(fifo, toRead)), { code: 'ENXIO' }, 'what it names is not opened')
  t.equal((await shim.call('virDomainDestroy', {})).status, 200)
  t.equal(await exited, 0)
  await qemu.gone()
  t.same(leftovers(shim.root, NAME), [])
})
