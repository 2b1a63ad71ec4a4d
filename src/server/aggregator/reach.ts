// Connecting to a guest's shim, which may just be ending because nobody wanted it, or only be starting.
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorsFrom, toVirError } from '../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** A shim that is on its way is waited for so long. */
const REACH_LIMIT_MS = 5000
const RETRY_MS = 25
/** Errors of connect(2) that mean nobody listens. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED'])

const isNobody = (error: unknown): boolean => NOBODY.has((error as NodeJS.ErrnoException).code ?? '')

/** A connection, once it is made. @throws Error of connect(2) */
function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.removeListener('error', reject)
      resolve(socket)
    })
  })
}

/** Tells that somebody listens; a process that hangs does. */
export async function listens(path: string): Promise<boolean> {
  try {
    ;(await connected(path)).destroy()
    return true
  } catch (error) {
    return !isNobody(error)
  }
}

/**
 * A connection to a guest's shim. As nothing has been sent yet, it can be tried again.
 * @param find gives the shim's socket, and starts the shim of a guest that is shut off
 * @throws what `find` throws, VIR_ERR_OPERATION_FAILED when nobody listens
 */
export async function reach(find: () => Promise<string>): Promise<Socket> {
  for (const deadline = Date.now() + REACH_LIMIT_MS; ; ) {
    const path = await find()
    try {
      return await connected(path)
    } catch (error) {
      if (!isNobody(error) || Date.now() >= deadline) {
        throw fail('VIR_ERR_OPERATION_FAILED', `the guest's shim does not answer: ${toVirError(error).message}`, error)
      }
      await sleep(RETRY_MS)
    }
  }
}
