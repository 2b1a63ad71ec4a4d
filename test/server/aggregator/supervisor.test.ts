// Shims that die are followed by others, which take over or clean up.
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { AggregatorRun, filesOf } from '../../helper/aggregator.ts'
import { cgroupsOf, processesNaming } from '../../helper/processes.ts'
import { bareGuest } from '../../helper/shim.ts'

t.setTimeout(240_000)
// they mostly wait, each for a host of its own
t.jobs = 4

const RUNNING = 1
const PAUSED = 3
const SHUTOFF = 5

/** An aggregator with one guest that runs, kept or not. */
async function withGuest(t: Test, name: string, kept: boolean) {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start()
  await aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest(name), flags: 1 })
  if (kept) {
    const { xml } = (await aggregator.call(`domains/${name}/virDomainGetXMLDesc?flags=2`)).body
    await aggregator.call('virDomainDefineXML', { xml })
  }
  const entry = await aggregator.until(name, one => one?.state === PAUSED && one.persistent === kept)
  return { aggregator, pids: entry.pids as { shim: number; qemu: number } }
}

t.test('a killed shim is followed by one that takes its guest over, again and again', async t => {
  const name = 'life-followed'
  const { aggregator, pids } = await withGuest(t, name, false)
  let { shim } = pids
  for (let i = 0; i < 3; i++) {
    process.kill(shim, 'SIGKILL')
    const { pids: now } = await aggregator.until(
      name,
      one => one?.pids.shim && one.pids.shim !== shim && one.unreachableSince === undefined
    )
    t.equal(now.qemu, pids.qemu)
    shim = now.shim
  }
  t.match((await aggregator.call(`domains/${name}/virDomainResume`, {})).body, {})
  t.equal((await aggregator.call(`domains/${name}/virDomainGetState`)).body.state, RUNNING)
})

t.test('one that leaves its guest, to be replaced by a newer version, is followed too', async t => {
  const name = 'life-upgrade'
  const { aggregator, pids } = await withGuest(t, name, false)
  await aggregator.call(`domains/${name}/virDomainGetState`)
  const { socket } = await aggregator.entry(name)
  const answer = await fetchOn(socket, '/v1/shim-detach')
  t.equal(answer, 200)
  const { pids: now } = await aggregator.until(name, one => one?.pids.shim !== pids.shim && !one.unreachableSince)
  t.equal(now.qemu, pids.qemu)
})

t.test('shim and QEMU die together: what they left is removed', async t => {
  for (const kept of [false, true]) {
    const name = kept ? 'life-both-kept' : 'life-both'
    const { aggregator, pids } = await withGuest(t, name, kept)
    process.kill(pids.shim, 'SIGKILL')
    process.kill(pids.qemu, 'SIGKILL')
    const status = `${aggregator.guest(name)}/status.json`
    for (let i = 0; i < 1000 && existsSync(status); i++) await sleep(20)
    t.notOk(existsSync(status))
    t.same(cgroupsOf(name), [])
    if (kept) t.match(await aggregator.until(name, one => one?.state === SHUTOFF), { persistent: true })
    else {
      await aggregator.until(name, one => one === undefined)
      for (let i = 0; i < 200 && processesNaming(aggregator.guest(name)).length > 0; i++) await sleep(20)
      t.same(filesOf(aggregator.guest(name)), [])
    }
  }
})

t.test('what died while there was no aggregator is found when there is one', async t => {
  const name = 'life-later'
  const { aggregator, pids } = await withGuest(t, name, false)
  await aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest('life-dead'), flags: 1 })
  const dead = (await aggregator.entry('life-dead')).pids
  await aggregator.kill()
  for (const pid of [pids.shim, dead.shim, dead.qemu]) process.kill(pid, 'SIGKILL')
  await sleep(100)
  await aggregator.start()
  const entry = await aggregator.until(name, one => one?.pids.shim && !one.unreachableSince)
  t.equal(entry.pids.qemu, pids.qemu)
  const status = `${aggregator.guest('life-dead')}/status.json`
  for (let i = 0; i < 1000 && existsSync(status); i++) await sleep(20)
  t.notOk(existsSync(status))
  t.equal(await aggregator.entry('life-dead'), undefined)
})

t.test('a shim that hangs is not replaced: two would not be better', async t => {
  const name = 'life-hangs'
  const { aggregator, pids } = await withGuest(t, name, false)
  process.kill(pids.shim, 'SIGSTOP')
  t.teardown(() => process.kill(pids.shim, 'SIGCONT'))
  await aggregator.until(name, one => one?.unreachableSince !== undefined, 100_000)
  await sleep(1000)
  t.equal(processesNaming(`--root ${aggregator.guest(name)}`.replaceAll(' ', '\0')).length, 1)
  process.kill(pids.shim, 'SIGCONT')
  t.match(await aggregator.until(name, one => one?.unreachableSince === undefined), { pids })
})

t.test('a shim that is killed while it starts its guest leaves nothing for long', async t => {
  const name = 'life-cut'
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start()
  for (let round = 0; round < 4; round++) {
    const call = aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest(name) })
    const deadline = Date.now() + 5000
    const started = () => existsSync(`${aggregator.guest(name)}/status.json`)
    while (!started() && Date.now() < deadline) await sleep(1)
    await sleep(round * 10)
    for (const pid of processesNaming(`--root\0${aggregator.guest(name)}`)) process.kill(pid, 'SIGKILL')
    const { status, body } = await call
    if (status !== 200) t.match(body, { code: Number, message: String })
    await aggregator.until(name, one => one === undefined || one.unreachableSince === undefined)
    for (let i = 0; i < 1000 && started() && !(await aggregator.entry(name)); i++) await sleep(20)
    await aggregator.call(`domains/${name}/virDomainDestroy`, {})
    await aggregator.until(name, one => one === undefined)
    t.same(processesNaming(`path=${aggregator.guest(name)}/qmp.sock`), [])
  }
})

/** Status of a POST at a shim's own socket. */
async function fetchOn(socketPath: string, path: string): Promise<number> {
  const { request } = await import('node:http')
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, method: 'POST', agent: false }, reply => {
      reply.resume()
      resolve(reply.statusCode ?? 0)
    })
    sent.on('error', reject)
    sent.end()
  })
}
