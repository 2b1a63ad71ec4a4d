// A daemon's clients, all kinds of them, one call after the other: some stay, some come for one call, some do it wrong.
import { Agent, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { writeFields } from '../../src/server/rpc/codec.ts'
import { MessageStatus, REMOTE_PROGRAM } from '../../src/server/rpc/frame.ts'
import { findProcedure } from '../../src/server/rpc/procedures.ts'
import { REMOTE_CALLS } from '../../src/server/rpc/remote-protocol.ts'
import { RpcPeer, resultOf } from './rpc.ts'

type Values = Record<string, unknown>

/** A guest with more devices than most have. */
const bigGuest = (name: string, uuid: string): string => `
  <domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices><controller type='scsi' model='virtio-scsi'/>${Array.from(
    { length: 60 },
    (_, i) => `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/nowhere/${i}.img'/>
      <target dev='sd${String.fromCharCode(97 + (i % 26)).repeat(1 + Math.floor(i / 26))}' bus='scsi'/></disk>`
  ).join('')}<serial type='pty'/></devices></domain>`

const numbers = new Map(Object.entries(REMOTE_CALLS).map(([number, notation]) => [notation.split(' ', 1)[0], +number]))

/** A client of the RPC socket that calls procedures by their names. */
class RpcUser extends RpcPeer {
  async ask(name: string, args: Values = {}): Promise<Values> {
    const number = numbers.get(name)!
    const reply = await this.call(number, to => writeFields(findProcedure(REMOTE_PROGRAM, number)!.args, args, to))
    return reply.status === MessageStatus.OK ? resultOf(reply) : {}
  }
}

export interface KnownGuest {
  name: string
  uuid: string
}

/** Calls a daemon of one guest or of many, each guest in its turn. */
export class MixedCalls {
  readonly #socket: string
  readonly #rpcSocket: string
  readonly #guests: readonly KnownGuest[]
  /** whose turn it is */
  #guest: KnownGuest
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 2 })
  #user: RpcUser | undefined
  /** calls so far, and how many of each HTTP status came back */
  calls = 0
  readonly statuses = new Map<number, number>()

  /** @param root directory with api.sock and libvirt-sock */
  constructor(root: string, guests: readonly KnownGuest[]) {
    this.#socket = join(root, 'api.sock')
    this.#rpcSocket = join(root, 'libvirt-sock')
    this.#guests = guests
    this.#guest = guests[0]!
  }

  /** Does that many calls, in two lines as two clients do them. */
  async run(count: number): Promise<void> {
    const end = this.calls + count
    this.#user ??= await new RpcUser(this.#rpcSocket).open()
    const line = async (first: number) => {
      for (let turn = first; this.calls < end; turn += 2) await this.#turn(turn)
    }
    await Promise.all([line(0), line(1)])
  }

  /** Lets all clients go. */
  close(): void {
    this.#agent.destroy()
    this.#user?.end()
    this.#user = undefined
  }

  /** Sixteen turns ask what monitoring asks all the time; each seventeenth is one of the rarer things. */
  async #turn(turn: number): Promise<void> {
    const often = [
      () => this.#get(this.#path('virDomainGetInfo')),
      () => this.#ask('DOMAIN_GET_INFO', {}),
      () => this.#get(this.#path('virDomainGetXMLDesc')),
      () => this.#ask('DOMAIN_GET_XML_DESC', { flags: 0 }),
      () => this.#get('/v1/virConnectGetAllDomainStats'),
      () => this.#rpc('CONNECT_GET_ALL_DOMAIN_STATS', { doms: [], stats: 0, flags: 0 }),
      () => this.#get('/v1/report'),
      () => this.#get(this.#path('virDomainGetState'), true)
    ]
    const seldom = [
      () => this.#get('/metrics'),
      () => this.#subscribeHttp(),
      () => this.#visit(),
      () => this.#define(),
      () => this.#post(this.#path('virDomainScreenshot'), '{}'),
      () => this.#openConsole(),
      () => this.#get('/openapi.json'),
      () => this.#get(this.#path('virDomainGetNothing')),
      () => this.#get(`${this.#path('virDomainGetXMLDesc')}?flags=1&flags=2`),
      () => this.#post(this.#path('virDomainGetInfo'), '{"domain": '),
      () => this.#post(this.#path('virDomainSetMemory'), '{"memory": "all of it"}'),
      () => this.#post('/v1/virDomainDefineXML', JSON.stringify({ xml: '<domain><name>' })),
      () => this.#rpc('DOMAIN_LOOKUP_BY_NAME', { name: 'nobody' }),
      () => this.#unknownProcedure(),
      () => this.#nonsense()
    ]
    const rare = turn % 17 === 16
    this.calls++
    this.#guest = this.#guests[turn % this.#guests.length]!
    await (rare ? seldom[Math.floor(turn / 17) % seldom.length]! : often[turn % often.length]!)()
  }

  #path(api: string): string {
    return `/v1/domains/${this.#guest.name}/${api}`
  }

  #get(path: string, fresh = false): Promise<void> {
    return this.#http('GET', path, undefined, fresh)
  }

  #post(path: string, body: string): Promise<void> {
    return this.#http('POST', path, body)
  }

  #http(method: string, path: string, body?: string, fresh = false): Promise<void> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const options = { socketPath: this.#socket, method, path, headers, agent: fresh ? (false as const) : this.#agent }
      const sent = request(options, reply => {
        this.#count(reply)
        reply.resume()
        reply.once('end', resolve)
      })
      sent.once('error', reject)
      sent.end(body)
    })
  }

  #count({ statusCode = 0 }: IncomingMessage): void {
    this.statuses.set(statusCode, (this.statuses.get(statusCode) ?? 0) + 1)
  }

  #rpc(name: string, args: Values): Promise<Values> {
    return this.#user!.ask(name, args)
  }

  /** A call on the guest. */
  async #ask(name: string, args: Values, user = this.#user!): Promise<Values> {
    const { dom } = await user.ask('DOMAIN_LOOKUP_BY_NAME', { name: this.#guest.name })
    return user.ask(name, { dom, ...args })
  }

  /** Somebody who comes, listens for events, opens the console and leaves without a word. */
  async #visit(): Promise<void> {
    const user = await new RpcUser(this.#rpcSocket).open()
    for (const eventID of [0, 2, 4, 9]) {
      await user.ask('CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', { eventID, dom: null })
    }
    await this.#ask('DOMAIN_SUSPEND', {}, user)
    await this.#ask('DOMAIN_RESUME', {}, user)
    await this.#ask('DOMAIN_OPEN_CONSOLE', { devname: null, flags: 0 }, user)
    user.end()
    await user.closed
  }

  /** Defines a big guest, reads it and takes it back. */
  async #define(): Promise<void> {
    const { name, uuid } = this.#guest
    const xml = bigGuest(name, uuid)
    await this.#post('/v1/virDomainDefineXML', JSON.stringify({ xml }))
    await this.#get(`${this.#path('virDomainGetXMLDesc')}?flags=2`)
    await this.#post('/v1/virConnectDomainXMLToNative', JSON.stringify({ nativeFormat: 'qemu-argv', domainXml: xml }))
    await this.#post(this.#path('virDomainUndefine'), '{}')
  }

  /** Reads the first of the event stream. */
  #subscribeHttp(): Promise<void> {
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath: this.#socket, path: '/v1/events', agent: false }, reply => {
        this.#count(reply)
        reply.once('close', resolve)
        reply.on('error', () => undefined)
        sent.destroy()
      })
      sent.once('error', reject)
      sent.end()
    })
  }

  #openConsole(): Promise<void> {
    return new Promise((resolve, reject) => {
      const headers = {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='
      }
      const path = this.#path('virDomainOpenConsole')
      const sent = request({ socketPath: this.#socket, path, headers, agent: false }, reply => {
        this.#count(reply)
        reply.resume()
        reply.once('end', resolve)
      })
      sent.once('upgrade', (reply, socket) => {
        this.#count(reply)
        socket.destroy()
        resolve()
      })
      sent.once('error', reject)
      sent.end()
    })
  }

  async #unknownProcedure(): Promise<void> {
    await this.#user!.call(9999)
  }

  /** Somebody who does not speak the protocol. */
  async #nonsense(): Promise<void> {
    const peer = new RpcPeer(this.#rpcSocket)
    peer.socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(100))
    await peer.closed
  }
}
