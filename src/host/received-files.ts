// Open files that come from a client over its connection (SCM_RIGHTS). Node.js cannot receive them: Python does, and puts
// each into a socket pair of ours, at whose other end it waits in the kernel to be received, as a tap of the bridge
// helper's does. From there it goes to QEMU: when that is started (made-files.ts), or over its monitor.
//
// A client of ours sends each with one byte, behind the call they belong to, and whoever receives ours gets them so.
import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { errorsFrom } from '../conf/error.ts'
import { checkMaker, PYTHON } from './made-files.ts'
import { flushed, socketPair } from './pass-descriptor.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** A client sends its files right behind the call. */
const LIMIT_S = 10
const START_LIMIT_MS = 10_000
/** Receivers at a time: one that sends nothing keeps its own waiting until the limit. */
const RECEIVERS_MAX = 8
const FIRST = 3
const WORDS_MAX = 4096

/**
 * Run by Python. Arguments: limit in seconds, the byte a file travels with, and for each file the descriptors it comes
 * from and goes to. Prints of each whether it is a socket.
 */
const RELAY = `
import array, os, socket, stat, sys, time
limit = time.monotonic() + float(sys.argv[1])
byte = bytes([int(sys.argv[2])])
ends = {}
def end(number):
    if number not in ends:
        ends[number] = socket.socket(fileno=number)
    ends[number].settimeout(max(limit - time.monotonic(), 0.001))
    return ends[number]
try:
    for word in sys.argv[3:]:
        source, target, *back = map(int, word.split('/'))
        data, parts, _, _ = end(source).recvmsg(1, socket.CMSG_SPACE(4))
        files = array.array('i', b''.join(part for _, kind, part in parts if kind == socket.SCM_RIGHTS))
        if len(files) != 1:
            sys.exit(f'{len(files)} descriptors with a byte' if data else 'end of file')
        print('socket' if stat.S_ISSOCK(os.fstat(files[0]).st_mode) else 'other', flush=True)
        for number in [*back, target]:
            end(number).sendmsg([byte], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        os.close(files[0])
except OSError as error:
    sys.exit(str(error))
`

interface Way {
  from: Socket
  to: Socket
  /** puts it back where it came from */
  back?: Socket | undefined
}

/** Moves one file each way. @returns their kinds @throws VIR_ERR_SYSTEM_ERROR with the relay's words */
async function relay(ways: readonly Way[], { byte = 0, signal }: { byte?: number; signal?: AbortSignal }) {
  const sockets = [...new Set(ways.flatMap(({ from, to, back }) => (back ? [from, to, back] : [from, to])))]
  const number = (socket: Socket) => FIRST + sockets.indexOf(socket)
  const words = ways.map(({ from, to, back }) => [from, to, ...(back ? [back] : [])].map(number).join('/'))
  const child = spawn(PYTHON, ['-ISc', RELAY, String(LIMIT_S), String(byte), ...words], {
    stdio: ['ignore', 'pipe', 'pipe', ...sockets],
    env: {},
    timeout: LIMIT_S * 1000 + START_LIMIT_MS,
    killSignal: 'SIGKILL',
    signal
  })
  const said = ['', '']
  for (const [i, output] of [child.stdout, child.stderr].entries()) {
    output?.setEncoding('utf8').on('data', (chunk: string) => {
      said[i] = (said[i] + chunk).slice(0, WORDS_MAX)
    })
  }
  const how = await new Promise<string | undefined>(done => {
    child.once('error', error => done(error.message))
    child.once('close', (code, by) => done(code === 0 ? undefined : `relay ended with ${by ?? code}`))
  })
  if (how !== undefined) throw fail('VIR_ERR_SYSTEM_ERROR', `Failed to recv file descriptor: ${said[1]?.trim() || how}`)
  return said[0]!.split('\n')
}

/** Sends files over a connection, behind what was written to it before; nothing else may be written until it is done. */
async function send(files: readonly ReceivedFile[], to: Socket, byte?: number): Promise<void> {
  await flushed(to)
  const isRead = !to.isPaused()
  const sent = relay(
    files.map(({ from, back }) => ({ from, to, back })),
    { byte }
  )
  // spawning has stopped it
  if (isRead) to.resume()
  await sent
}

/** One file; it can be handed on once, or as often as one likes where it is put back. */
export class ReceivedFile {
  /** where it waits to be received (MadeFile) */
  readonly from: Socket
  readonly back: Socket | undefined
  isSocket = false

  constructor(from: Socket, back?: Socket) {
    this.from = from
    this.back = back
  }

  /** @throws VIR_ERR_SYSTEM_ERROR @param byte travels with it */
  passTo(socket: Socket, byte?: number): Promise<void> {
    return send([this], socket, byte)
  }
}

/** Files of one call, in its order, until they are dropped. */
export class ReceivedFiles {
  /** those of a call that brings none */
  static readonly none = new ReceivedFiles()
  readonly #files: ReceivedFile[] = []
  readonly #entries: Socket[] = []

  /**
   * Makes room for files that are about to come.
   * @param directory ours alone, for the moment it takes
   * @throws VIR_ERR_CONFIG_UNSUPPORTED on a host that cannot receive any
   */
  static async room(count: number, directory: string): Promise<ReceivedFiles> {
    const files = new ReceivedFiles()
    if (count > 0) checkMaker('a call with file descriptors')
    try {
      for (let i = 0; i < count; i++) {
        const [ours, entry] = await socketPair(directory)
        files.#files.push(new ReceivedFile(ours))
        files.#entries.push(entry)
      }
      return files
    } catch (error) {
      files.drop()
      throw error
    }
  }

  /**
   * Fills the room with what comes over a connection next; nothing may be read from it meanwhile, it stays paused.
   * @throws VIR_ERR_SYSTEM_ERROR when anything else comes, or nothing in time: what comes then is not known any more
   */
  async receive(from: Socket, signal: AbortSignal): Promise<void> {
    if (this.#files.length === 0) return
    const ways = this.#entries.map(to => ({ from, to }))
    const kinds = await inTurn(signal, () => relay(ways, { signal }))
    for (const [i, file] of this.#files.entries()) file.isSocket = kinds[i] === 'socket'
  }

  get count(): number {
    return this.#files.length
  }

  /** @throws VIR_ERR_INTERNAL_ERROR when there are fewer (virNetMessageDupFD) */
  at(slot: number): ReceivedFile {
    const file = this.#files[slot]
    if (!file) throw fail('VIR_ERR_INTERNAL_ERROR', `No FD available at slot ${slot}`)
    return file
  }

  /** Hands them all on. @throws VIR_ERR_SYSTEM_ERROR */
  async passTo(socket: Socket): Promise<void> {
    if (this.#files.length > 0) await send(this.#files, socket)
  }

  /** Gives them all away: whoever takes them closes both ends of each. */
  take(): { from: Socket; back: Socket }[] {
    return this.#files.splice(0).map(({ from }) => ({ from, back: this.#entries.shift()! }))
  }

  /** Closes those that nobody has received. */
  drop(): void {
    for (const { from } of this.#files) from.destroy()
    for (const entry of this.#entries) entry.destroy()
  }
}

let receivers = 0
const waiting: (() => void)[] = []

async function inTurn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  if (receivers >= RECEIVERS_MAX) await new Promise<void>(turn => waiting.push(turn))
  else receivers++
  try {
    signal.throwIfAborted()
    return await work()
  } finally {
    const next = waiting.shift()
    if (next) next()
    else receivers--
  }
}
