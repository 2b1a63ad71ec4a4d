// Host ends of a running guest's character devices: consoles and channels, each shared by its viewers. Guest and clients
// write as they like: neither is ever waited for, and what waits for the other side is bounded.
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { ReadStream } from 'node:tty'
import type { ChardevDef } from '../../../conf/devices/chardev.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { ownerIds, type ProcessOwner } from '../../../host/owner.ts'
import type { ByteChannel, SharedByteChannel } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { Scrollback } from './scrollback.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Bytes that may wait for a guest that does not read; who sends more all the same is let go. */
const INPUT_WAITING_MAX = 1024 * 1024
/** From so many on a client is asked to pause. */
const INPUT_PAUSE = 64 * 1024

/** Ends of a pty on the host, and their major device numbers (admin-guide/devices.txt of Linux). */
const PTY = /^\/dev\/pts\/\d+$/
const PTY_MAJOR = { first: 136, last: 143 }

/** One host end with all its viewers: everyone sees the output, anyone may type. */
class SharedChannel implements SharedByteChannel {
  readonly #scrollback = new Scrollback()
  readonly #viewers = new Set<Viewer>()
  readonly #device: Socket

  /** @param ended called when the device is gone */
  constructor(device: Socket, ended: () => void) {
    this.#device = device
    device.unref()
    device.on('data', chunk => {
      this.#scrollback.add(chunk)
      for (const viewer of this.#viewers) viewer.data(chunk)
    })
    device.on('drain', () => {
      for (const viewer of this.#viewers) viewer.drain()
    })
    for (const event of ['error', 'close']) {
      device.on(event, () => {
        device.destroy()
        ended()
      })
    }
  }

  end(reason: string): void {
    for (const viewer of this.#viewers) viewer.close(reason)
    this.#viewers.clear()
  }

  view(): ByteChannel {
    const viewer: Viewer = { data: () => {}, drain: () => {}, close: () => {} }
    return {
      write: data => {
        if (this.#device.writableLength + data.length > INPUT_WAITING_MAX) {
          this.#viewers.delete(viewer)
          viewer.close('the guest does not read')
          return false
        }
        this.#device.write(data)
        return this.#device.writableLength < INPUT_PAUSE
      },
      onData: listener => {
        const kept = this.#scrollback.bytes
        if (kept.length > 0) listener(kept)
        viewer.data = listener
        this.#viewers.add(viewer)
      },
      onDrain: listener => {
        viewer.drain = listener
      },
      onClose: listener => {
        viewer.close = listener
      },
      close: () => this.#viewers.delete(viewer)
    }
  }
}

interface Viewer {
  data(chunk: Buffer): void
  drain(): void
  close(reason: string): void
}

/**
 * Listens on every pty console from the start, so that late viewers see what was said before. One that cannot be opened
 * fails only who wants to see it.
 */
export function watchConsoles(domain: QemuDomain): void {
  for (const [alias, path] of domain.run?.ptys ?? []) {
    try {
      shared(domain, alias, () => openPty(path, domain.running.owner))
    } catch (error) {
      domain.log.warn({ err: error, alias }, 'a console cannot be watched')
    }
  }
}

/**
 * A view of a console or channel device.
 * @param force ends the views others have of it
 * @throws VIR_ERR_INTERNAL_ERROR when its backend cannot be opened
 */
export function openChardev(domain: QemuDomain, dev: ChardevDef, force = false): ByteChannel {
  const { alias, source } = dev
  const { ptys, owner } = domain.running
  const pty = alias && ptys.get(alias)
  const path = source.type === 'unix' ? source.path : undefined
  if (alias && (pty || path)) {
    const channel = shared(domain, alias, () => (pty ? openPty(pty, owner) : connect(path!)))
    if (force) channel.end('somebody else took the device over')
    return channel.view()
  }
  throw fail('VIR_ERR_INTERNAL_ERROR', `character device ${alias ?? 'without alias'} is not using a PTY or UNIX socket`)
}

function shared({ running }: QemuDomain, alias: string, open: () => Socket): SharedByteChannel {
  const { consoles } = running
  const known = consoles.get(alias)
  if (known) return known
  const channel = new SharedChannel(open(), () => {
    consoles.delete(alias)
    channel.end('the device was closed')
  })
  consoles.set(alias, channel)
  return channel
}

/**
 * Opens the pty that QEMU says it has: QEMU may lie, so it must be a pty, and QEMU's own. libuv writes to it as to a
 * socket, without waiting for the guest, where a tty.WriteStream would make it blocking.
 * @throws VIR_ERR_INTERNAL_ERROR
 */
function openPty(path: string, owner: ProcessOwner): Socket {
  const refuse = (why: string, cause?: unknown) =>
    fail('VIR_ERR_INTERNAL_ERROR', `cannot open PTY ${path}: ${why}`, cause)
  if (!PTY.test(path)) throw refuse('it is none')
  let fd: number | undefined
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    const opened = fstatSync(fd)
    const { rdev, uid } = opened
    const major = (rdev >> 8) & 0xfff
    if (major < PTY_MAJOR.first || major > PTY_MAJOR.last) throw new Error('it is none')
    if (uid !== (ownerIds(owner)?.uid ?? process.getuid?.())) throw new Error(`it belongs to uid ${uid}`)
    const device = new ReadStream(fd)
    device.once('close', () => closeLeft(opened, fd!))
    device.setRawMode(true)
    return device
  } catch (error) {
    if (fd !== undefined) closeSync(fd)
    throw refuse((error as Error).message, error)
  }
}

/** Closes a pty that libuv has opened anew by its name: it closes that one only, and ours where it could not. */
function closeLeft({ dev, ino, rdev }: Stats, fd: number): void {
  try {
    const there = fstatSync(fd)
    if (there.dev === dev && there.ino === ino && there.rdev === rdev) closeSync(fd)
  } catch {
    // it is closed
  }
}
