// Connections to others, of this host and elsewhere, with libvirt's words for what fails (virNetSocketNewConnectTCP,
// virNetSocketNewConnectUNIX).
import { connect, type Socket } from 'node:net'
import { systemError } from '../conf/errno.ts'

/** Time a host may take to answer at all. */
const CONNECT_LIMIT_MS = 60_000

export type Address = { host: string; port: number } | { path: string }

/** Connects, and reads nothing. @throws VIR_ERR_SYSTEM_ERROR */
export function connectTo(address: Address, limitMs = CONNECT_LIMIT_MS): Promise<Socket> {
  return new Promise((done, refuse) => {
    const socket = connect('path' in address ? { path: address.path } : { ...address, noDelay: true }).pause()
    const failed = (error: Error) => {
      clearTimeout(timer)
      socket.destroy()
      const { syscall } = error as NodeJS.ErrnoException
      const words = syscall === 'getaddrinfo' ? unresolved(address) : unreachable(address)
      refuse(systemError('VIR_FROM_RPC', words, error))
    }
    const late = Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })
    const timer = setTimeout(() => failed(late), limitMs)
    socket.once('error', failed)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('error', failed)
      socket.on('error', () => undefined)
      done(socket)
    })
  })
}

const unreachable = (address: Address): string =>
  'path' in address
    ? `Failed to connect socket to '${address.path}'`
    : `unable to connect to server at '${address.host}:${address.port}'`

const unresolved = (address: Address): string =>
  'path' in address ? unreachable(address) : `Unable to resolve address '${address.host}' service '${address.port}'`
