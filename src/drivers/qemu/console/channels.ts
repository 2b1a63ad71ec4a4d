// The host ends of a running guest's character devices: agent, consoles, channels.
import { closeSync, constants, openSync } from 'node:fs'
import { connect } from 'node:net'
import { ReadStream, WriteStream } from 'node:tty'
import type { ChardevDef } from '../../../conf/devices/chardev.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { ByteChannel, SharedByteChannel } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Bytes kept for a viewer who comes late. */
const SCROLLBACK_BYTES = 64 * 1024

/** One host end shared by all its viewers: everyone sees the output, anyone may type. */
class SharedChannel implements SharedByteChannel {
  #scrollback: Buffer[] = []
  #kept = 0
  readonly viewers = new Set<{ data(chunk: Buffer): void; close(reason: string): void }>()
  readonly #write: (data: Buffer) => void

  constructor(write: (data: Buffer) => void) {
    this.#write = write
  }

  receive(chunk: Buffer): void {
    this.#scrollback.push(chunk)
    this.#kept += chunk.length
    while (this.#kept - this.#scrollback[0]!.length >= SCROLLBACK_BYTES) this.#kept -= this.#scrollback.shift()!.length
    for (const viewer of this.viewers) viewer.data(chunk)
  }

  end(reason: string): void {
    for (const viewer of this.viewers) viewer.close(reason)
    this.viewers.clear()
  }

  view(): ByteChannel {
    const viewer = { data: (_: Buffer) => {}, close: (_: string) => {} }
    return {
      write: data => this.#write(data),
      onData: listener => {
        for (const chunk of this.#scrollback) listener(chunk)
        viewer.data = listener
        this.viewers.add(viewer)
      },
      onClose: listener => {
        viewer.close = listener
      },
      close: () => this.viewers.delete(viewer)
    }
  }
}

/** Listens on every pty console from the start, so that late viewers see what was said before. */
export function watchConsoles(domain: QemuDomain): void {
  for (const [alias, path] of domain.run?.ptys ?? []) shared(domain, alias, () => openPty(path))
}

/**
 * A view of a console or channel device.
 * @param force ends the views others have of it
 * @throws VIR_ERR_INTERNAL_ERROR when its backend cannot be opened
 */
export function openChardev(domain: QemuDomain, dev: ChardevDef, force = false): ByteChannel {
  const { alias, source } = dev
  const pty = alias && domain.running.ptys.get(alias)
  const path = source.type === 'unix' ? source.path : undefined
  if (alias && (pty || path)) {
    const channel = shared(domain, alias, () => (pty ? openPty(pty) : openUnix(path!)))
    if (force) channel.end('somebody else took the device over')
    return channel.view()
  }
  throw fail('VIR_ERR_INTERNAL_ERROR', `character device ${alias ?? 'without alias'} is not using a PTY or UNIX socket`)
}

type Opened = { write(data: Buffer): void; attach(channel: SharedChannel, ended: () => void): void }

function shared({ running }: QemuDomain, alias: string, openIt: () => Opened): SharedByteChannel {
  const channels = running.consoles
  const known = channels.get(alias)
  if (known) return known
  const opened = openIt()
  const channel = new SharedChannel(opened.write)
  channels.set(alias, channel)
  opened.attach(channel, () => {
    channels.delete(alias)
    channel.end('the device was closed')
  })
  return channel
}

function openPty(path: string): Opened {
  const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK)
  let input: ReadStream
  let output: WriteStream
  try {
    input = new ReadStream(fd)
    input.setRawMode(true)
    output = new WriteStream(fd)
  } catch (error) {
    closeSync(fd)
    throw fail('VIR_ERR_INTERNAL_ERROR', `cannot open PTY ${path}: ${(error as Error).message}`, error)
  }
  return {
    write: data => output.write(data),
    attach(channel, ended) {
      input.on('data', chunk => channel.receive(chunk as Buffer))
      input.on('error', ended)
      input.on('close', ended)
      output.on('error', ended)
      input.unref()
    }
  }
}

function openUnix(path: string): Opened {
  const socket = connect(path)
  socket.unref()
  return {
    write: data => socket.write(data),
    attach(channel, ended) {
      socket.on('data', chunk => channel.receive(chunk))
      socket.on('error', ended)
      socket.on('close', ended)
    }
  }
}
