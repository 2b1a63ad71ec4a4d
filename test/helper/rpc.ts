// A bare RPC client that sends what it is told to, right or wrong.
import { connect, type Socket } from 'node:net'
import { codecOf, readFields, type Values } from '../../src/server/rpc/codec.ts'
import {
  type Frame,
  FrameReader,
  type Header,
  MessageType,
  makeFrame,
  REMOTE_PROGRAM,
  readerOf
} from '../../src/server/rpc/frame.ts'
import { findProcedure, type Procedure } from '../../src/server/rpc/procedures.ts'
import { STRUCTURES } from '../../src/server/rpc/remote-protocol.ts'
import type { XdrWriter } from '../../src/server/rpc/xdr.ts'

/** A call's header; the rest is as a good client has it. */
export function callHeader(procedure: number, serial: number, more: Partial<Header> = {}): Header {
  return { program: REMOTE_PROGRAM, version: 1, procedure, type: MessageType.CALL, serial, status: 0, ...more }
}

export class RpcPeer {
  readonly socket: Socket
  readonly frames: Frame[] = []
  readonly closed: Promise<void>
  #reader = new FrameReader()
  #wake: (() => void)[] = []
  #serial = 0

  constructor(path: string) {
    this.socket = connect(path)
    this.socket.on('error', () => undefined)
    this.socket.on('data', chunk => {
      this.frames.push(...this.#reader.push(chunk))
      for (const wake of this.#wake.splice(0)) wake()
    })
    this.closed = new Promise(resolve =>
      this.socket.once('close', () => {
        for (const wake of this.#wake.splice(0)) wake()
        resolve()
      })
    )
  }

  /** Sends one call and gives its reply; rejects when the connection ends before. */
  async call(procedure: number, payload?: (to: XdrWriter) => void, more: Partial<Header> = {}): Promise<Frame> {
    const serial = ++this.#serial
    this.socket.write(makeFrame(callHeader(procedure, serial, more), payload))
    return this.next(frame => frame.serial === serial && frame.type === MessageType.REPLY)
  }

  /** The first frame, past or to come, that fits; it is taken out. */
  async next(fits: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const at = this.frames.findIndex(fits)
      if (at >= 0) return this.frames.splice(at, 1)[0]!
      if (this.socket.destroyed) throw new Error('the connection was closed')
      await new Promise<void>(resolve => this.#wake.push(resolve))
    }
  }

  /** Opens the connection as libvirt's client does. */
  async open(): Promise<this> {
    await this.call(1, to => {
      to.uint(1)
      to.string('qemu:///system')
      to.uint(0)
    })
    return this
  }

  end(): void {
    this.socket.destroy()
  }
}

/** The error in a reply. */
export function errorOf(frame: Frame): { code: number; domain: number; message: string } {
  return codecOf('error').read(readerOf(frame)) as ReturnType<typeof errorOf>
}

/** The results in a reply. */
export function resultOf(frame: Frame): Record<string, unknown> {
  return readFields(findProcedure(frame.program, frame.procedure)!.ret, readerOf(frame))
}

/** A guest that nobody has. */
export const NOBODY = { name: 'nobody', uuid: '00000000-0000-4000-8000-000000000001', id: -1 }

/** Values of the protocol's types: as little as can be said, and a little more. */
export const LEAST: Record<string, unknown> = { int: 0, uint: 0, hyper: 0n, uhyper: 0n, string: '', uuid: NOBODY.uuid }
export const SOME: typeof LEAST = { int: 1, uint: 1, hyper: 1n, uhyper: 1n, string: 'x', uuid: NOBODY.uuid }

function exampleOf(type: string, plain: typeof LEAST): unknown {
  const isLeast = plain === LEAST
  if (type in plain) return plain[type]
  if (type.endsWith('?')) return isLeast ? undefined : exampleOf(type.slice(0, -1), plain)
  if (type.startsWith('chars')) return ''
  if (type.startsWith('opaque')) return Buffer.alloc(isLeast ? 0 : 1)
  if (type.startsWith('param')) return isLeast ? {} : { x: { type: 'int', value: 1 } }
  if (type.includes('<')) return isLeast ? [] : [exampleOf(type.replace(/<.*/, ''), plain)]
  const words = STRUCTURES[type]!.split(' ').map(word => word.split(':'))
  return Object.fromEntries(words.map(([name = '', type = name]) => [name, exampleOf(type, plain)]))
}

/** The arguments of a procedure as they are before a test changes one, on a guest. */
export function argumentsOf({ args }: Procedure, guest: object, plain = LEAST): Values {
  const values = Object.fromEntries(args.map(({ name, type }) => [name, exampleOf(type, plain)]))
  const [first] = args
  if (first?.type === 'dom') values[first.name] = guest
  else if (first && 'dom' in Object(values[first.name])) Object.assign(values[first.name] as object, { dom: guest })
  return values
}
