// RPC on one of a daemon's sockets. Loaded with its first client.
import type { Socket } from 'node:net'
import type { Log, QemuDomain } from '../../drivers/qemu/domain/domain.ts'
import { ReceivedFiles } from '../../host/received-files.ts'
import type { Activity } from '../activity.ts'
import { servedBy } from '../connection.ts'
import type { Served } from '../dispatch.ts'
import type { Service } from '../sockets.ts'
import { answer } from './answer.ts'
import { RpcClient, type RpcHandler } from './client.ts'
import { readFields } from './codec.ts'
import { Connection, type Guests } from './connection.ts'
import type { EventSource } from './events.ts'
import { readerOf } from './frame.ts'

/** Serves a shim's clients until they go. */
export function createRpc(domain: QemuDomain, readOnly: boolean, activity: Activity): Service {
  const served = servedBy(domain, activity)
  const events = eventsOf(domain)
  const service = serveRpc(domain.log, client => {
    const guests = (connection: Connection) => localGuest(served, connection)
    return new Connection({ served, events, client, readOnly, guests, directory: () => domain.root.dir })
  })
  return {
    ...service,
    accept(socket) {
      socket.once('close', activity.hold())
      service.accept(socket)
    }
  }
}

/** The guest of a shim: its calls are carried out here. */
function localGuest(served: Served & { domain: QemuDomain }, connection: Connection): Guests {
  return {
    has: uuid => uuid === served.domain.uuid,
    async call(procedure, frame, signal) {
      const given = readFields(procedure.args, readerOf(frame))
      const files = frame.files ?? ReceivedFiles.none
      return answer(served, procedure, given, { readOnly: connection.readOnly, signal, files })
    }
  }
}

function eventsOf(domain: QemuDomain): EventSource {
  return {
    listen: listener => domain.events.listen(event => listener(domain, event)),
    listenMonitor: listener => domain.monitorListeners.add(event => listener(domain, event))
  }
}

/** Serves clients until they go, each by a handler of its own. */
export function serveRpc(log: Log, makeHandler: (client: RpcClient) => RpcHandler): Service {
  const clients = new Set<RpcClient>()
  return {
    accept(socket: Socket) {
      const client = new RpcClient(socket, log, makeHandler)
      clients.add(client)
      socket.once('close', () => clients.delete(client))
    },
    async close() {
      await Promise.all([...clients].map(client => client.finish()))
    }
  }
}
