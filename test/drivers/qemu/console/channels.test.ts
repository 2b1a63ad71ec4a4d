// Ends of serial ports on the host: a guest that does not read, and a QEMU that lies about them.
import { spawnSync } from 'node:child_process'
import { chownSync, closeSync, constants, openSync, readdirSync, readlinkSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ByteChannel } from '../../../../src/drivers/method.ts'
import { watchConsoles } from '../../../../src/drivers/qemu/console/channels.ts'
import { Pty } from '../../../helper/pty.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'

const NOBODY = 65534
const notRoot = process.getuid?.() !== 0 && 'giving a file away takes root'

/** A guest whose QEMU says that its serial port is there. */
const guestOn = (t: Test, path: string) =>
  StandInGuest.running(t, {
    devices: "<serial type='pty'/>",
    answers: { 'query-chardev': [{ label: 'charserial0', filename: `pty:${path}`, 'frontend-open': true }] }
  })

t.test('a guest that does not read is not waited for, and gets all it was sent when it does', async t => {
  const BYTES = 200_000
  const pty = await Pty.open(t)
  const guest = await guestOn(t, pty.path)
  watchConsoles(guest.domain)
  const view: ByteChannel = await guest.call('virDomainOpenConsole')
  view.onData(() => {})
  const drained = new Promise<void>(resolve => view.onDrain(resolve))
  t.equal(view.write(Buffer.alloc(BYTES, 'a')), false, 'no more is to be sent')
  t.equal(await guest.state(), 'RUNNING BOOTED', 'calls are answered')
  t.equal(await pty.read(BYTES), BYTES)
  await drained
  t.equal(view.write(Buffer.from('a')), true)
  t.equal(await pty.read(1), 1)
})

t.test('nothing of a port stays open when the guest is gone', async t => {
  const open = () =>
    readdirSync('/proc/self/fd').filter(fd => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(pty.path)
      } catch {
        return false
      }
    }).length
  const pty = await Pty.open(t)
  const before = open()
  const guest = await guestOn(t, pty.path)
  watchConsoles(guest.domain)
  const view: ByteChannel = await guest.call('virDomainOpenConsole')
  const closed = new Promise<string>(resolve => view.onClose(resolve))
  view.onData(() => {})
  t.ok(open() > before)
  pty.close()
  t.equal(await closed, 'the device was closed')
  for (const deadline = Date.now() + 30_000; open() > before && Date.now() < deadline; ) await sleep(10)
  t.equal(open(), before)
})

t.test('what waits for such a guest is bounded: who sends more is let go, the others are not', async t => {
  const pty = await Pty.open(t)
  const guest = await guestOn(t, pty.path)
  const [one, two]: ByteChannel[] = [await guest.call('virDomainOpenConsole'), await guest.call('virDomainOpenConsole')]
  const closed = new Promise<string>(resolve => one!.onClose(resolve))
  two!.onClose(() => t.fail('the other has sent nothing'))
  for (let i = 0; i < 40; i++) one!.write(Buffer.alloc(64 * 1024, 'a'))
  t.equal(await closed, 'the guest does not read')
  t.equal(await guest.state(), 'RUNNING BOOTED')
})

t.test('a port that QEMU does not have fails who wants to see it, and nothing else', async t => {
  const dir = t.testdir()
  const fifo = join(dir, 'fifo')
  t.equal(spawnSync('mkfifo', ['-m', '600', fifo]).status, 0)
  const pty = await Pty.open(t)
  const link = join(dir, 'link')
  symlinkSync(pty.path, link)
  for (const path of ['/dev/pts/99999', fifo, link, '/dev/pts/../null', '/dev/ptmx', '/dev/tty']) {
    const guest = await guestOn(t, path)
    t.doesNotThrow(() => watchConsoles(guest.domain), path)
    t.match(await guest.failureOf('virDomainOpenConsole'), /^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: /, path)
    t.equal(await guest.state(), 'RUNNING BOOTED')
  }
  const toRead = constants.O_WRONLY | constants.O_NONBLOCK
  t.throws(() => closeSync(openSync(fifo, toRead)), { code: 'ENXIO' }, 'it is not opened by anyone')
})

t.test("a terminal of somebody else's", { skip: notRoot }, async t => {
  const pty = await Pty.open(t)
  chownSync(pty.path, NOBODY, NOBODY)
  const guest = await guestOn(t, pty.path)
  t.doesNotThrow(() => watchConsoles(guest.domain))
  t.match(await guest.failureOf('virDomainOpenConsole'), new RegExp(`belongs to uid ${NOBODY}$`))
})
