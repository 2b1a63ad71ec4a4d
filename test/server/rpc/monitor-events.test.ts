// QEMU's own events to RPC clients, with integers no number holds.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { GuestHandle } from '../../../src/drivers/connection.ts'
import type { QmpEvent } from '../../../src/drivers/qemu/monitor/qmp.ts'
import { Changes } from '../../../src/server/aggregator/changes.ts'
import { EventStream, type StreamedEvent } from '../../../src/server/aggregator/event-stream.ts'
import { GuestEvents } from '../../../src/server/aggregator/events.ts'
import { Registry } from '../../../src/server/aggregator/registry.ts'
import { LateLog } from '../../../src/server/log.ts'
import type { RpcClient, RpcHandler } from '../../../src/server/rpc/client.ts'
import { readFields } from '../../../src/server/rpc/codec.ts'
import { monitorFilter } from '../../../src/server/rpc/event-calls.ts'
import { EventSubscriptions } from '../../../src/server/rpc/events.ts'
import { eventLayout } from '../../../src/server/rpc/procedures.ts'
import { serveRpc } from '../../../src/server/rpc/server.ts'
import { XdrReader, XdrWriter } from '../../../src/server/rpc/xdr.ts'
import { simulatedReport } from '../../helper/simulated-shims.ts'

const guest: GuestHandle = { name: 't', uuid: simulatedReport(1).uuid, id: 1 }
const data = { node: 'disk', excess: 2n ** 63n, threshold: 7 }
const event: QmpEvent = { event: 'BLOCK_WRITE_THRESHOLD', data, timestampUs: 1_000_002 }
const DETAILS = '{"node":"disk","excess":9223372036854775808,"threshold":7}'

/** A guest whose QEMU says something. */
function source() {
  let say: (guest: GuestHandle, event: QmpEvent) => void = () => {}
  return {
    say: () => say(guest, event),
    listen: () => () => {},
    listenMonitor(listener: typeof say) {
      say = listener
      return () => {}
    }
  }
}

t.test('all digits are told', async t => {
  const from = source()
  const sent: Record<string, unknown>[] = []
  const client = {
    event(program: number, procedure: number, write: (to: XdrWriter) => void) {
      const to = new XdrWriter()
      write(to)
      sent.push(readFields(eventLayout(program, procedure).args, new XdrReader(to.bytes)))
    }
  } as unknown as RpcClient
  new EventSubscriptions(from, client).registerMonitor(() => true)
  from.say()
  t.match(sent, [{ event: event.event, details: DETAILS, seconds: 1n, micros: 2 }])
})

t.test('through an aggregator they stay, too', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-monitor-'))
  const from = source()
  const handler = (client: RpcClient): RpcHandler => {
    const events = new EventSubscriptions(from, client)
    return {
      call: () => {
        const callbackID = events.registerMonitor(() => true)
        return { write: to => to.int(callbackID) }
      },
      closed: () => events.clear()
    }
  }
  const service = serveRpc(new LateLog(), handler)
  const server = createServer(socket => service.accept(socket))
  const socket = join(dir, 'libvirt-sock')
  await new Promise<void>(resolve => server.listen(socket, resolve))
  t.teardown(() => {
    server.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const registry = new Registry()
  const report = { ...simulatedReport(1), sockets: { libvirt: socket } }
  registry.set('/a', { socket: join(dir, 'api.sock'), report, unreachableSince: undefined })
  const heard = new Promise<QmpEvent>(resolve => {
    const stop = new GuestEvents(registry, new Changes(async () => undefined)).listenMonitor((_guest, event) => {
      stop()
      resolve(event)
    }, undefined)
    const ask = setInterval(from.say, 20)
    t.teardown(() => clearInterval(ask))
  })
  t.match(await heard, { event: event.event, data })
  t.same((await heard).data, data)
})

t.test("a stream that is not a shim's is left, as if it had been closed", async t => {
  const dir = mkdtempSync(join(tmpdir(), 'virshim-stream-'))
  const server = createServer(socket => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
    socket.write('id: 1\nevent: E\ndata: {"dom":{},"big":9223372036854775808}\n\nid: 2\nevent: E\ndata: {\n\n')
  })
  const socket = join(dir, 'api.sock')
  await new Promise<void>(resolve => server.listen(socket, resolve))
  t.teardown(() => {
    server.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const heard: StreamedEvent[] = []
  await new Promise<void>(resolve => {
    new EventStream(socket, undefined, { event: one => heard.push(one), ended: resolve })
  })
  t.match(heard, [{ id: 1, data: { big: 2n ** 63n } }])
  t.equal(heard.length, 1)
})

t.test("a client's regular expression holds nobody up", async t => {
  const REGEX = 1
  const NOCASE = 2
  const name = 'DEVICE_UNPLUG_GUEST_ERROR_OF_A_QEMU_THAT_LIES'
  t.notOk(monitorFilter('^(([A-Z_]+)+)+$x', REGEX)(name), 'one that does not come to an end finds nothing')
  const cases: [pattern: string, flags: number, found: boolean][] = [
    ['^DEVICE', REGEX, true],
    ['^device', REGEX, false],
    ['^device', REGEX | NOCASE, true],
    ['DEVICE', 0, false]
  ]
  for (const [pattern, flags, found] of cases) {
    const matches = monitorFilter(pattern, flags)
    for (let times = 0; times < 2; times++) t.equal(matches(name), found, pattern)
  }
  t.throws(() => monitorFilter('(', REGEX), { code: 'VIR_ERR_INVALID_ARG' })
})
