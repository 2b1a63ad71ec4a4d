// IOThreads as QEMU has them.
import { withIothread, withoutIothread } from '../../../conf/domain/iothreads.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import { forgetThread, setUpThread } from './threads.ts'

/** The thread of each IOThread by its number; those of the user's own objects are left out. */
export async function queryIothreads(qmp: QmpMonitor): Promise<Map<number, number>> {
  const list = await qmp.execute<{ id: string; 'thread-id': number }[]>('query-iothreads')
  return new Map(
    list.flatMap(({ id, 'thread-id': tid }) => {
      const number = /^iothread(\d+)$/.exec(id)?.[1]
      return number === undefined ? [] : [[Number(number), tid] as const]
    })
  )
}

/**
 * Takes QEMU's IOThreads for those of the live definition: a shim that was killed has told QEMU of a change and not the
 * definition.
 */
export async function syncIothreads(domain: QemuDomain): Promise<void> {
  const threads = await queryIothreads(domain.qmp)
  domain.checkActive()
  const known = domain.def.iothreads.map(({ id }) => id)
  const come = [...threads].filter(([id]) => !known.includes(id))
  const gone = known.filter(id => !threads.has(id))
  if (come.length === 0 && gone.length === 0) return
  domain.change({ live: true }, def =>
    come.reduce((all, [id]) => withIothread(all, id), gone.reduce(withoutIothread, def))
  )
  for (const id of gone) await forgetThread(domain, { kind: 'iothread', id })
  for (const [id, tid] of come) await setUpThread(domain, { kind: 'iothread', id, tid })
}
