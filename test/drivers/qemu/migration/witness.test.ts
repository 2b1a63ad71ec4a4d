// A source that asks after its destination, while it sends the guest there and where its answer was lost.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { answers, isElsewhere, watchDestination } from '../../../../src/drivers/qemu/migration/ask-witness.ts'
import { newToken } from '../../../../src/drivers/qemu/migration/witness.ts'

/** It is asked all the time. */
const { setInterval: slow } = globalThis
globalThis.setInterval = ((work: () => void) => slow(work, 20)) as typeof setInterval
t.teardown(() => {
  globalThis.setInterval = slow
})

/** A destination that answers, until it is told not to. */
async function destination(t: Test) {
  const sockets = new Set<Socket>()
  const self = { answers: true, asked: 0, lost: 0, server: undefined as unknown as Server }
  self.server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket))
    socket.once('data', () => {
      self.asked++
      if (self.answers) socket.end('coming\n')
    })
  })
  await once(self.server.listen(0, '127.0.0.1'), 'listening')
  const { port } = self.server.address() as AddressInfo
  const stop = watchDestination({ host: '127.0.0.1', port, token: newToken() }, () => {
    self.lost++
  })
  t.teardown(() => {
    stop()
    self.server.close()
    for (const socket of sockets) socket.destroy()
  })
  while (self.asked === 0) await sleep(5)
  return self
}

t.test('one that says nothing any more is lost, once', async t => {
  const there = await destination(t)
  const { asked } = there
  while (there.asked < asked + 20) await sleep(5)
  t.equal(there.lost, 0, 'it has answered')
  there.answers = false
  // each question waits for 5 s
  while (there.lost === 0) await sleep(20)
  await sleep(200)
  t.equal(there.lost, 1)
})

t.test('one whose host answers may have a follower yet', async t => {
  const there = await destination(t)
  await new Promise(done => there.server.close(done))
  await sleep(500)
  t.equal(there.lost, 0)
})

/** A port of its own, whose listener can be taken away. */
async function listener(t: Test, answer?: string) {
  const asked: string[] = []
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.on('data', chunk => {
      asked.push(chunk.toString())
      if (answer !== undefined) socket.end(`${answer}\n`)
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return { server, asked, port: (server.address() as AddressInfo).port }
}

const close = ({ server }: { server: Server }) => new Promise(done => server.close(done))

/** A quarter of a minute is over in half a second. */
function hasten(t: Test): void {
  const { now } = Date
  const begun = now()
  Date.now = () => begun + (now() - begun) * 30
  t.teardown(() => {
    Date.now = now
  })
}

/** What is known of the guest, if anything, after longer than a follower's shim may take. */
const known = (whereabouts: Promise<boolean | undefined>) =>
  Promise.race([whereabouts, sleep(2000, 'unknown' as const, { ref: false })])

t.test('where nobody answers but QEMU is there nobody knows', async t => {
  hasten(t)
  const [shim, qemu] = [await listener(t, 'coming'), await listener(t)]
  const place = { host: '127.0.0.1', port: shim.port, qemu: qemu.port, token: newToken() }
  const heard = await answers(place)
  t.equal(heard, true)
  await close(shim)
  let isOver = false
  t.teardown(() => {
    isOver = true
  })
  const whereabouts = isElsewhere({ ...place, heard }, () => isOver)
  t.equal(await known(whereabouts), 'unknown', 'its QEMU may run the guest')
  await close(qemu)
  t.equal(await whereabouts, false, 'it is gone once that is')
})

t.test('who has never answered may be behind a wall', async t => {
  hasten(t)
  const [shim, qemu] = [await listener(t), await listener(t)]
  await Promise.all([shim, qemu].map(close))
  const place = { host: '127.0.0.1', port: shim.port, qemu: qemu.port, token: newToken() }
  t.equal(await answers(place), false)
  let isOver = false
  const whereabouts = isElsewhere({ ...place, heard: false }, () => isOver)
  t.equal(await known(whereabouts), 'unknown')
  isOver = true
  t.equal(await whereabouts, undefined, 'until nobody wants to know')
})

t.test('one without a port of its QEMU is not believed to be gone', async t => {
  const shim = await listener(t, 'coming')
  t.equal(await answers({ host: '127.0.0.1', port: shim.port, token: newToken() }), false)
})
