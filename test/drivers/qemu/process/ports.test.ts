import { createServer } from 'node:net'
import t from 'tap'
import { DEFAULT_CONFIG } from '../../../../src/drivers/qemu/context.ts'
import { allocatePorts, HeldPorts } from '../../../../src/drivers/qemu/process/ports.ts'
import { define, errorOf } from '../../../helper/definition.ts'

// far from the ports guests of other tests use
const FIRST = 28400
const LAST = 28440
const config = {
  ...DEFAULT_CONFIG,
  remotePortMin: FIRST,
  remotePortMax: LAST,
  webSocketPortMin: FIRST,
  webSocketPortMax: LAST
}

const listening = (port: number) =>
  new Promise<ReturnType<typeof createServer>>((done, refuse) => {
    const server = createServer()
    server.once('error', refuse)
    server.listen(port, '127.0.0.1', () => done(server))
  })

t.test('takes the lowest port nobody listens on', async t => {
  const other = await listening(FIRST)
  t.teardown(() => other.close())
  const held = new HeldPorts()
  t.teardown(() => held.release())
  t.equal(await held.acquire('display', FIRST, LAST), FIRST + 1)
  t.equal(await held.acquire('display', FIRST, LAST), FIRST + 2)
  t.match(await errorOf(() => held.acquire('display', FIRST, FIRST + 2)), "unused port in range 'display'")
})

t.test('two guests starting at once get different ports', async t => {
  const starts = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const def = await define("<graphics type='vnc' websocket='-1'/><graphics type='spice' autoport='yes'/>", {
        pretend: false
      })
      return { held: await allocatePorts(def, config), def }
    })
  )
  t.teardown(() => {
    for (const { held } of starts) held.release()
  })
  const ports = starts.flatMap(({ def }) =>
    def.devices.graphics.flatMap(dev =>
      dev.type === 'vnc' ? [dev.port, dev.websocket] : dev.type === 'spice' ? [dev.port] : []
    )
  )
  t.equal(new Set(ports).size, 8 * 3)
  t.ok(ports.every(port => port !== undefined && port >= FIRST && port <= LAST))
})

t.test('a port the guest names is chosen for nothing else, and is free again when let go', async t => {
  const def = await define(`<graphics type='vnc' port='${FIRST}'/><graphics type='spice' autoport='yes'/>`)
  for (let i = 0; i < 2; i++) {
    const held = await allocatePorts(def, config)
    t.match(def.devices.graphics, [{ port: FIRST }, { port: FIRST + 1 }])
    held.release()
    await new Promise(setImmediate)
  }
})

t.test('a port the guest names may be in use already', async t => {
  const other = await listening(LAST)
  t.teardown(() => other.close())
  const def = await define(`<graphics type='vnc' port='${LAST}'/><graphics type='spice' port='${LAST - 1}'/>`)
  const held = await allocatePorts(def, config)
  t.same(await held.taken(), [LAST])
  held.release()
})

t.test('an encrypted Spice port needs TLS', async t => {
  const def = await define("<graphics type='spice' autoport='yes' defaultMode='secure'/>")
  t.match(await errorOf(() => allocatePorts(def, config)), 'spice TLS is disabled in qemu.conf')
  const held = await allocatePorts(def, { ...config, spiceTls: true })
  t.match(def.devices.graphics, [{ port: undefined, tlsPort: FIRST }])
  held.release()
})
