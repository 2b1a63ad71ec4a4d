// A shim's GET /v1/events, followed: server-sent events, read as they come.
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { parseJson } from '../../conf/json.ts'
import type { GuestHandle } from '../../drivers/connection.ts'

/** An event of a guest as its shim streams it. */
export interface StreamedEvent {
  id: number
  event: string
  dom: GuestHandle
  timestampUs: number
  data: Record<string, unknown>
}

export interface EventStreamListener {
  event(event: StreamedEvent): void
  /** it has ended, by whatever cause but close() */
  ended(): void
}

/** Characters of one event at most: its few texts are bounded where it is made. */
const EVENT_MAX = 256 * 1024

export class EventStream {
  readonly #request: ClientRequest
  readonly #listener: EventStreamListener
  #closed = false
  #text = ''
  /** settles when events cannot be missed any more, or there are none to come */
  readonly begun: Promise<void>

  /** @param since events after this id that the shim still has come first; undefined: only new ones */
  constructor(socketPath: string, since: number | undefined, listener: EventStreamListener) {
    this.#listener = listener
    const path = since === undefined ? '/v1/events' : `/v1/events?since=${since}`
    this.#request = request({ socketPath, path, agent: false })
    this.begun = new Promise(resolve => {
      this.#request.on('response', reply => {
        resolve()
        this.#read(reply)
      })
      this.#request.on('error', () => {
        resolve()
        this.#end()
      })
    })
    this.#request.end()
  }

  close(): void {
    this.#closed = true
    this.#request.destroy()
  }

  #end(): void {
    if (this.#closed) return
    this.close()
    this.#listener.ended()
  }

  #read(reply: IncomingMessage): void {
    reply.setEncoding('utf8')
    reply.on('data', (text: string) => {
      try {
        this.#push(text)
      } catch {
        // not what a shim streams: as if it had closed the connection
        this.#end()
      }
    })
    reply.on('error', () => undefined)
    reply.on('close', () => this.#end())
  }

  /** Events are set apart by empty lines. */
  #push(text: string): void {
    const from = Math.max(0, this.#text.length - 1)
    this.#text += text
    if (this.#text.indexOf('\n\n', from) < 0) {
      // not what a shim streams: as if it had closed the connection
      if (this.#text.length > EVENT_MAX) this.#end()
      return
    }
    const blocks = this.#text.split('\n\n')
    this.#text = blocks.pop()!
    for (const block of blocks) {
      const fields = new Map(
        block.split('\n').map(line => {
          const colon = line.indexOf(': ')
          return [line.slice(0, colon), line.slice(colon + 2)] as const
        })
      )
      const [id, event, data] = ['id', 'event', 'data'].map(name => fields.get(name))
      if (id === undefined || event === undefined || data === undefined || this.#closed) continue
      const { dom, timestampUs, ...rest } = parseJson(data) as Omit<StreamedEvent, 'id' | 'event' | 'data'>
      this.#listener.event({ id: Number(id), event, dom, timestampUs, data: rest })
    }
  }
}
