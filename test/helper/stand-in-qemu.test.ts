// The stand-in answers as the host's QEMU does: what it says by itself is held against a real one.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { connectQmp, type QmpError, type QmpEvent, type QmpMonitor } from '../../src/drivers/qemu/monitor/qmp.ts'
import { StandInGuest } from './stand-in-guest.ts'

const QEMU = '/usr/bin/qemu-system-x86_64'
const skip = !existsSync(QEMU) && `needs ${QEMU}`

/** The names of members, of lists those of the first element; plain values are their types. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape)
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? 'number' : typeof value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(key => [key, shape(value[key as never])])
  )
}

/** The monitor of a real QEMU whose CPUs do not run yet. */
async function realMonitor(t: Test, ...args: string[]): Promise<QmpMonitor> {
  // not the test's own directory: its name is too long for a socket
  const dir = mkdtempSync(join(tmpdir(), 'real-'))
  const path = join(dir, 'qmp.sock')
  const machine = ['-S', '-display', 'none', '-nodefaults', '-machine', 'pc,accel=tcg', '-m', '16']
  const qemu = spawn(QEMU, [...machine, ...args, '-qmp', `unix:${path},server=on,wait=off`])
  t.teardown(() => {
    qemu.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  for (;;) {
    const monitor = await connectQmp(path).catch(() => undefined)
    if (monitor) {
      t.teardown(() => monitor.close())
      return monitor
    }
    if (qemu.exitCode !== null) throw new Error(`QEMU ended with ${qemu.exitCode}`)
    await sleep(5)
  }
}

/** A command's answer or error, and the events it brought. */
async function ask(monitor: QmpMonitor, command: string, args?: object) {
  const events: QmpEvent[] = []
  const listen = (event: QmpEvent) => events.push(event)
  monitor.on('event', listen)
  const answer = await monitor
    .execute(command, args, { raw: true })
    .catch((error: QmpError) => ({ class: error.class, desc: error.message }))
  // an event that belongs to a command may come after its answer, but before the next one's
  await monitor.execute('query-version')
  monitor.off('event', listen)
  return { answer, events: events.map(({ event, data }) => ({ event, data })) }
}

const BALLOON = { path: '/machine/peripheral/balloon0', property: 'guest-stats' }
const QUESTIONS = [
  ...['query-cpus-fast', 'query-block', 'query-status', 'query-balloon', 'query-dirty-rate', 'query-version'],
  ...['query-hotpluggable-cpus', 'query-kvm', 'query-vnc', 'query-named-block-nodes', 'query-migrate', 'query-jobs'],
  ...['query-block-jobs', 'query-blockstats', 'query-iothreads']
]

t.test('answers have the members they have in QEMU', { skip }, async t => {
  const theirs = await realMonitor(
    t,
    ...['-device', 'virtio-balloon-pci,id=balloon0', '-chardev', 'null,id=charserial0']
  )
  const ours = (await StandInGuest.running(t)).domain.qmp
  for (const command of QUESTIONS) {
    const { answer } = await ask(theirs, command)
    t.same(shape((await ask(ours, command)).answer), shape(answer), command)
  }
  const balloon = await ask(theirs, 'qom-get', BALLOON)
  t.same(await ask(ours, 'qom-get', BALLOON), balloon, 'a guest that has reported nothing')
  t.same(
    shape((await ask(ours, 'query-chardev')).answer),
    shape((await ask(theirs, 'query-chardev')).answer),
    'query-chardev'
  )
  t.same(await ask(ours, 'nosuch'), await ask(theirs, 'nosuch'), 'an unknown command')
})

t.test('commands bring the events they bring in QEMU', { skip }, async t => {
  const theirs = await realMonitor(t)
  const ours = (await StandInGuest.running(t)).domain.qmp
  await ask(theirs, 'cont')
  for (const command of ['stop', 'stop', 'cont', 'cont', 'system_reset', 'system_powerdown', 'query-status']) {
    t.same(await ask(ours, command), await ask(theirs, command), command)
  }
})
