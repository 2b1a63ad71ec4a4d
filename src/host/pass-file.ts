// Files of the host opened for another process, and handed to it over a Unix socket (SCM_RIGHTS). Node.js passes sockets
// alone (pass-descriptor.ts), and has no system call for a tap's queue: Python does both. It takes some 20 ms and is
// started only when a file is passed.
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import type { Socket } from 'node:net'
import { systemError } from '../conf/errno.ts'
import { errorsFrom } from '../conf/error.ts'
import { checkMaker, type MadeFile, PYTHON } from './made-files.ts'
import { flushed } from './pass-descriptor.ts'
import { ReceivedFile } from './received-files.ts'

const fail = errorsFrom('VIR_FROM_RPC')

const LIMIT_MS = 30_000
const WORDS_MAX = 4096

/** Run by Python. Sends its descriptor 4, or the queue of the tap NAME/FLAGS, over its descriptor 3 with the byte argv[1]. */
const SENDER = `
import array, fcntl, os, socket, struct, sys
file = 4
try:
    if len(sys.argv) > 2:
        name, flags = sys.argv[2].split('/')
        file = os.open('/dev/net/tun', os.O_RDWR)
        fcntl.ioctl(file, 0x400454ca, struct.pack('16sH22x', name.encode(), int(flags)))
    to = socket.socket(fileno=3)
    to.settimeout(${LIMIT_MS / 1000})
    to.sendmsg([bytes([int(sys.argv[1])])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [file]))])
except OSError as error:
    sys.exit(error.strerror or str(error))
`

/** A file that can be handed to whoever reads from a Unix socket. */
export interface PassableFile {
  /**
   * What was written to `socket` before goes first; nothing else may be written until it is done.
   * @param byte travels with the file, below 128
   * @throws VIR_ERR_SYSTEM_ERROR when it cannot be passed
   */
  passTo(socket: Socket, byte?: number): Promise<void>
}

/**
 * A file that is opened, or made, when it is passed, and closed here then.
 * @param file path of a file to read and write, or one to be made
 * @throws VIR_ERR_CONFIG_UNSUPPORTED on a host that cannot pass any
 */
export function passableFile(file: string | MadeFile): PassableFile {
  if (typeof file !== 'string' && 'from' in file) return new ReceivedFile(file.from, file.back)
  checkMaker('a file for a QEMU that runs')
  return { passTo: typeof file === 'string' ? opened(file) : (to, byte = 0) => send(to, byte, ['ignore'], file) }
}

/** A descriptor of ours, which stays ours. @throws VIR_ERR_CONFIG_UNSUPPORTED on a host that cannot pass any */
export function passableDescriptor(descriptor: number): PassableFile {
  checkMaker('a file for a QEMU that runs')
  return { passTo: (to, byte = 0) => send(to, byte, [descriptor]) }
}

function opened(path: string): PassableFile['passTo'] {
  return async (to, byte = 0) => {
    const descriptor = open(path)
    try {
      await send(to, byte, [descriptor])
    } finally {
      closeSync(descriptor)
    }
  }
}

function open(path: string): number {
  try {
    return openSync(path, 'r+')
  } catch (error) {
    throw systemError('VIR_FROM_RPC', `Failed to open file '${path}'`, error)
  }
}

async function send(to: Socket, byte: number, files: (number | 'ignore')[], tap?: { tap: string; flags: number }) {
  await flushed(to)
  const isRead = !to.isPaused()
  const words = [String(byte), ...(tap ? [`${tap.tap}/${tap.flags}`] : [])]
  const child = spawn(PYTHON, ['-ISc', SENDER, ...words], {
    stdio: ['ignore', 'ignore', 'pipe', to, ...files],
    env: {},
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL'
  })
  // spawning has stopped it
  if (isRead) to.resume()
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said = (said + chunk).slice(0, WORDS_MAX)
  })
  const how = await new Promise<string | undefined>(done => {
    child.once('error', error => done(error.message))
    child.once('close', (code, by) => done(code === 0 ? undefined : `sender ended with ${by ?? code}`))
  })
  if (how === undefined) return
  const what = tap ? `tap device '${tap.tap}'` : 'file descriptor'
  throw fail('VIR_ERR_SYSTEM_ERROR', `Unable to send ${what}: ${said.trim() || how}`)
}
