// A source that asks after its destination while it sends the guest there.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { newToken, watchDestination } from '../../../../src/drivers/qemu/migration/witness.ts'

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
