// Starting shims. Each is a session of its own: it outlives us, and learns nothing of how we end.
//
//   spawn ── XML on its standard input ──► it serves: told over Node's channel, which is closed then
//                                          it cannot: told with libvirt's error, and it ends
//
// The channel of one whose guest is tied to a client's connection is closed with that.
import { type ChildProcess, spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { errorsFrom } from '../../conf/error.ts'
import type { GuestHandle } from '../../drivers/connection.ts'
import { errorOfJson } from '../../state/claim.ts'
import type { GuestRoot } from '../../state/root.ts'
import type { News } from '../starter.ts'
import type { Layout } from './layout.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A guest's start may take this long (START_TIMEOUT_MS), and its host some time before and after. */
const START_LIMIT_MS = 60_000

/** Place of a shim's work. */
export interface ShimPlace {
  /** key in the registry */
  place: string
  root: GuestRoot
  /** virshimd's options for it */
  args: string[]
}

/** The place in the guests directory under a key. */
export function shimPlace(layout: Layout, place: string): ShimPlace {
  const name = basename(place)
  const root = layout.guest(name)
  return { place, root, args: layout.definitionsDir === undefined ? ['--root', root.dir] : ['--name', name] }
}

/** Outcome of a shim's start. */
export type Started = ({ state: 'running' | 'inactive' } & GuestHandle) | { state: 'ended' }

/**
 * Starts a shim; settles when it serves its guest, or when it has found nothing to serve and ended in order.
 * @param xml the guest's definition, for one that is new
 * @param tie the guest ends when it aborts, or when we end
 * @param moreMs what its start may take beside that of any guest
 * @throws the shim's own error, VIR_ERR_INTERNAL_ERROR when it ends without one, VIR_ERR_OPERATION_TIMEOUT
 */
export function startShim(
  { args, root }: ShimPlace,
  options: string[],
  xml?: string,
  tie?: AbortSignal,
  moreMs = 0
): Promise<Started> {
  const limitMs = START_LIMIT_MS + moreMs
  const program = join(dirname(realpathSync(process.argv[1]!)), 'virshimd')
  const input = xml === undefined ? [] : ['-']
  const tied = tie ? ['--tied'] : []
  const child = spawn(program, [...args, ...options, ...tied, '--linger', '--background', ...input], {
    detached: true,
    cwd: '/',
    stdio: [xml === undefined ? 'ignore' : 'pipe', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? '/usr/bin:/bin'}` }
  })
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(xml)
  return new Promise<Started>((resolve, reject) => {
    const over = (settle: () => void) => {
      clearTimeout(timer)
      letGo(child, tie)
      settle()
    }
    const timer = setTimeout(() => {
      const limit = `the daemon in '${root.dir}' does not serve its guest within ${limitMs / 1000} s`
      over(() => reject(fail('VIR_ERR_OPERATION_TIMEOUT', limit)))
    }, limitMs)
    child.on('message', (news: News) => {
      if ('error' in news) over(() => reject(errorOfJson(news.error)))
      else over(() => resolve('state' in news ? news : { state: 'ended' }))
    })
    child.on('error', error => over(() => reject(fail('VIR_ERR_INTERNAL_ERROR', `virshimd: ${error.message}`, error))))
    child.on('exit', (code, signal) => {
      // its last words come before
      setImmediate(() => {
        const how = `virshimd ended with ${signal ?? `status ${code}`} before it served its guest`
        over(() => reject(fail('VIR_ERR_INTERNAL_ERROR', how)))
      })
    })
  })
}

/** It is on its own, or once its tie ends. */
function letGo(child: ChildProcess, tie?: AbortSignal): void {
  child.unref()
  child.channel?.unref()
  const disconnect = () => {
    if (child.connected) child.disconnect()
  }
  if (!tie || tie.aborted) disconnect()
  tie?.addEventListener('abort', disconnect, { once: true })
  child.once('disconnect', () => tie?.removeEventListener('abort', disconnect))
}
