// Open files QEMU inherits that take system calls Node.js has not: a descriptor that comes over a socket (SCM_RIGHTS), a
// queue of a tap device (TUNSETIFF). Python makes them between us and QEMU, which it then becomes; it is there only for
// guests that have such a file.
import { accessSync, constants } from 'node:fs'
import type { Socket } from 'node:net'
import { errorsFrom } from '../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const PYTHON = '/usr/bin/python3'

/** Flags of a tap device in the kernel (linux/if_tun.h). */
export const IFF = { TAP: 0x0002, MULTI_QUEUE: 0x0100, NO_PI: 0x1000, VNET_HDR: 0x4000 } as const

/** A file that is made when QEMU is started. */
export type MadeFile =
  /** what waits at a socket to be received; where it is wanted again, it is put back by the socket's other end */
  | { from: Socket; back?: Socket }
  /** a queue of the tap device of that name */
  | { tap: string; flags: number }

/** The file that is to be QEMU's descriptor of that number; what puts it back has a number until QEMU is executed. */
export interface NumberedFile {
  number: number
  file: MadeFile
  back?: number
}

/** Arguments up to `--`: NUMBER, NUMBER/BACK, or NUMBER/NAME/FLAGS; then the command. */
const MAKER = `
import fcntl, os, socket, struct, sys
end = sys.argv.index('--')
for word in sys.argv[1:end]:
    number, *more = word.split('/')
    number = int(number)
    try:
        if len(more) == 2:
            name, flags = more
            what = f'tap device {name}'
            made = os.open('/dev/net/tun', os.O_RDWR)
            fcntl.ioctl(made, 0x400454ca, struct.pack('16sH22x', name.encode(), int(flags)))
        else:
            what = 'the descriptor of a tap device'
            source = socket.socket(fileno=number)
            source.setblocking(False)
            made = socket.recv_fds(source, 1, 1)[1][0]
            if more:
                back = socket.socket(fileno=int(more[0]))
                socket.send_fds(back, [b' '], [made])
                back.close()
            source.detach()
        if made == number:
            os.set_inheritable(made, True)
        else:
            os.dup2(made, number)
            os.close(made)
    except (OSError, IndexError) as error:
        sys.exit(f'cannot get {what}: {getattr(error, "strerror", error)}')
os.execv(sys.argv[end + 1], sys.argv[end + 1:])
`

/** Sees to it that such files can be made. @throws VIR_ERR_CONFIG_UNSUPPORTED @param what needs them */
export function checkMaker(what: string): void {
  try {
    accessSync(PYTHON, constants.X_OK)
  } catch {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `${what} needs ${PYTHON}`)
  }
}

/** The command that makes files first; each has a place among the descriptors it is started with. */
export function withMadeFiles(argv: readonly string[], files: readonly NumberedFile[]): string[] {
  if (files.length === 0) return [...argv]
  const wordOf = ({ number, file, back }: NumberedFile) =>
    'tap' in file ? `${number}/${file.tap}/${file.flags}` : back === undefined ? `${number}` : `${number}/${back}`
  const words = files.map(wordOf)
  return [PYTHON, '-ISc', MAKER, ...words, '--', ...argv]
}
