// A guest that has been sent, and of which its client has not heard whether it runs at its destination, whose witness says
// what the test does.
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { newToken } from '../../../../src/drivers/qemu/migration/witness.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'

/** Who waits for a minute, or for two, has no patience here. */
const { setTimeout: slow } = globalThis
globalThis.setTimeout = ((work: () => void, ms = 0, ...args: []) =>
  slow(work, ms >= 60_000 && ms <= 120_000 ? 500 : ms, ...args)) as typeof setTimeout
t.teardown(() => {
  globalThis.setTimeout = slow
})

/** The destination's witness. */
async function witness(t: Test) {
  const self = { answer: 'coming', asked: [] as string[] }
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.on('data', chunk => {
      self.asked.push(chunk.toString())
      socket.end(`${self.answer}\n`)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return { self, place: { host: '127.0.0.1', port, qemu: port, token: newToken(), heard: true } }
}

/** A shim that takes the guest over behind `perform3_done`. */
async function sentGuest(t: Test) {
  const { self, place } = await witness(t)
  const guest = await StandInGuest.running(t, { answers: { 'query-migrate': { status: 'completed' } } })
  await guest.call('virDomainSuspend')
  guest.leave()
  const { job: _, ...status } = (await guest.status())!
  await guest.takeOver({
    ...status,
    job: { kind: 'migration-out', phase: 'perform3_done', api: 'virDomainMigratePerform3Params', sinceMs: Date.now() },
    departure: { ran: true, witness: place }
  })
  guest.forget()
  return { guest, there: self }
}

const CANCELLED = { params: {}, cookie_in: '', flags: 0, cancelled: 1 }
const confirm = (guest: StandInGuest) => guest.failureOf('virDomainMigrateConfirm3Params', CANCELLED)
const job = async (guest: StandInGuest) => (await guest.status())?.job?.phase

const UNKNOWN =
  /^VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: destination '127.0.0.1' does not tell whether domain 't-stand-in' runs there/

t.test('nobody knows, and then it is gone there', async t => {
  const { guest, there } = await sentGuest(t)
  t.match(await confirm(guest), UNKNOWN)
  t.match(await guest.state(), /^PAUSED/, 'it stands still')
  t.equal(await job(guest), 'perform3_done', 'it is asked for again')
  t.same(
    guest.qemu.peer.orders.filter(({ command }) => command === 'cont'),
    []
  )
  there.answer = 'gone'
  await guest.untilState('RUNNING MIGRATION_CANCELED')
  while ((await job(guest)) !== undefined) await sleep(5)
})

t.test('nobody knows, and then it is here', async t => {
  const { guest, there } = await sentGuest(t)
  t.match(await confirm(guest), UNKNOWN)
  there.answer = 'here'
  await guest.untilState('SHUTOFF MIGRATED')
  t.match(there.asked.at(-1), / left\n$/, 'the destination is told that nobody asks any more')
})

t.test('nobody wants to know any more', async t => {
  const { guest, there } = await sentGuest(t)
  t.match(await confirm(guest), UNKNOWN)
  t.equal(await guest.failureOf('virDomainAbortJob'), '')
  t.equal(await job(guest), undefined)
  const { length } = there.asked
  await sleep(1000)
  t.ok(there.asked.length <= length + 1, 'it is not asked for again')
  t.match(await guest.state(), /^PAUSED/)
  t.equal(await guest.failureOf('virDomainResume'), '', 'who knows better brings it on')
})
